// What slots share with each other, seen from outside: what an answer says, and how many prompt tokens it did not cost.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LlamaContextSequence } from "node-llama-cpp";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeRecurrentModel } from "../../../../models/random/recurrent.ts";
import {
  type NodeLlamaCppBackend,
  openNodeLlamaCpp,
} from "../../../../worker/engine/backends/node-llama-cpp/open.ts";
import { type Generation, GREEDY } from "../../../../worker/engine/generation/backend.ts";
import { type Pair, sharedLibrary, writePair } from "../../tiny-model.ts";

const SLOTS = 4;
let pair: Pair;
let lonely: NodeLlamaCppBackend;
beforeAll(async () => {
  pair = writePair();
  lonely = await engine({ slots: 1 });
});
afterAll(async () => {
  await lonely.close();
  pair.remove();
});

type Opening = { prefixFolder?: string; slots?: number; model?: string; contextSize?: number };
async function engine(more: Opening = {}): Promise<NodeLlamaCppBackend> {
  return openNodeLlamaCpp(
    { model: pair.model, slots: SLOTS, contextSize: 512, llama: await sharedLibrary(), ...more },
    pino({ level: "silent" }),
  );
}

type Asked = { text: string; maxTokens?: number; conversation?: string; signal?: AbortSignal };
async function ask(backend: NodeLlamaCppBackend, asked: Asked) {
  const generation: Generation = {
    prompt: { text: asked.text },
    maxTokens: asked.maxTokens ?? 6,
    sampling: GREEDY,
    stop: [],
    schema: undefined,
    topLogprobs: undefined,
    conversation: asked.conversation,
  };
  const prepared = await backend.prepare(generation);
  let answer = "";
  const outcome = await prepared.run(({ text }) => {
    answer += text;
    return true;
  }, asked.signal ?? new AbortController().signal);
  return { ...outcome, answer };
}

// A token each: the tokenizer merges nothing that is spelled with these.
const LETTERS = "abcdfgijklmpqrsuvwxz";
let calls = 0;
/** No two calls begin alike. */
function fresh(length: number): string {
  const number = ++calls;
  return Array.from({ length }, (_, at) => LETTERS[(at * 7 + number * (at + 11)) % LETTERS.length]).join("");
}
/** What the model says when nobody else is there and nothing of the prompt is. */
async function alone(text: string, solo = lonely): Promise<string> {
  await ask(solo, { text: fresh(50), maxTokens: 1 });
  return (await ask(solo, { text })).answer;
}
const sum = (numbers: number[]) => numbers.reduce((sum, number) => sum + number, 0);

