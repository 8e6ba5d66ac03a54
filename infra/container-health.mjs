// The health check of the container: ends with 0 while the worker's page says that it can work. No TypeScript and no dependency, because
// it starts every half minute.
import { existsSync } from "node:fs";
import process from "node:process";

// The worker's settings may be a secret that is mounted as this file, which only the worker itself was started with.
const [, , settings = "/run/secrets/kamado.env"] = process.argv;
if (existsSync(settings)) process.loadEnvFile(settings);
const { KAMADO_WEB_PORT: port = "4780", KAMADO_WEB_HOST: host = "127.0.0.1" } = process.env;
const address = /^(0\.0\.0\.0|::)?$/.test(host) ? "127.0.0.1" : host.includes(":") ? `[${host}]` : host;
const isWell = await fetch(`http://${address}:${port || 4780}/health`, {
  signal: AbortSignal.timeout(8_000),
}).then(
  ({ ok }) => ok,
  () => false,
);
process.exit(isWell ? 0 : 1);
