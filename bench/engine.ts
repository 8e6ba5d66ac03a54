// `bench engine`: our engine beside llama-server on the same file, prompts and threads, in alternating rounds. Per concurrency:
// a first wave each, warm rounds, and a first wave of ours after a restart.
import { KamadoError } from "../worker/errors.ts";
import { type Column, type Styled, table } from "../worker/logging/terminal.ts";
import { type Bench, fileOf, oneOf, whole, wholes } from "./arguments.ts";
import { type ServerProcess, startOurEngine } from "./engine-process.ts";
import {
  type Figures,
  figuresOf,
  interleave,
  isSound,
  median,
  medianFigures,
  medianOfKnown,
  problemsOf,
} from "./figures.ts";
import { findProgram, startLlamaServer } from "./llama-server-process.ts";
import { type Call, completion, type More, runLoad } from "./load.ts";
import { factsLine, machine, modelFile, modelText } from "./machine.ts";
import { biasesAgainstEnd, FORMATS, smallModel } from "./models.ts";
import { cpuSeconds, mainThreadSeconds } from "./process-usage.ts";
import { lengthFor, promptsOf, type Shape, textOf } from "./prompts.ts";
import { measureSampling, samplingTargets } from "./sampling.ts";
import type { Session } from "./session.ts";
import { atLeast, atMost, digits, mark, meets, percent, type Target } from "./table.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const SHARED_TOKENS = 500;
const OWN_TOKENS = 100;
const ANSWER_TOKENS = 48;
const CONTEXT = 1_024;
/** Prompts of the wave after a restart. The seeds of the warm rounds are far smaller. */
const RESTARTED_SEED = 500;

export const engine: Bench = {
  about: "our engine beside llama-server: CPU seconds a job, tokens/s, TTFT, TPOT, cached share, as ratios",
  options: {
    model: { type: "string" },
    format: { type: "string", default: "Q4_0" },
    threads: { type: "string", default: "1" },
    concurrency: { type: "string", default: "1,4,8,16" },
    rounds: { type: "string", default: "3" },
    jobs: { type: "string" },
    // Empty leaves the table of sampling out.
    sampling: { type: "string", default: "1,8" },
  },
  async run(values, session) {
    const { print } = session;
    const levelsWanted = wholes(values, "concurrency");
    const program = findProgram();
    const own = fileOf(values, "model");
    const model = own ?? (await smallModel(oneOf(values, "format", FORMATS)));
    const tokens = { shared: SHARED_TOKENS, own: OWN_TOKENS };
    const plan: Plan = {
      model,
      program,
      // In the random models a character is a token, and no token can end an answer.
      shape: own ? await shapeFor(tokens, program, own, session) : tokens,
      biases: own ? await biasesAgainstEnd(own) : undefined,
      answerTokens: ANSWER_TOKENS,
      threads: whole(values, "threads"),
      rounds: whole(values, "rounds"),
      jobs: values.jobs === undefined ? undefined : whole(values, "jobs"),
    };
    const [machineFacts, file] = [machine(), modelFile(model)];
    const { threads, rounds } = plan;
    print(factsLine(machineFacts, { model: modelText(file), threads, rounds }));
    print(
      `${SHARED_TOKENS} shared + ${OWN_TOKENS} own prompt tokens, ${ANSWER_TOKENS} out, greedy; ${plan.program}\n`,
    );
    const levels: Level[] = [];
    for (const concurrency of levelsWanted) {
      levels.push(await measureLevel(plan, concurrency, session));
      process.stderr.write(`measured C=${concurrency}\n`);
    }
    print(
      `warm (medians of ${rounds} rounds, ours and theirs by turns; ratios are ours / theirs)\n${warmTable(levels)}\n`,
    );
    print(`first wave of a fresh process, C requests at once\n${coldTable(levels)}\n`);
    for (const line of failureLines(levels)) print(line);
    const widths = values.sampling === "" ? [] : wholes(values, "sampling");
    const sampling = await measureSampling({ own, threads, rounds, widths, program }, session);
    const met = addedUp([targetsMet(levels), samplingTargets(sampling)]);
    print(`targets met: ${met.met} of ${met.of}`);
    return { machine: machineFacts, model: file, threads, rounds, levels, sampling, targets: met };
  },
};

const addedUp = (targets: readonly { met: number; of: number }[]) =>
  targets.reduce((all, { met, of }) => ({ met: all.met + met, of: all.of + of }));

type Plan = {
  model: string;
  program: string;
  shape: Shape;
  /** Keep answers from ending early. */
  biases: More["logit_bias"];
  answerTokens: number;
  threads: number;
  rounds: number;
  jobs: number | undefined;
};
type Pair<T> = { ours: T; theirs: T };

/** The figures of one concurrency. `restarted` is our engine's first wave after a stop and a start. */
export type Level = {
  concurrency: number;
  warm: Pair<Sample>;
  first: Pair<Sample> & { restarted: Sample };
  /** The largest cached share that a first wave can have: with a new prefix, and with one that was kept. */
  possible: { unseen: number; restarted: number };
};

