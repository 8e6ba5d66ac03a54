import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Pair, writePair } from "../../tiny-model.ts";
import { type Answer, generation, NativeBackend, picture, says, talk, textOf } from "./native/llama-node.ts";

let pair: Pair;
let tiny: NativeBackend;
let demo: NativeBackend;
const shipped = (name: string) =>
  fileURLToPath(new URL(`../../../../models/demo/${name}.gguf`, import.meta.url));
beforeAll(async () => {
  pair = writePair();
  const { model, mmproj } = pair;
  const options = { slots: 2, contextSize: 512, threads: 1 };
  [tiny, demo] = await Promise.all([
    NativeBackend.open({ ...options, model, mmproj }),
    NativeBackend.open({ ...options, model: shipped("kamado-demo"), mmproj: shipped("kamado-demo-mmproj") }),
  ]);
}, 60_000);
afterAll(async () => {
  await Promise.all([tiny.close(), demo.close()]);
  pair.remove();
});

/** The tiny model's tokens for these words, and for a letter. */
const [YES, NO] = [257, 258];
const letter = (char: string) => char.charCodeAt(0);
const asked = talk(says("user", "Is it locked?"));
const TODO = talk(
  says("user", "<input>\nThe sentence: I bought the milk\n\n1. Buy milk\n2. Call the dentist\n</input>"),
);

describe("a bias", { timeout: 60_000 }, () => {
  const biased = (more: object, ...logitBias: [number, number][]) =>
    tiny.run(generation(asked, { maxTokens: 3, sampling: { logitBias: new Map(logitBias) }, ...more }));

  test("makes a token certain, however unlikely it was", async () => {
    expect(textOf(await biased({}, [YES, 100]))).toBe("yesyesyes");
    expect(textOf(await biased({ sampling: { logitBias: new Map([[NO, 100]]), temperature: 1 } }))).toBe(
      "nonono",
    );
  });

  test("forbids tokens, and the likeliest of the others takes their place", async () => {
    const others = Array.from({ length: 320 }, (_, id) => id).filter((id) => id !== YES && id !== NO);
    const forbidden = others.map((id): [number, number] => [id, -100]);
    expect(textOf(await biased({}, ...forbidden))).toMatch(/^(yes|no){3}$/);
    expect(textOf(await biased({}, ...forbidden, [NO, -100]))).toBe("yesyesyes");
  });

  test("counts under a schema, too", async () => {
    const schema = { type: "boolean" };
    const answers = [];
    for (const char of ["t", "f"])
      answers.push(textOf(await biased({ schema, maxTokens: 9 }, [letter(char), -100])).trim());
    expect(answers).toEqual(["false", "true"]);
  });

  test("for a token that the model does not have is refused", async () => {
    await expect(biased({}, [320, 1])).rejects.toMatchObject({
      code: "invalid_input",
      detail: { param: "logit_bias" },
    });
  });
});

describe("an answer that is drawn token by token", { timeout: 60_000 }, () => {
  test.each([
    ["greedy", {}],
    ["with a frequency penalty", { frequencyPenalty: 0.9 }],
    ["with a presence penalty", { presencePenalty: 0.7 }],
    ["with both", { frequencyPenalty: -0.2, presencePenalty: 1.5 }],
  ])("is the one that the library draws: %s", async (_, sampling) => {
    const free = await demo.run(generation(TODO, { sampling, maxTokens: 24 }));
    const walked = await demo.run(generation(TODO, { sampling, maxTokens: 24, topLogprobs: 1 }));
    expect(textOf(walked)).toBe(textOf(free));
    expect(walked.finish).toBe(free.finish);
  });

  test("ends where the model ends it, and counts its tokens", async () => {
    const answer = await demo.run(generation(TODO, { maxTokens: 40, topLogprobs: 1 }));
    expect(answer.finish).toBe("stop");
    expect(answer.completionTokens).toBe(answer.tokens.length + 1);
  });

  test("keeps penalties off what only the prompt said, with a picture", async () => {
    const shown = talk(says("user", await picture("red"), "Is it locked?"));
    const sampling = { presencePenalty: 1 };
    const first = (answer: Answer) => answer.tokens[0]!.text;
    const plain = await tiny.run(generation(shown, { maxTokens: 1 }));
    expect(first(await tiny.run(generation(shown, { maxTokens: 1, sampling })))).toBe(first(plain));
  });

  test.each([
    [
      {
        type: "object",
        properties: { a: { type: "string", maxLength: 4 }, b: { type: "number" } },
        required: ["a", "b"],
      },
    ],
    [{ type: "array", minItems: 1, maxItems: 3, items: { enum: ["yes", "no", null] } }],
  ])("keeps to %j as the library's grammar does", async (schema) => {
    const more = { schema, maxTokens: 48 };
    const free = await tiny.run(generation(asked, more));
    const walked = await tiny.run(generation(asked, { ...more, topLogprobs: 2 }));
    expect(textOf(walked)).toBe(textOf(free));
    for (const { logprob, top } of walked.tokens) expect(logprob).toBeLessThanOrEqual(top![0]!.logprob);
  });

  test("and stays in it where nothing would ever end it", async () => {
    const schema = { type: "array", items: { type: "string" } };
    const { tokens, finish, completionTokens } = await tiny.run(
      generation(asked, { schema, maxTokens: 20, topLogprobs: 1, sampling: { temperature: 1, seed: 5 } }),
    );
    expect(tokens.map(({ text }) => text).join("")).toMatch(/^ ?\[/);
    expect(finish === "length" ? completionTokens : 20).toBe(20);
  });
});

test("what goes wrong inside is told, and the engine goes on", { timeout: 60_000 }, async () => {
  const gone = new AbortController();
  const cut = tiny.run(generation(talk(says("user", await picture("blue"), "x")), { maxTokens: 200 }), {
    signal: gone.signal,
  });
  gone.abort();
  await expect(cut).rejects.toThrow("gone");
  const after = await Promise.all(
    ["red", "blue", "lime"].map(async (colour) =>
      tiny.run(generation(talk(says("user", await picture(colour), "x")), { maxTokens: 2 })),
    ),
  );
  expect(after.map(({ completionTokens }) => completionTokens)).toEqual([2, 2, 2]);
  const { slots } = await tiny.state();
  expect(slots.map(({ state }) => state)).toEqual(["idle", "idle"]);
});
