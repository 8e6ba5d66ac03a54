import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Pair, writePair } from "../../tiny-model.ts";
import { generation, NativeBackend, picture, says, talk, textOf, type Wanted } from "./native/llama-node.ts";

let pair: Pair;
let folder: string;
/** One that has seen nothing, for what is promised about first times, and one that keeps nothing, to compare with. */
let backend: NativeBackend;
let forgetful: NativeBackend;
const options = () => ({
  model: pair.model,
  mmproj: pair.mmproj,
  slots: 3,
  contextSize: 512,
  threads: 1,
  folder,
});
beforeAll(async () => {
  pair = writePair();
  folder = mkdtempSync(join(tmpdir(), "kamado-test-"));
  forgetful = await NativeBackend.open({ ...options(), budgetBytes: 0 });
}, 60_000);
beforeEach(async () => {
  backend = await NativeBackend.open(options());
  return () => backend.close();
}, 60_000);
afterAll(async () => {
  await forgetful.close();
  rmSync(folder, { recursive: true });
  pair.remove();
});

const INSTRUCTION =
  "You match what somebody says with the things they have to do. Answer with one word. ".repeat(2);
const QUESTIONS = [
  "Is it locked?",
  "Who was there?",
  "Where is the key?",
  "When does it begin?",
  "What now?",
];
const asked = (question: string, more: Wanted = {}) =>
  generation(talk(says("system", INSTRUCTION), says("user", question)), more);
const shown = async (colour: string, question: string, more: Wanted = {}) =>
  generation(talk(says("system", INSTRUCTION), says("user", await picture(colour), question)), more);
const saved = () => readdirSync(folder).flatMap((name) => readdirSync(join(folder, name)));

describe("an instruction that requests share", { timeout: 120_000 }, () => {
  test("is kept as soon as a second one has it, in whichever slot they run, and the answers stay what they were", async () => {
    const alone = [];
    for (const question of QUESTIONS) alone.push(await forgetful.run(asked(question)));
    const answers = [];
    for (const question of QUESTIONS) answers.push(await backend.run(asked(question)));
    expect(answers.map(textOf)).toEqual(alone.map(textOf));
    expect(alone.every(({ cachedTokens }) => cachedTokens === 0)).toBe(true);
    for (const { cachedTokens } of answers.slice(2)) expect(cachedTokens).toBeGreaterThan(INSTRUCTION.length);
  });

  test("is evaluated by one, and waited for by those who come at the same time", async () => {
    await backend.run(asked("The first?"));
    const answers = await Promise.all(QUESTIONS.slice(0, 3).map((question) => backend.run(asked(question))));
    const all = answers.filter(({ cachedTokens }) => cachedTokens === 0);
    const rest = answers.filter(({ cachedTokens }) => cachedTokens > INSTRUCTION.length);
    expect([all.length, rest.length]).toEqual([1, 2]);
    expect((await backend.state()).prefixes.count).toBe(1);
  });

  test("is foretold to be warm as soon as it is", async () => {
    await Promise.all(QUESTIONS.slice(0, 2).map((question) => backend.run(asked(question))));
    const { warm, cachedTokens } = await backend.run(asked("And this?"));
    expect(Math.abs(warm - cachedTokens)).toBeLessThanOrEqual(1);
    expect((await forgetful.run(asked("And this?"))).warm).toBe(0);
  });

  test("does no harm when its file is damaged or gone", async () => {
    const first = await Promise.all(QUESTIONS.slice(0, 2).map((question) => backend.run(asked(question))));
    const [name] = readdirSync(folder).filter((name) => name.includes(`-${backend.child.pid}-`));
    const path = join(
      folder,
      name!,
      readdirSync(join(folder, name!)).find((file) => file.endsWith(".state"))!,
    );
    truncateSync(path, statSync(path).size >> 1);
    expect(textOf(await backend.run(asked(QUESTIONS[0]!)))).toBe(textOf(first[0]!));
    expect(existsSync(path)).toBe(false);
    for (const file of readdirSync(join(folder, name!))) rmSync(join(folder, name!, file));
    expect(textOf(await backend.run(asked(QUESTIONS[1]!)))).toBe(textOf(first[1]!));
  });

  test("is not kept for requests that share nothing", async () => {
    for (const [at, question] of QUESTIONS.entries())
      await backend.run(generation(talk(says("user", `${at}${question}`.repeat(4)))));
    expect(saved()).toEqual([]);
  });
});

