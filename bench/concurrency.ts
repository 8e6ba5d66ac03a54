// `bench concurrency`: how the completion rate of one server grows with the number of concurrent requests. The levels take turns.
import { randomInt } from "node:crypto";
import { availableParallelism } from "node:os";
import { KamadoError } from "../worker/errors.ts";
import { type Column, fit, table } from "../worker/logging/terminal.ts";
import { addressOf, type Bench, fileOf, oneOf, type Values, whole, wholes } from "./arguments.ts";
import { startOurEngine } from "./engine-process.ts";
import {
  type Figures,
  figuresOf,
  interleave,
  isSound,
  median,
  medianFigures,
  problemsOf,
} from "./figures.ts";
import { completion, type More, runLoad, type Target } from "./load.ts";
import { factsLine, machine, modelFile, modelText } from "./machine.ts";
import { biasesAgainstEnd, FORMATS, smallModel } from "./models.ts";
import { cpuSeconds } from "./process-usage.ts";
import { lengthFor, textOf } from "./prompts.ts";
import type { Print, Session } from "./session.ts";
import { atLeast, digits, mark, percent } from "./table.ts";

const PROMPT_TOKENS = 1_550;
const ANSWER_TOKENS = 330;
const CONTEXT = 2_048;
const LEVELS = "1,5,10,15,20";
const WIDE = "1,2,4,5,8,9,10,15,16,20";
/** The server in the articles queues requests and runs one at a time. Its rate grows 1.57 times. */
const TARGET = atLeast(3.5);

export const concurrency: Bench = {
  about: "the table of one server at 1/5/10/15/20 requests at once: times, tokens/s, failures",
  options: {
    url: { type: "string" },
    model: { type: "string" },
    token: { type: "string" },
    format: { type: "string", default: "Q4_0" },
    threads: { type: "string", default: String(Math.min(2, availableParallelism())) },
    rounds: { type: "string", default: "3" },
    warm: { type: "boolean", default: false },
    distinct: { type: "boolean", default: false },
    levels: { type: "string", default: LEVELS },
    wide: { type: "boolean", default: false },
    seed: { type: "string" },
  },
  async run(values, session) {
    await using stack = new AsyncDisposableStack();
    const { print, signal } = session;
    const levels = wholes(values.wide === true ? { levels: WIDE } : values, "levels");
    const rounds = whole(values, "rounds");
    // A new one in every run: a server that kept running, or keeps prefixes in files, knows the prompts of the last run.
    const seed = values.seed === undefined ? randomInt(1, 1_000_000) : whole(values, "seed");
    const [isWarm, isDistinct] = [values.warm === true, values.distinct === true];
    if (isWarm && isDistinct)
      throw new KamadoError("config_invalid", "--warm and --distinct contradict each other; give one.");
    const server = await serverFor(values, Math.max(...levels), session);
    stack.defer(() => server.stop());
    print(factsLine(machine(), { ...server.facts, seed }));
    const length = await lengthOf(PROMPT_TOKENS, server, signal);
    let next = seed;
    const newPrompt = () => textOf(length, isWarm ? seed : next++);
    const promptsOf = (level: number) => {
      const shared = newPrompt();
      return Array.from({ length: level }, (_, at) => (at === 0 || !isDistinct ? shared : newPrompt()));
    };
    print(
      `waves of ${isDistinct ? "a prompt of its own for each" : "one prompt for all"}, about ${PROMPT_TOKENS} tokens that the server has ${isWarm ? "" : "not "}seen; ` +
        `${ANSWER_TOKENS} out; the levels take turns, medians of ${rounds} waves each\n`,
    );
    if (isWarm) await runLoad([completion(newPrompt(), 1, server.more)], server, 1, signal);
    const measured = await takeTurns(server, promptsOf, { levels, rounds }, session);
    return { facts: { ...machine(), ...server.facts }, rounds, seed, ...report(measured, print, isDistinct) };
  },
};

type Server = Target & {
  /** Further fields of every completion. */
  more: More;
  /** Only for our own engine. */
  pid?: number;
  facts: Record<string, string | number>;
  stop(): Promise<void>;
};

/** The server at --url. Without it, our own engine. */
async function serverFor(values: Values, slots: number, session: Session): Promise<Server> {
  const url = addressOf(values, "url");
  if (url !== undefined) {
    const { token, model } = values as Record<string, string | undefined>;
    const facts = { server: url, ...(model !== undefined && { model }) };
    const more = {
      // Kamado's own engine refuses what it does not do. Its random and demo models need no such wish.
      ...(!(await isKamado(url, token)) && { ignore_eos: true as const }),
      ...(model !== undefined && { model }),
    };
    return { url, token, more, facts, stop: async () => {} };
  }
  const threads = whole(values, "threads");
  const own = fileOf(values, "model");
  const model = own ?? (await smallModel(oneOf(values, "format", FORMATS)));
  const more = own === undefined ? {} : { logit_bias: await biasesAgainstEnd(own) };
  const flags = { model, backend: "node-llama-cpp" as const, slots, threads, contextSize: CONTEXT };
  const engine = await startOurEngine(flags, session);
  const facts = { server: "our engine", model: modelText(modelFile(model)), threads, slots };
  return { ...engine, token: undefined, more, facts };
}

