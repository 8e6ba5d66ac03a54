// `bench prefix-files`: what prefix files and slot choice save on the llama-server backend. Our engine with them beside our engine
// without them, in alternating rounds. Each round has new instructions: a first wave, a later one, and one after a kill.
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { KamadoError } from "../worker/errors.ts";
import { type Column, table } from "../worker/logging/terminal.ts";
import { type Bench, oneOf, whole, wholes } from "./arguments.ts";
import { costOf } from "./engine.ts";
import { type ServerProcess, startOurEngine } from "./engine-process.ts";
import {
  type Figures,
  figuresOf,
  interleave,
  isSound,
  median,
  medianFigures,
  problemsOf,
} from "./figures.ts";
import { findProgram } from "./llama-server-process.ts";
import { type Call, completion, runLoad } from "./load.ts";
import { factsLine, machine, modelFile, modelText } from "./machine.ts";
import { FORMATS, smallModel } from "./models.ts";
import { childNamed, cpuSeconds } from "./process-usage.ts";
import { promptsOf, textOf } from "./prompts.ts";
import type { Session } from "./session.ts";
import { digits, percent } from "./table.ts";

const SHARED_TOKENS = 500;
const OWN_TOKENS = 100;
const ANSWER_TOKENS = 48;
const CONTEXT = 1_024;
const RESTART_MS = 15_000;

const SIDES = ["with", "without"] as const;
const WAVES = ["new instructions", "the same again", "after a kill"] as const;
type Side = (typeof SIDES)[number];
type Wave = (typeof WAVES)[number];

export const prefixFiles: Bench = {
  about:
    "what prefix files and slot choice save on llama-server: CPU seconds a job with and without, as ratios",
  options: {
    concurrency: { type: "string", default: "1,4,8" },
    threads: { type: "string", default: "1" },
    rounds: { type: "string", default: "3" },
    format: { type: "string", default: "Q4_0" },
  },
  async run(values, session) {
    const { print } = session;
    const [levels, threads, rounds] = [
      wholes(values, "concurrency"),
      whole(values, "threads"),
      whole(values, "rounds"),
    ];
    const format = oneOf(values, "format", FORMATS);
    const program = findProgram();
    const model = await smallModel(format);
    const file = modelFile(model);
    print(factsLine(machine(), { model: modelText(file), threads, rounds }));
    print(
      `${SHARED_TOKENS} shared + ${OWN_TOKENS} own prompt tokens, ${ANSWER_TOKENS} out, greedy; ${program}\n`,
    );
    const rows: Row[] = [];
    for (const concurrency of levels) {
      rows.push(...(await measureLevel({ model, program, threads, rounds, concurrency }, session)));
      process.stderr.write(`measured C=${concurrency}\n`);
    }
    print(`waves of C requests at once, medians of ${rounds} rounds; ratios are with / without`);
    print(`${prefixTable(rows)}\n`);
    for (const line of failureLines(rows)) print(line);
    return { machine: machine(), model: file, threads, rounds, rows };
  },
};

type Plan = { model: string; program: string; threads: number; rounds: number; concurrency: number };
/** One wave: its figures and the CPU seconds of our process and of its llama-server, for each good answer. */
export type Sample = Figures & { cpuSecondsPerJob: number };
export type Row = { concurrency: number; wave: Wave } & Record<Side, Sample>;

async function measureLevel(plan: Plan, session: Session): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const { model, program, threads, rounds, concurrency } = plan;
  const start = async (isOn: boolean) => {
    const common = { backend: "llama-server", llamaServer: program, slots: concurrency } as const;
    const options = { ...common, model, threads, contextSize: CONTEXT, prefixFiles: isOn };
    const engine = await startOurEngine(options, session);
    stack.defer(() => engine.stop());
    return new Measured(engine, program, session.signal);
  };
  const engines = { with: await start(true), without: await start(false) };
  const samples: Record<Side, Record<Wave, Sample>[]> = { with: [], without: [] };
  // Both get the same prompts.
  for (const side of interleave(SIDES, rounds))
    samples[side].push(await engines[side].round(samples[side].length, concurrency));
  return WAVES.map((wave) => {
    const of = (side: Side) => medianSample(samples[side].map((round) => round[wave]));
    return { concurrency, wave, with: of("with"), without: of("without") };
  });
}

