// The health check of the container: ends with 0 while the worker's page says that it can work. No TypeScript and no dependency, because
// it starts every half minute.
const { KAMADO_WEB_PORT: port = "4780" } = process.env;
const isWell = await fetch(`http://127.0.0.1:${port}/health`, { signal: AbortSignal.timeout(8_000) }).then(
  ({ ok }) => ok,
  () => false,
);
process.exit(isWell ? 0 : 1);