describe("a picture", { timeout: 120_000 }, () => {
  test("is looked at once, however many questions there are", async () => {
    const alone = [];
    for (const question of QUESTIONS) alone.push(await forgetful.run(await shown("red", question)));
    const answers = [];
    for (const question of QUESTIONS) answers.push(await backend.run(await shown("red", question)));
    expect(answers.map(textOf)).toEqual(alone.map(textOf));
    expect((await backend.state()).pictures).toEqual({ encoded: 1, reused: QUESTIONS.length - 1 });
  });

  test("is looked at once when the questions come at the same time, too", async () => {
    const answers = await Promise.all(
      QUESTIONS.map(async (question) => backend.run(await shown("red", question))),
    );
    const alone = [];
    for (const question of QUESTIONS) alone.push(await forgetful.run(await shown("red", question)));
    expect(answers.map(textOf)).toEqual(alone.map(textOf));
    expect((await backend.state()).pictures).toEqual({ encoded: 1, reused: QUESTIONS.length - 1 });
  });

  test("is never taken for another", async () => {
    const colours = ["red", "lime", "blue", "red", "blue", "lime"];
    const alone = [];
    for (const colour of colours) alone.push(textOf(await forgetful.run(await shown(colour, "What is it?"))));
    expect(new Set(alone).size).toBe(3);
    const answers = [];
    for (const colour of colours) answers.push(textOf(await backend.run(await shown(colour, "What is it?"))));
    expect(answers).toEqual(alone);
    expect((await backend.state()).pictures).toEqual({ encoded: 3, reused: 3 });
  });

  test("that is new goes on from the instruction before it", async () => {
    for (const colour of ["red", "lime"]) await backend.run(await shown(colour, "What is it?"));
    const { cachedTokens } = await backend.run(await shown("blue", "What is it?"));
    expect(cachedTokens).toBeGreaterThan(INSTRUCTION.length);
  });

  test("together with another is taken for neither", async () => {
    const [red, blue] = [await picture("red"), await picture("blue")];
    const prompts = [[red, blue], [blue, red], [red], [red, blue], [red, red]].map((parts) =>
      generation(talk(says("user", ...parts, "Which?"))),
    );
    const alone = [];
    for (const prompt of prompts) alone.push(textOf(await forgetful.run(prompt)));
    const answers = [];
    for (const prompt of prompts) answers.push(textOf(await backend.run(prompt)));
    expect(answers).toEqual(alone);
  });
});

describe("token by token", { timeout: 120_000 }, () => {
  test("the prompt is evaluated once, and its picture looked at once", async () => {
    const more = { topLogprobs: 2, maxTokens: 6, schema: { type: "string" } };
    const { cpuMs } = await backend.run(await shown("red", "What is it?", more));
    expect((await backend.state()).pictures).toEqual({ encoded: 1, reused: 0 });
    expect(cpuMs).toBeGreaterThan(0);
  });

  test("several decisions on one picture share it", async () => {
    const more = { topLogprobs: 2, maxTokens: 1 };
    await Promise.all(QUESTIONS.map(async (question) => backend.run(await shown("red", question, more))));
    expect((await backend.state()).pictures).toEqual({ encoded: 1, reused: QUESTIONS.length - 1 });
  });
});

test("a conversation goes on from its answer", { timeout: 120_000 }, async () => {
  const conversation = "one";
  const first = says("user", "Tell me about the lock on the door, and who has turned it today.");
  const answer = await backend.run(generation(talk(first), { conversation }));
  const next = generation(talk(first, says("assistant", "plain words"), says("user", "And then?")), {
    conversation,
  });
  const second = await backend.run(next);
  expect(second.cachedTokens).toBeGreaterThan(answer.promptTokens - 8);
  expect(textOf(second)).toBe(textOf(await forgetful.run(next)));
});

describe("what is kept on disk", { timeout: 120_000 }, () => {
  const mine = ({ child }: NativeBackend) =>
    readdirSync(folder).filter((name) => name.includes(`-${child.pid}-`));

  test("lies where only its owner can read it, and is gone when the engine stops", async () => {
    const own = await NativeBackend.open(options());
    await Promise.all(QUESTIONS.slice(0, 2).map((question) => own.run(asked(question))));
    const [name] = mine(own);
    expect(statSync(join(folder, name!)).mode & 0o777).toBe(0o700);
    expect(readdirSync(join(folder, name!))).toHaveLength(1);
    await own.close();
    expect(mine(own)).toEqual([]);
  });

  test("is gone after a crash as soon as another engine starts", async () => {
    const crashed = await NativeBackend.open(options());
    await Promise.all(QUESTIONS.slice(0, 2).map((question) => crashed.run(asked(question))));
    await crashed.kill();
    expect(mine(crashed)).toHaveLength(1);
    const next = await NativeBackend.open(options());
    expect(mine(crashed)).toEqual([]);
    expect(mine(backend)).toHaveLength(1);
    await next.close();
  });

  test("is nothing where no folder can be made, and requests run all the same", async () => {
    const own = await NativeBackend.open({ ...options(), folder: join(folder, "nowhere") });
    const answers = [];
    for (const question of QUESTIONS.slice(0, 3)) answers.push(await own.run(asked(question)));
    expect(answers.map(({ cachedTokens }) => cachedTokens)).toEqual([0, 0, 0]);
    expect((await own.state()).prefixes).toEqual({ count: 0, bytes: 0 });
    await own.close();
  });

  test("stays within its budget; what was used last stays", async () => {
    const shared = (n: number) => `${n}${INSTRUCTION}`;
    const both = async (backend: NativeBackend, n: number) => {
      for (const question of QUESTIONS.slice(0, 2))
        await backend.run(generation(talk(says("system", shared(n)), says("user", question))));
    };
    await both(backend, 0);
    const { bytes } = (await backend.state()).prefixes;
    const own = await NativeBackend.open({ ...options(), budgetBytes: bytes * 2.5 });
    for (const n of [1, 2, 3]) await both(own, n);
    expect((await own.state()).prefixes.count).toBe(2);
    const again = (n: number) =>
      own.run(generation(talk(says("system", shared(n)), says("user", "And now?"))));
    expect((await again(1)).cachedTokens).toBe(0);
    expect((await again(3)).cachedTokens).toBeGreaterThan(INSTRUCTION.length);
    await own.close();
  });
});