/** Our engine and the llama-server it has started. */
class Measured {
  readonly #engine: ServerProcess;
  readonly #program: string;
  readonly #signal: AbortSignal;

  constructor(engine: ServerProcess, program: string, signal: AbortSignal) {
    this.#engine = engine;
    this.#program = basename(program);
    this.#signal = signal;
  }

  async round(round: number, concurrency: number): Promise<Record<Wave, Sample>> {
    const [first, later, restarted] = WAVES.map((_, wave) => callsOf(round, wave, concurrency));
    const before = () => this.#ownSeconds() + this.#serverSeconds();
    return {
      "new instructions": await this.#measure(first!, before()),
      "the same again": await this.#measure(later!, before()),
      // What the new llama-server has used for its start counts too.
      "after a kill": await this.#measure(restarted!, await this.#killServer()),
    };
  }

  async #measure(calls: readonly Call[], secondsBefore: number): Promise<Sample> {
    const wave = await runLoad(calls, this.#engine, calls.length, this.#signal);
    const cpu = this.#ownSeconds() + this.#serverSeconds() - secondsBefore;
    return costOf(cpu, figuresOf(wave, ANSWER_TOKENS));
  }

  /** Resolves when the next one has been started, with the CPU seconds that our process had used before. */
  async #killServer(): Promise<number> {
    const before = this.#ownSeconds();
    const killed = this.#serverId();
    process.kill(killed, "SIGKILL");
    const end = performance.now() + RESTART_MS;
    while (performance.now() < end) {
      const next = childNamed(this.#program, this.#engine.pid);
      // Requests wait until it is ready.
      if (next !== undefined && next !== killed) return before;
      await sleep(50, undefined, { signal: this.#signal });
    }
    throw new KamadoError("engine_unavailable", "Our engine did not start llama-server again.");
  }

  #serverId(): number {
    const found = childNamed(this.#program, this.#engine.pid);
    if (found !== undefined) return found;
    throw new KamadoError("engine_unavailable", `Our engine runs no program called ${this.#program}.`);
  }

  #ownSeconds = () => cpuSeconds(this.#engine.pid);
  #serverSeconds = () => cpuSeconds(this.#serverId());
}

/** New instructions in every round, new ends in every wave. */
function callsOf(round: number, wave: number, count: number): Call[] {
  const instructions = textOf(SHARED_TOKENS, round + 1);
  const ends = promptsOf({ shared: 0, own: OWN_TOKENS }, count, round * WAVES.length + wave);
  return ends.map((end) => completion(instructions + end, ANSWER_TOKENS));
}

/** The median of each figure over the rounds. Failures and uneven answers are added up. */
function medianSample(samples: readonly Sample[]): Sample {
  const cpuSecondsPerJob = median(samples.map((sample) => sample.cpuSecondsPerJob));
  return { ...medianFigures(samples), cpuSecondsPerJob };
}

/** NaN where a request failed or an answer has the wrong length, because then costs cannot be compared. */
export function ratioOf(row: Row): number {
  if (!SIDES.every((side) => isSound(row[side]))) return Number.NaN;
  return row.with.cpuSecondsPerJob / row.without.cpuSecondsPerJob;
}

export function prefixTable(rows: readonly Row[]): string {
  const right = (title: string): Column => ({ title, align: "right" });
  const figures = ["CPU s/job with", "without", "ratio", "cached with", "without", "uneven", "failed"];
  const columns: Column[] = [right("C"), { title: "wave" }, ...figures.map(right)];
  return table(
    columns,
    rows.map((row) => [
      String(row.concurrency),
      row.wave,
      digits(row.with.cpuSecondsPerJob, 3),
      digits(row.without.cpuSecondsPerJob, 3),
      digits(ratioOf(row), 3),
      percent(row.with.cachedShare),
      percent(row.without.cachedShare),
      `${row.with.uneven}/${row.without.uneven}`,
      `${row.with.failures}/${row.without.failures}`,
    ]),
  );
}

/** Says which rows have failed or uneven answers, and why. */
export function failureLines(rows: readonly Row[]): string[] {
  return rows.flatMap((row) =>
    SIDES.flatMap((side) =>
      problemsOf(row[side]).map((problem) => `C=${row.concurrency}, ${row.wave}, ${side}: ${problem}`),
    ),
  );
}