describe("a prefix that many begin with", { timeout: 60_000 }, () => {
  test("is evaluated once, though all come at the same moment", async () => {
    const backend = await engine();
    const prefix = fresh(200);
    const texts = ["a door", "the window", "my cat", "your dog"].map((end) => prefix + end);
    const answers = await Promise.all(texts.map((text) => ask(backend, { text })));
    expect(sum(answers.map(({ cachedTokens }) => cachedTokens))).toBeGreaterThanOrEqual(3 * 200);
    for (const [at, text] of texts.entries()) expect(answers[at]!.answer).toBe(await alone(text));
    await backend.close();
  });

  test("is shared however long it is", async () => {
    const backend = await engine({ contextSize: 2_048 });
    const prefix = fresh(1_500);
    const answers = await Promise.all(["a", "b", "c"].map((end) => ask(backend, { text: prefix + end })));
    expect(sum(answers.map(({ cachedTokens }) => cachedTokens))).toBeGreaterThanOrEqual(2 * 1_500);
    await backend.close();
  });

  test("is taken over from one that is still answering", async () => {
    const backend = await engine();
    const prefix = fresh(150);
    const gone = new AbortController();
    const first = Promise.withResolvers<void>();
    const generation = ask(backend, { text: `${prefix}one`, maxTokens: 300, signal: gone.signal });
    const watch = setInterval(() => backend.batchLoop.steps > 3 && first.resolve(), 1);
    await first.promise;
    clearInterval(watch);
    const second = await ask(backend, { text: `${prefix}two` });
    gone.abort();
    await generation.catch(() => {});
    expect(second.cachedTokens).toBeGreaterThanOrEqual(150);
    expect(second.answer).toBe(await alone(`${prefix}two`));
    await backend.close();
  });

  test("is evaluated by the next in line when who was to do it goes away", async () => {
    const backend = await engine();
    const prefix = fresh(300);
    const gone = new AbortController();
    const leader = ask(backend, { text: `${prefix}one`, signal: gone.signal });
    const others = ["two", "three", "four"].map((end) => ask(backend, { text: prefix + end }));
    gone.abort();
    await expect(leader).rejects.toThrow();
    const answers = await Promise.all(others);
    expect(sum(answers.map(({ cachedTokens }) => cachedTokens))).toBeGreaterThanOrEqual(2 * 300);
    expect(answers[2]!.answer).toBe(await alone(`${prefix}four`));
    await backend.close();
  });

  test("is still there after every slot was used for something else", async () => {
    const backend = await engine({ slots: 2 });
    const prefix = fresh(200);
    for (let at = 0; at < 9; at++) await ask(backend, { text: `${prefix}${at}` });
    await Promise.all([1, 2, 3, 4].map(() => ask(backend, { text: fresh(250) })));
    const again = await ask(backend, { text: `${prefix}and again` });
    expect(again.cachedTokens).toBeGreaterThanOrEqual(200);
    expect(again.answer).toBe(await alone(`${prefix}and again`));
    await backend.close();
  });

  test("is known to the queue before anything runs", async () => {
    const backend = await engine();
    const prefix = fresh(200);
    await ask(backend, { text: `${prefix}one` });
    const prepare = async (text: string) => {
      const asked = { prompt: { text }, maxTokens: 1, stop: [], sampling: {} };
      const { warmTokens } = await backend.prepare({
        ...asked,
        sampling: { repetitionPenalty: 1, frequencyPenalty: 0, presencePenalty: 0, logitBias: new Map() },
      } as unknown as Generation);
      return warmTokens!();
    };
    expect(await prepare(`${prefix}two`)).toBeGreaterThanOrEqual(200);
    expect(await prepare(fresh(200))).toBeLessThan(5);
    await backend.close();
  });
});

describe("with the library's own copy, where it has one", { timeout: 60_000 }, () => {
  const prototype = LlamaContextSequence.prototype as unknown as Record<string, unknown>;
  const NAME = "_copyStateFromOtherSequence";
  const had = prototype[NAME];
  afterAll(() => {
    prototype[NAME] = had;
  });

  test.each([
    ["copies", true],
    ["goes by way of a file when the copy fails", false],
  ])("a prefix %s", async (_, works) => {
    const folder = mkdtempSync(join(tmpdir(), "kamado-"));
    let copies = 0;
    // In the stead of a call that not every version has: the same result by way of a file.
    prototype[NAME] = async function (
      this: LlamaContextSequence,
      from: LlamaContextSequence,
      length: number,
    ) {
      copies++;
      if (!works) return false;
      await from.saveStateToFile(join(folder, "state"));
      await this.loadStateFromFile(join(folder, "state"), { acceptRisk: true });
      await this.eraseContextTokenRanges([{ start: length, end: this.nextTokenIndex }]);
      return true;
    };
    const backend = await engine();
    const prefix = fresh(200);
    const texts = ["a door", "the window", "my cat"].map((end) => prefix + end);
    const answers = await Promise.all(texts.map((text) => ask(backend, { text })));
    // The file that the first one leaves serves the next one too.
    expect(copies).toBe(works ? 2 : 1);
    expect(backend.state().prefixes.count).toBe(works ? 0 : 1);
    expect(sum(answers.map(({ cachedTokens }) => cachedTokens))).toBeGreaterThanOrEqual(2 * 200);
    expect(answers[1]!.answer).toBe(await alone(texts[1]!));
    await backend.close();
    rmSync(folder, { recursive: true });
  });
});

describe("a conversation", { timeout: 60_000 }, () => {
  test("goes on from where it was, whatever ran in between", async () => {
    const backend = await engine({ slots: 2 });
    const beginning = fresh(120);
    const { answer } = await ask(backend, { text: beginning, conversation: "c1" });
    await Promise.all([1, 2, 3, 4].map(() => ask(backend, { text: fresh(200) })));
    const next = await ask(backend, { text: `${beginning}${answer} and then`, conversation: "c1" });
    expect(next.cachedTokens).toBeGreaterThanOrEqual(120);
    await backend.close();
  });
});

