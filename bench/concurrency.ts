// `bench concurrency`: how the completion rate of one server grows with the requests that run at once. Any server with
// OpenAI's API, by --url; without it, our own engine on a random model.
import { availableParallelism } from "node:os";
import { type Bench, oneOf, type Print, type Values, whole, wholes } from "./arguments.ts";
import {
  concurrencyTable,
  type Level,
  rateGrowth,
  TARGET,
  tokensPerCpuGrowth,
} from "./concurrency-report.ts";
import { cpuSeconds } from "./cpu-time.ts";
import { startOurEngine } from "./engine-process.ts";
import { figuresOf } from "./figures.ts";
import { completion, runLoad, type Target, type Wave } from "./load.ts";
import { factsLine, machine, modelFile, modelWords } from "./machine.ts";
import { lengthFor, textOf } from "./prompts.ts";
import { FORMATS, smallModel } from "./random-model.ts";
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
    rounds: { type: "string", default: "2" },
    warm: { type: "boolean", default: false },
    levels: { type: "string", default: LEVELS },
    wide: { type: "boolean", default: false },
  },
  async run(values, print) {
    await using stack = new AsyncDisposableStack();
    const levels = wholes(values.wide === true ? { levels: WIDE } : values, "levels");
    const rounds = whole(values, "rounds");
    const server = await serverFor(values, Math.max(...levels));
    stack.defer(() => server.stop());
    const facts = { ...machine(), ...server.facts };
    print(factsLine(machine(), server.facts));
    const prompts = new Prompts(await lengthOf(server), values.warm === true);
    const seen = values.warm === true ? "that the server has seen before" : "that the server has not seen";
    print(
      `waves of one prompt for all, about ${PROMPT_TOKENS} tokens ${seen}; ${ANSWER_TOKENS} out; ${rounds} waves a level\n`,
    );
    if (values.warm === true) await runLoad([completion(prompts.next(), 1, server.model)], server, 1);
    const measured: Level[] = [];
    for (const level of levels) measured.push(await measureLevel(server, prompts, level, rounds));
    return { facts, ...report(measured, print) };
  },
};

type Server = Target & {
  model: string | undefined;
  /** Of our own engine. */
  pid?: number;
  facts: Record<string, string | number>;
  stop(): Promise<void>;
};

async function serverFor(values: Values, slots: number): Promise<Server> {
  const { url, token, model } = values as Record<string, string | undefined>;
  if (url !== undefined) {
    const facts = { server: url, ...(model !== undefined && { model }) };
    return { url, token, model, facts, stop: async () => {} };
  }
  const threads = whole(values, "threads");
  const path = model ?? (await smallModel(oneOf(values, "format", FORMATS)));
  const contextSize = 2_048;
  const engine = await startOurEngine({
    model: path,
    backend: "node-llama-cpp",
    slots,
    threads,
    contextSize,
  });
  const facts = { server: "our engine", model: modelWords(modelFile(path)), threads, slots };
  return { url: engine.url, token: undefined, model: undefined, pid: engine.pid, facts, stop: engine.stop };
}

/** How many characters make a prompt of the wanted length, found by asking. */
async function lengthOf({ model, ...target }: Server): Promise<number> {
  const probe = textOf(400, 999);
  const tokens = promptTokensOf(await runLoad([completion(probe, 1, model)], target, 1));
  return lengthFor(PROMPT_TOKENS, { characters: probe.length, tokens });
}

/** Warm, it is always the same one; else no two begin alike. */
class Prompts {
  readonly #length: number;
  readonly #warm: boolean;
  #seed = 5;

  constructor(length: number, warm: boolean) {
    this.#length = length;
    this.#warm = warm;
  }

  next(): string {
    return textOf(this.#length, this.#warm ? this.#seed : this.#seed++);
  }
}

function promptTokensOf({ answers: [answer] }: Wave): number {
  if (answer?.failure === undefined) return answer!.promptTokens;
  throw new Error(`The server does not answer as it should: ${answer.failure}`);
}

async function measureLevel(server: Server, prompts: Prompts, level: number, rounds: number): Promise<Level> {
  const before = server.pid === undefined ? undefined : cpuSeconds(server.pid);
  const wave: Wave = { wallMs: 0, answers: [] };
  for (let round = 0; round < rounds; round++) {
    const call = completion(prompts.next(), ANSWER_TOKENS, server.model);
    const { wallMs, answers } = await runLoad(Array<typeof call>(level).fill(call), server, level);
    wave.wallMs += wallMs;
    wave.answers.push(...answers);
  }
  const cpu = before === undefined ? undefined : cpuSeconds(server.pid!) - before;
  process.stderr.write(`measured ${level}\n`);
  const figures = figuresOf(wave, ANSWER_TOKENS);
  const tokens = figures.completionTokensPerSecond * figures.wallSeconds;
  return {
    concurrency: level,
    ...figures,
    ...(cpu !== undefined && { cpuMsPerToken: (cpu * 1_000) / tokens }),
  };
}

function report(levels: readonly Level[], print: Print): object {
  print(concurrencyTable(levels));
  for (const { concurrency: level, firstFailure } of levels)
    if (firstFailure !== undefined) print(`at ${level} a request failed: ${firstFailure}`);
  const growth = rateGrowth(levels);
  const top = levels.at(-1)!.concurrency;
  print(
    `\ncompletion tokens/s at ${top} against ${levels[0]!.concurrency}: ${digits(growth, 2)}x  ${mark(growth, TARGET)}`,
  );
  const cpuGrowth = tokensPerCpuGrowth(levels);
  if (cpuGrowth !== undefined)
    print(
      `completion tokens for each CPU second at ${top} against ${levels[0]!.concurrency}: ${digits(cpuGrowth, 2)}x (holds on a busy machine)`,
    );
  return { levels, growth, cpuGrowth, target: TARGET.value };
}
