// `bench concurrency`: how the completion rate of one server grows with the requests that run at once. The levels take turns.
import { randomInt } from "node:crypto";
import { availableParallelism } from "node:os";
import { type Bench, whole, wholes } from "./arguments.ts";
import {
  concurrencyTable,
  type Level,
  medianLevel,
  rateGrowth,
  spoiledLines,
  TARGET,
  tokensPerCpuGrowth,
} from "./concurrency-report.ts";
import { lengthOf, type Server, serverFor } from "./concurrency-server.ts";
import { cpuSeconds } from "./cpu-time.ts";
import { figuresOf } from "./figures.ts";
import { interleave } from "./interleave.ts";
import { completion, runLoad } from "./load.ts";
import { factsLine, machine } from "./machine.ts";
import { textOf } from "./prompts.ts";
import type { Print, Session } from "./session.ts";
import { digits, mark } from "./table.ts";

const PROMPT_TOKENS = 1_550;
const ANSWER_TOKENS = 330;
const LEVELS = "1,5,10,15,20";
const WIDE = "1,2,4,5,8,9,10,15,16,20";

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
    levels: { type: "string", default: LEVELS },
    wide: { type: "boolean", default: false },
    seed: { type: "string" },
  },
  async run(values, session) {
    await using stack = new AsyncDisposableStack();
    const { print, signal } = session;
    const levels = wholes(values.wide === true ? { levels: WIDE } : values, "levels");
    const rounds = whole(values, "rounds");
    // Another one in every run: a server that stayed up, or kept what it read, has seen the last run's prompts.
    const seed = values.seed === undefined ? randomInt(1, 1_000_000) : whole(values, "seed");
    const isWarm = values.warm === true;
    const server = await serverFor(values, Math.max(...levels), session);
    stack.defer(() => server.stop());
    print(factsLine(machine(), { ...server.facts, seed }));
    const length = await lengthOf(PROMPT_TOKENS, server, signal);
    let next = seed;
    const newPrompt = () => textOf(length, isWarm ? seed : next++);
    print(
      `waves of one prompt for all, about ${PROMPT_TOKENS} tokens that the server has ${isWarm ? "" : "not "}seen; ` +
        `${ANSWER_TOKENS} out; the levels take turns, medians of ${rounds} waves each\n`,
    );
    if (isWarm) await runLoad([completion(newPrompt(), 1, server.more)], server, 1, signal);
    const measured = await takeTurns(server, newPrompt, { levels, rounds }, session);
    return { facts: { ...machine(), ...server.facts }, rounds, seed, ...report(measured, print) };
  },
};

type Plan = { levels: readonly number[]; rounds: number };

async function takeTurns(
  server: Server,
  newPrompt: () => string,
  { levels, rounds }: Plan,
  { signal }: Session,
): Promise<Level[]> {
  const waves: Level[] = [];
  for (const level of interleave(levels, rounds)) {
    waves.push(await measureWave(server, newPrompt(), level, signal));
    process.stderr.write(`measured ${level}\n`);
  }
  return levels.map((level) => medianLevel(waves.filter(({ concurrency }) => concurrency === level)));
}

async function measureWave(
  server: Server,
  prompt: string,
  level: number,
  signal: AbortSignal,
): Promise<Level> {
  const call = completion(prompt, ANSWER_TOKENS, server.more);
  const before = server.pid === undefined ? undefined : cpuSeconds(server.pid);
  const wave = await runLoad(Array<typeof call>(level).fill(call), server, level, signal);
  const figures = figuresOf(wave, ANSWER_TOKENS);
  const tokens = figures.completionTokensPerSecond * figures.wallSeconds;
  return {
    concurrency: level,
    ...figures,
    ...(before !== undefined && { cpuMsPerToken: ((cpuSeconds(server.pid!) - before) * 1_000) / tokens }),
  };
}

function report(levels: readonly Level[], print: Print): object {
  print(concurrencyTable(levels));
  for (const line of spoiledLines(levels)) print(line);
  const [growth, cpuGrowth] = [rateGrowth(levels), tokensPerCpuGrowth(levels)];
  const against = `at ${levels.at(-1)!.concurrency} against ${levels[0]!.concurrency}`;
  print(`\ncompletion tokens/s ${against}: ${digits(growth, 2)}x  ${mark(growth, TARGET)}`);
  if (cpuGrowth !== undefined)
    print(
      `completion tokens for each CPU second ${against}: ${digits(cpuGrowth, 2)}x (holds on a busy machine)`,
    );
  return { levels, growth, cpuGrowth, target: TARGET.value };
}
