import { describe, expect, test } from "vitest";
import {
  atTemperatureOne,
  completionOptions,
} from "../../../../worker/engine/backends/llama-node/complete.ts";
import { generation } from "./native/llama-node.ts";

test("a flattened distribution is made whole again", () => {
  const real = [0.6, 0.3, 0.0999, 0.0001];
  const roots = real.map((p) => p ** (1 / 8));
  const sum = roots.reduce((a, b) => a + b);
  const flat = roots.map((root, tok) => ({ tok, prob: root / sum }));
  for (const [at, { token, probability }] of atTemperatureOne(flat).entries()) {
    expect(token).toBe(at);
    expect(probability).toBeCloseTo(real[at]!, 9);
  }
  expect(atTemperatureOne([])).toEqual([]);
});

describe("what the library is asked for", () => {
  const prompt = { text: "x", images: [], stop: ["<end>"] };
  const options = (sampling: object, more: object = {}) =>
    completionOptions({
      generation: generation({ text: "x" }, { sampling }),
      prompt,
      room: 99,
      grammar: undefined,
      close: undefined,
      ...more,
    });

  test.each<[string, object, object]>([
    ["greedy takes only the likeliest", { temperature: 0 }, { temperature: 0, top_k: 1, penalty_last_n: 0 }],
    [
      "drawn as asked for",
      { temperature: 0.7, topK: 5, topP: 0.9 },
      { temperature: 0.7, top_k: 5, top_p: 0.9 },
    ],
    [
      "a repetition counts for a while",
      { repetitionPenalty: 1.2 },
      { penalty_repeat: 1.2, penalty_last_n: 64 },
    ],
    [
      "a frequency counts over the whole answer",
      { frequencyPenalty: 0.5 },
      { penalty_freq: 0.5, penalty_last_n: 99 },
    ],
    ["and so does a presence", { presencePenalty: -1 }, { penalty_present: -1, penalty_last_n: 99 }],
  ])("%s", (_, sampling, expected) => {
    expect(options(sampling)).toMatchObject(expected);
  });

  test("it ends at the template's marks and where the thinking closes", () => {
    expect(options({}, { close: "</think>" }).stop).toEqual(["<end>", "</think>"]);
  });
});