async function measureLevel(plan: Plan, concurrency: number, session: Session): Promise<Level> {
  await using stack = new AsyncDisposableStack();
  const dataDir = temporaryFolder(stack);
  const { model, threads, answerTokens: tokens } = plan;
  const common = { model, threads, slots: concurrency, contextSize: CONTEXT };
  const startOurs = () => startOurEngine({ ...common, backend: "node-llama-cpp", dataDir }, session);
  const theirs = await startLlamaServer(plan.program, common, session);
  stack.defer(() => theirs.stop());
  const ours = await startOurs();
  stack.defer(() => ours.stop());

  const how = { concurrency, tokens, signal: session.signal };
  const run: Run = (server, count, seed) => measure(server, callsOf(plan, count, seed), how);
  const first = { theirs: await run(theirs, concurrency, 0), ours: await run(ours, concurrency, 0) };
  const warm = await takeTurns(
    { ours, theirs },
    run,
    plan.rounds,
    plan.jobs ?? Math.max(16, 2 * concurrency),
  );
  await ours.stop();
  const again = await startOurs();
  stack.defer(() => again.stop());
  // The prompts have new ends, so that only their common beginning can be cached.
  const restarted = await run(again, concurrency, RESTARTED_SEED);
  return { concurrency, warm, first: { ...first, restarted }, possible: possible(plan.shape, concurrency) };
}

type Run = (server: ServerProcess, count: number, seed: number) => Promise<Sample>;

function callsOf({ shape, answerTokens, biases }: Plan, count: number, seed: number): Call[] {
  const more = biases && { logit_bias: biases };
  return promptsOf(shape, count, seed).map((prompt) => completion(prompt, answerTokens, more));
}

/** The common beginning as a share of the prompt tokens. If it is new, one request of the wave must evaluate it. */
export function possible({ shared, own }: Shape, concurrency: number): Level["possible"] {
  const restarted = shared / (shared + own);
  return { restarted, unseen: ((concurrency - 1) / concurrency) * restarted };
}

async function takeTurns(
  servers: Pair<ServerProcess>,
  run: Run,
  rounds: number,
  jobs: number,
): Promise<Pair<Sample>> {
  const samples: Pair<Sample[]> = { ours: [], theirs: [] };
  // Both get the same prompts, and new ones in every round.
  for (const who of interleave(["ours", "theirs"] as const, rounds))
    samples[who].push(await run(servers[who], jobs, samples[who].length + 1));
  return { ours: medianSample(samples.ours), theirs: medianSample(samples.theirs) };
}

/** The lengths in characters that give these numbers of tokens with this model. Found by asking once. */
async function shapeFor(tokens: Shape, program: string, model: string, session: Session): Promise<Shape> {
  const server = await startLlamaServer(
    program,
    { model, threads: 1, slots: 1, contextSize: CONTEXT },
    session,
  );
  try {
    const probe = textOf(CONTEXT / 4, 999);
    const { answers } = await runLoad([completion(probe, 1)], server, 1, session.signal);
    const { promptTokens, failure } = answers[0]!;
    if (failure !== undefined)
      throw new KamadoError("engine_unavailable", `llama-server does not answer: ${failure}`);
    const seen = { characters: probe.length, tokens: promptTokens };
    return { shared: lengthFor(tokens.shared, seen), own: lengthFor(tokens.own, seen) };
  } finally {
    await server.stop();
  }
}

/** One measured wave: its figures and the CPU time that the server's process used. */
export type Sample = Figures & {
  /** For each good answer, so that failing saves nothing. */
  cpuSecondsPerJob: number;
  /** The share of the main thread: in our process everything but llama.cpp. Undefined where it cannot be measured. */
  mainThreadShare: number | undefined;
};

async function measure(
  server: ServerProcess,
  calls: readonly Call[],
  how: { concurrency: number; tokens: number; signal: AbortSignal },
): Promise<Sample> {
  const [cpuBefore, mainBefore] = [cpuSeconds(server.pid), mainThreadSeconds(server.pid)];
  const wave = await runLoad(calls, server, how.concurrency, how.signal);
  const cpu = cpuSeconds(server.pid) - cpuBefore;
  const main = mainThreadSeconds(server.pid);
  return {
    ...costOf(cpu, figuresOf(wave, how.tokens)),
    mainThreadShare: main === undefined || mainBefore === undefined ? undefined : (main - mainBefore) / cpu,
  };
}

/** NaN where no answer was good. */
export function costOf(cpu: number, figures: Figures): Figures & Pick<Sample, "cpuSecondsPerJob"> {
  const good = figures.requests - figures.failures;
  return { ...figures, cpuSecondsPerJob: good === 0 ? Number.NaN : cpu / good };
}

/** The median of each figure over the rounds. Failures and uneven answers are added up. */
export function medianSample(samples: readonly Sample[]): Sample {
  return {
    ...medianFigures(samples),
    cpuSecondsPerJob: median(samples.map(({ cpuSecondsPerJob }) => cpuSecondsPerJob)),
    mainThreadShare: medianOfKnown(samples.map(({ mainThreadShare }) => mainThreadShare)),
  };
}

