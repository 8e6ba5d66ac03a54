// `bench memory`: whether the engine's memory grows with the requests it has answered.
import { type Column, table } from "../worker/cli/terminal.ts";
import { type Bench, oneOf, whole } from "./arguments.ts";
import { residentBytes } from "./cpu-time.ts";
import { startOurEngine } from "./engine-process.ts";
import { figuresOf } from "./figures.ts";
import { completion, runLoad } from "./load.ts";
import { factsLine, machine, modelFile, modelWords } from "./machine.ts";
import { promptsOf } from "./prompts.ts";
import { tinyModel } from "./random-model.ts";
import { digits, megabytes } from "./table.ts";

const BACKENDS = ["node-llama-cpp", "scripted"] as const;
const TENTHS = 10;
const CONCURRENCY = 8;
const ANSWER_TOKENS = 8;

export const memory: Bench = {
  about: "the engine's resident memory over many short requests",
  options: {
    backend: { type: "string", default: "node-llama-cpp" },
    requests: { type: "string", default: "10000" },
    model: { type: "string" },
  },
  async run(values, print) {
    const backend = oneOf(values, "backend", BACKENDS);
    const requests = whole(values, "requests");
    const model = typeof values.model === "string" ? values.model : await tinyModel();
    const isScripted = backend === "scripted";
    const file = isScripted ? undefined : modelFile(model);
    const engine = await startOurEngine({
      backend,
      slots: CONCURRENCY,
      ...(!isScripted && { model, threads: 1, contextSize: 512 }),
    });
    try {
      const words = { backend, ...(file && { model: modelWords(file) }), requests, "at once": CONCURRENCY };
      print(`${factsLine(machine(), words)}\n`);
      const tenths = await measureTenths(engine, requests);
      print(memoryTable(tenths));
      const growth = growthOf(tenths);
      const late = lateGrowthOf(tenths);
      print(
        `\ngrowth after the first tenth: ${megabytes(growth)} MB; over the highest of the first half: ${megabytes(late)} MB`,
      );
      return {
        machine: machine(),
        model: file,
        backend,
        requests,
        tenths,
        growthBytes: growth,
        lateGrowthBytes: late,
      };
    } finally {
      await engine.stop();
    }
  },
};

export type Tenth = {
  requests: number;
  residentBytes: number;
  requestsPerSecond: number;
  failures: number;
  uneven: number;
};

async function measureTenths(engine: { url: string; pid: number }, requests: number): Promise<Tenth[]> {
  const tenths: Tenth[] = [];
  for (let tenth = 1; tenth <= TENTHS; tenth++) {
    const [from, to] = [tenth - 1, tenth].map((part) => Math.round((requests * part) / TENTHS)) as [
      number,
      number,
    ];
    const prompts = promptsOf({ shared: 40, own: 24 }, to - from, tenth);
    const wave = await runLoad(
      prompts.map((prompt) => completion(prompt, ANSWER_TOKENS)),
      engine,
      CONCURRENCY,
    );
    const { failures, firstFailure, uneven } = figuresOf(wave, ANSWER_TOKENS);
    if (firstFailure !== undefined) process.stderr.write(`a request failed: ${firstFailure}\n`);
    const rate = (to - from) / (wave.wallMs / 1_000);
    tenths.push({
      requests: to,
      residentBytes: residentBytes(engine.pid),
      requestsPerSecond: rate,
      failures,
      uneven,
    });
  }
  return tenths;
}

/** What came on top after the first tenth, in which caches fill and code is compiled. */
export const growthOf = (tenths: readonly Pick<Tenth, "residentBytes">[]) =>
  tenths.at(-1)!.residentBytes - tenths[0]!.residentBytes;

/** What stands at the end above all of the first half: near or below zero when the memory has come to rest. */
export function lateGrowthOf(tenths: readonly Pick<Tenth, "residentBytes">[]): number {
  const firstHalf = tenths.slice(0, Math.ceil(tenths.length / 2));
  return tenths.at(-1)!.residentBytes - Math.max(...firstHalf.map(({ residentBytes: bytes }) => bytes));
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