async function isKamado(url: string, token: string | undefined): Promise<boolean> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const answer = await fetch(`${url}/v1/models`, { headers }).catch(() => undefined);
  const listed = (await answer?.json().catch(() => undefined)) as
    | { data?: { owned_by?: string }[] }
    | undefined;
  return listed?.data?.[0]?.owned_by === "kamado";
}

/** How many characters give a prompt of this many tokens. Found by asking once. */
async function lengthOf(tokens: number, server: Server, signal: AbortSignal): Promise<number> {
  const probe = textOf(400, 999);
  const { answers } = await runLoad([completion(probe, 1, server.more)], server, 1, signal);
  const { promptTokens, failure } = answers[0]!;
  if (failure !== undefined)
    throw new KamadoError("engine_unavailable", `${server.url} does not answer as it should: ${failure}`);
  return lengthFor(tokens, { characters: probe.length, tokens: promptTokens });
}

type Level = {
  concurrency: number;
  /** CPU time of the server's process for each completion token. Only for our own engine. */
  cpuMsPerToken?: number;
} & Figures;

async function takeTurns(
  server: Server,
  promptsOf: (level: number) => string[],
  { levels, rounds }: { levels: readonly number[]; rounds: number },
  { signal }: Session,
): Promise<Level[]> {
  const waves: Level[] = [];
  for (const level of interleave(levels, rounds)) {
    waves.push(await measureWave(server, promptsOf(level), level, signal));
    process.stderr.write(`measured ${level}\n`);
  }
  return levels.map((level) => medianLevel(waves.filter(({ concurrency }) => concurrency === level)));
}

async function measureWave(
  server: Server,
  prompts: readonly string[],
  level: number,
  signal: AbortSignal,
): Promise<Level> {
  const calls = prompts.map((prompt) => completion(prompt, ANSWER_TOKENS, server.more));
  const before = server.pid === undefined ? undefined : cpuSeconds(server.pid);
  const wave = await runLoad(calls, server, level, signal);
  const figures = figuresOf(wave, ANSWER_TOKENS);
  const tokens = figures.completionTokensPerSecond * figures.wallSeconds;
  return {
    concurrency: level,
    ...figures,
    ...(before !== undefined && { cpuMsPerToken: ((cpuSeconds(server.pid!) - before) * 1_000) / tokens }),
  };
}

/** The medians of a level's waves. Failures are added up. */
export function medianLevel(waves: readonly Level[]): Level {
  const cpu = waves.flatMap(({ cpuMsPerToken }) => cpuMsPerToken ?? []);
  return {
    concurrency: waves[0]!.concurrency,
    ...medianFigures(waves),
    ...(cpu.length > 0 && { cpuMsPerToken: median(cpu) }),
  };
}

function report(levels: readonly Level[], print: Print, isDistinct: boolean): object {
  print(concurrencyTable(levels));
  for (const level of levels)
    for (const problem of problemsOf(level)) print(`at ${level.concurrency}: ${problem}`);
  const [growth, cpuGrowth] = [rateGrowth(levels), tokensPerCpuGrowth(levels)];
  const against = `at ${levels.at(-1)!.concurrency} against ${levels[0]!.concurrency}`;
  print(
    `\ncompletion tokens/s ${against}: ${digits(growth, 2)}x${isDistinct ? "" : `  ${fit(mark(growth, TARGET))}`}`,
  );
  if (cpuGrowth !== undefined)
    print(
      `completion tokens for each CPU second ${against}: ${digits(cpuGrowth, 2)}x (holds on a busy machine)`,
    );
  return { levels, growth, cpuGrowth, ...(!isDistinct && { target: TARGET.value }) };
}

const TITLES = ["at once", "requests", "wall s", "mean s", "p50 s", "p95 s", "p99 s", "TTFT ms", "TPOT ms"];
const MORE_TITLES = ["prompt tok/s", "compl. tok/s", "CPU ms/tok", "cached", "uneven", "failed"];

export function concurrencyTable(levels: readonly Level[]): string {
  const columns = [...TITLES, ...MORE_TITLES].map((title): Column => ({ title, align: "right" }));
  return table(columns, levels.map(row));
}

function row(level: Level): string[] {
  const { mean, p50, p95, p99 } = level.endToEndMs;
  return [
    String(level.concurrency),
    String(level.requests),
    digits(level.wallSeconds, 1),
    ...[mean, p50, p95, p99].map((ms) => digits(ms / 1_000, 2)),
    digits(level.ttftMs, 0),
    digits(level.tpotMs, 1),
    digits(level.promptTokensPerSecond, 0),
    digits(level.completionTokensPerSecond, 1),
    digits(level.cpuMsPerToken, 2),
    percent(level.cachedShare),
    String(level.uneven),
    String(level.failures),
  ];
}

/** The completion rate of the last level divided by that of the first. NaN where one of the two is not sound. */
export function rateGrowth(
  levels: readonly Pick<Level, "completionTokensPerSecond" | "failures" | "uneven">[],
): number {
  const [first, last] = [levels[0]!, levels.at(-1)!];
  if (!isSound(first) || !isSound(last)) return Number.NaN;
  return last.completionTokensPerSecond / first.completionTokensPerSecond;
}

/** The gain of batching alone: how many times less CPU time a token costs at the last level than at the first. */
export function tokensPerCpuGrowth(levels: readonly Pick<Level, "cpuMsPerToken">[]): number | undefined {
  const [first, last] = [levels[0]?.cpuMsPerToken, levels.at(-1)?.cpuMsPerToken];
  return first === undefined || last === undefined ? undefined : first / last;
}