const CPU_TARGETS: Record<number, Target> = { 1: atMost(1.02), 8: atMost(0.87), 16: atMost(0.87) };
/** Share of the prompt tokens after a restart. With a new prefix: share of what is possible. */
const SHARE_TARGET = atLeast(0.8);
const SHARE_TARGET_FROM = 4;

/** NaN where a request failed or an answer has the wrong length, because then costs cannot be compared. */
const ifSound = (value: number, ...samples: readonly Sample[]) =>
  samples.every(isSound) ? value : Number.NaN;

function cpuRatio({ warm: { ours, theirs } }: Level): number {
  return ifSound(ours.cpuSecondsPerJob / theirs.cpuSecondsPerJob, ours, theirs);
}
const cpuTarget = ({ concurrency }: Level) => CPU_TARGETS[concurrency];
const shareTarget = ({ concurrency }: Level) => (concurrency >= SHARE_TARGET_FROM ? SHARE_TARGET : undefined);
const unseenShare = ({ first: { ours }, possible }: Level) =>
  ifSound(ours.cachedShare / possible.unseen, ours);
const restartedShare = ({ first: { restarted } }: Level) => ifSound(restarted.cachedShare, restarted);

const right = (title: string): Column => ({ title, align: "right" });

export function warmTable(levels: readonly Level[]): string {
  const columns = ["C", "CPU s/job", "llama-server", "ratio"].map(right);
  const times = ["tokens/s", "ratio", "TTFT ms", "ratio", "TPOT ms", "ratio"];
  const others = ["cached", "theirs", "JS", "uneven", "failed"];
  return table([...columns, { title: "target" }, ...[...times, ...others].map(right)], levels.map(warmRow));
}

function warmRow(level: Level): Styled[] {
  const { ours, theirs } = level.warm;
  const withRatio = (name: "completionTokensPerSecond" | "ttftMs" | "tpotMs", count: number) => [
    digits(ours[name], count),
    digits((ours[name] ?? Number.NaN) / (theirs[name] ?? Number.NaN), 2),
  ];
  return [
    String(level.concurrency),
    digits(ours.cpuSecondsPerJob, 3),
    digits(theirs.cpuSecondsPerJob, 3),
    digits(cpuRatio(level), 3),
    mark(cpuRatio(level), cpuTarget(level)),
    ...withRatio("completionTokensPerSecond", 0),
    ...withRatio("ttftMs", 0),
    ...withRatio("tpotMs", 1),
    percent(ours.cachedShare),
    percent(theirs.cachedShare),
    percent(ours.mainThreadShare),
    `${ours.uneven}/${theirs.uneven}`,
    `${ours.failures}/${theirs.failures}`,
  ];
}

export function coldTable(levels: readonly Level[]): string {
  const columns: Column[] = [
    right("C"),
    { title: "who" },
    ...["CPU s/job", "ratio", "TTFT ms", "cached", "possible"].map(right),
    { title: "target" },
  ];
  return table(columns, levels.flatMap(coldRows));
}

function coldRows(level: Level): Styled[][] {
  const { theirs, ours, restarted } = level.first;
  const row = (who: string, sample: Sample, possible: number, verdict: Styled) => [
    String(level.concurrency),
    who,
    digits(sample.cpuSecondsPerJob, 3),
    digits(ifSound(sample.cpuSecondsPerJob / theirs.cpuSecondsPerJob, sample, theirs), 3),
    digits(sample.ttftMs, 0),
    percent(sample.cachedShare),
    percent(possible),
    verdict,
  ];
  const target = shareTarget(level);
  const ofPossible = mark(unseenShare(level), target, " of what is possible");
  return [
    row("llama-server", theirs, level.possible.unseen, ""),
    row("ours", ours, level.possible.unseen, ofPossible),
    row("ours after a restart", restarted, level.possible.restarted, mark(restartedShare(level), target)),
  ];
}

export function targetsMet(levels: readonly Level[]): { met: number; of: number } {
  const verdicts = levels.flatMap((level) => {
    const [cpu, share] = [cpuTarget(level), shareTarget(level)];
    const shares = share ? [unseenShare, restartedShare].map((of) => meets(of(level), share)) : [];
    return [...(cpu ? [meets(cpuRatio(level), cpu)] : []), ...shares];
  });
  return { met: verdicts.filter(Boolean).length, of: verdicts.length };
}

/** Says which rows have failed or uneven answers, and why. */
export function failureLines(levels: readonly Level[]): string[] {
  return levels.flatMap(({ concurrency, warm, first }) => {
    const samples = {
      ...warm,
      "ours, first wave": first.ours,
      "theirs, first wave": first.theirs,
      "ours after a restart": first.restarted,
    };
    return Object.entries(samples).flatMap(([who, sample]) =>
      problemsOf(sample).map((problem) => `C=${concurrency}, ${who}: ${problem}`),
    );
  });
}