describe("what many ask survives a restart", { timeout: 60_000 }, () => {
  async function afterRestart(between: (files: string[]) => void) {
    const prefixFolder = mkdtempSync(join(tmpdir(), "kamado-"));
    const prefix = fresh(200);
    const before = await engine({ prefixFolder });
    for (let at = 0; at < 9; at++) await ask(before, { text: `${prefix}${at}` });
    await before.close();
    const [model] = readdirSync(prefixFolder);
    const files = readdirSync(join(prefixFolder, model!)).map((name) => join(prefixFolder, model!, name));
    between(files);
    const after = await engine({ prefixFolder });
    const answer = await ask(after, { text: `${prefix}x` });
    await after.close();
    expect(answer.answer).toBe(await alone(`${prefix}x`));
    const left = readdirSync(join(prefixFolder, model!));
    rmSync(prefixFolder, { recursive: true });
    return { cached: answer.cachedTokens, files, left };
  }

  test("and nothing of it is evaluated again", async () => {
    const { cached, files } = await afterRestart(() => {});
    expect(cached).toBeGreaterThanOrEqual(200);
    // One state and its note, not one for each request.
    expect(files).toHaveLength(2);
  });

  test.each<[string, (state: string) => void]>([
    ["cut off", (state) => truncateSync(state, 1_000)],
    ["changed", (state) => writeFileSync(state, Buffer.alloc(60_000), { flag: "r+" })],
    ["gone", (state) => rmSync(state)],
  ])("unless its file was %s: then it is evaluated, and the answer is right", async (_, damage) => {
    const { cached, left } = await afterRestart((files) => {
      damage(files.find((name) => name.endsWith(".state"))!);
    });
    expect(cached).toBeLessThan(5);
    expect(left).toEqual([]);
  });
});

describe("a model whose state cannot be cut", { timeout: 60_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "kamado-"));
  const model = join(folder, "recurrent.gguf");
  beforeAll(() => writeRecurrentModel(model));
  afterAll(() => rmSync(folder, { recursive: true }));

  test("shares a prefix too, and evaluates nothing behind the step's back", async () => {
    const backend = await engine({ model });
    const native = (backend.context as unknown as { _ctx: { decodeBatch(): Promise<void> } })._ctx;
    const decodeBatch = native.decodeBatch.bind(native);
    let decodes = 0;
    Object.defineProperty(native, "decodeBatch", {
      value: () => {
        decodes++;
        return decodeBatch();
      },
    });
    const prefix = fresh(200);
    const texts = ["a door", "the window", "my cat", "your dog"].map((end) => prefix + end);
    const answers = await Promise.all(texts.map((text) => ask(backend, { text })));
    expect(sum(answers.map(({ cachedTokens }) => cachedTokens))).toBeGreaterThanOrEqual(3 * 200);
    // Other prompts in the same slots, then the old ones again.
    await Promise.all(texts.map(() => ask(backend, { text: fresh(100) })));
    const again = await Promise.all(texts.map((text) => ask(backend, { text })));
    expect(decodes).toBe(backend.batchLoop.steps);
    await backend.close();
    const solo = await engine({ model, slots: 1 });
    for (const [at, text] of texts.entries()) {
      const answer = await alone(text, solo);
      expect([answers[at]!.answer, again[at]!.answer]).toEqual([answer, answer]);
    }
    await solo.close();
  });
});

describe("an engine that was killed", { timeout: 60_000 }, () => {
  test("leaves no prefixes in memory for longer than until the next one starts", async () => {
    const { pid } = spawnSync(process.execPath, ["--version"]);
    const parent = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
    const ours = () =>
      readdirSync(parent).filter((name) => name.startsWith(`kamado-prefixes-${process.pid}-`));
    const left = mkdtempSync(join(parent, `kamado-prefixes-${pid}-`));
    const before = ours();
    const backend = await engine();
    expect(existsSync(left)).toBe(false);
    expect(ours()).toHaveLength(before.length + 1);
    await backend.close();
    expect(ours()).toEqual(before);
  });
});
