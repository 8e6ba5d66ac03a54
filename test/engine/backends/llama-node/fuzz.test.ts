import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Generation, JsonSchema, Thinking } from "../../../../worker/engine/generation/backend.ts";
import fc from "../../../properties.ts";
import { type Pair, writePair } from "../../tiny-model.ts";
import { generation, NativeBackend, picture, says } from "./native/llama-node.ts";

let pair: Pair;
let backend: NativeBackend;
beforeAll(async () => {
  pair = writePair();
  const { model, mmproj } = pair;
  backend = await NativeBackend.open({ model, mmproj, slots: 3, contextSize: 384, threads: 1 });
}, 60_000);
afterAll(async () => {
  await backend.close();
  pair.remove();
});

const REFUSED = ["invalid_input", "context_length_exceeded"];
/** An answer or a refusal with a code; an engine that died is neither. */
async function survives(generation: Generation, signal?: AbortSignal): Promise<void> {
  const outcome = await backend.run(generation, signal ? { signal } : {}).then(
    ({ finish, completionTokens }) => ({ finish, completionTokens }),
    (error: Error & { code?: string }) => error,
  );
  if (outcome instanceof Error)
    expect([outcome.message, REFUSED.includes(outcome.code!)]).toEqual([outcome.message, true]);
  else expect(["stop", "length"]).toContain(outcome.finish);
  expect(backend.child.exitCode).toBe(null);
}

const MARKS = [
  "<__media__>",
  "<__image__>",
  "<|im_end|>",
  "<|im_start|>",
  "</think>",
  "\0",
  "\ud83e",
  "\udd2f",
  "\u200b",
];
const piece = fc.oneof(
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.constantFrom(...MARKS),
  fc
    .tuple(fc.constantFrom("a", "\ufffd", "\u{1f9d1}\u200d\u{1f680}", " ", "\n"), fc.nat(400))
    .map(([text, times]) => text.repeat(times)),
);
const text = fc.array(piece, { maxLength: 4 }).map((pieces) => pieces.join(""));
const role = fc.constantFrom("system", "user", "assistant") as fc.Arbitrary<"system" | "user" | "assistant">;
const thinking: fc.Arbitrary<Thinking> = fc.oneof(
  fc.constantFrom("off" as const, "open" as const),
  text.map((thought) => ({ thought })),
);
const size = fc.constantFrom(1, 2, 3, 7, 8, 31, 33, 64, 500);
const messages = fc.array(fc.tuple(role, text, fc.option(fc.tuple(size, size), { freq: 3 })), {
  minLength: 0,
  maxLength: 4,
});
const lengths = fc.constantFrom(
  { maxTokens: 2, topLogprobs: undefined },
  { maxTokens: 5, topLogprobs: undefined },
  { maxTokens: 1, topLogprobs: 0 },
  { maxTokens: 1, topLogprobs: 3 },
  { maxTokens: 5, topLogprobs: 3 },
);
const how = fc.record({
  stop: fc.array(fc.string({ unit: "binary", minLength: 1, maxLength: 3 }), { maxLength: 2 }),
  conversation: fc.constantFrom(undefined, undefined, "one"),
  sampling: fc.record({
    temperature: fc.constantFrom(0, 0.01, 1, 2),
    topK: fc.constantFrom(0, 1, 1_000_000),
    topP: fc.constantFrom(0.001, 0.5, 1),
    seed: fc.constantFrom(0, 1, 2 ** 32 - 1),
    repetitionPenalty: fc.constantFrom(0.5, 1, 2),
    frequencyPenalty: fc.constantFrom(-2, 0, 2),
    presencePenalty: fc.constantFrom(-2, 0, 2),
    logitBias: fc.constantFrom(new Map(), new Map(), new Map(), new Map([[319, 100]])),
  }),
});
const wishes = fc.tuple(lengths, how).map(([length, how]) => ({ ...length, ...how }));
const runs = { numRuns: 40, endOnFailure: true };

describe("the engine lives on", { timeout: 120_000 }, () => {
  test("whatever a conversation says and shows", async () => {
    const property = fc.asyncProperty(messages, thinking, wishes, async (drawn, thinking, how) => {
      const messages = drawn.map(async ([role, text, size]) =>
        says(role, ...(size && role === "user" ? [await picture("teal", ...size)] : []), text),
      );
      await survives(generation({ messages: await Promise.all(messages), thinking }, how));
    });
    await fc.assert(property, runs);
  });

  test("whatever a text to go on from says", async () => {
    await fc.assert(
      fc.asyncProperty(text, wishes, (text, how) => survives(generation({ text }, how))),
      runs,
    );
  });

  test("whatever is asked at once, and whichever client goes away", async () => {
    const asks = fc.array(fc.tuple(text, fc.boolean(), fc.boolean(), wishes), { minLength: 2, maxLength: 6 });
    const property = fc.asyncProperty(asks, async (asks) => {
      const all = asks.map(async ([text, shows, leaves, how]) => {
        const prompt = {
          messages: [says("user", ...(shows ? [await picture("teal")] : []), text)],
          thinking: "off" as const,
        };
        const gone = new AbortController();
        const running = backend.run(generation(prompt, how), { signal: gone.signal });
        if (leaves) gone.abort();
        await running.catch((error: Error & { code?: string }) => {
          const known = REFUSED.includes(error.code!) || (leaves && error.message === "gone");
          expect([error.message, known]).toEqual([error.message, true]);
        });
      });
      await Promise.all(all);
      expect(backend.child.exitCode).toBe(null);
    });
    await fc.assert(property, runs);
  });

  test.each<[string, JsonSchema]>([
    ["is none", { type: 5 }],
    ["refers nowhere", { $ref: "#/nowhere" }],
    ["never ends", { $ref: "#" }],
    ["holds itself for ever", { type: "object", properties: { again: { $ref: "#" } }, required: ["again"] }],
    ["wants very much", { type: "array", minItems: 1e9, items: { type: "string", minLength: 1e9 } }],
    ["says odd words", { enum: ['"\\\n\0\ud83e', "<|im_end|>", "<__media__>", "🧑‍🚀"] }],
    [
      "is deep",
      { allOf: Array.from({ length: 60 }, (_, n) => ({ properties: { [`p${n}`]: { type: "null" } } })) },
    ],
    ["is false", false],
  ])("with a schema that %s", async (_, schema) => {
    for (const topLogprobs of [undefined, 1])
      await survives(generation({ text: "say" }, { schema, topLogprobs, maxTokens: 12 }));
  });

  test("and says the same as before", async () => {
    const answer = await backend.run(generation({ text: "say" }, { maxTokens: 2 }));
    expect(answer.completionTokens).toBe(2);
    expect((await backend.state()).slots.map(({ state }) => state)).toEqual(["idle", "idle", "idle"]);
  });
});
