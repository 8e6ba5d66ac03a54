import { describe, expect, test } from "vitest";
import { drawToken, type Recent, randomStream } from "../../../worker/engine/generation/sampler.ts";

const candidates = [
  { token: 10, probability: 0.5 },
  { token: 11, probability: 0.3 },
  { token: 12, probability: 0.2 },
];
const open = { temperature: 1, topK: 0, topP: 1, repetitionPenalty: 1 };
const nobody = new Set<number>();
/** How often each token is drawn, of 10,000. */
const shares = (how: typeof open, recent = nobody) => {
  const random = randomStream(1);
  const counts = new Map<number, number>();
  for (let n = 0; n < 10_000; n++) {
    const token = drawToken(candidates, how, recent, random);
    counts.set(token, (counts.get(token) ?? 0) + 1);
  }
  return [10, 11, 12].map((token) => Math.round((counts.get(token) ?? 0) / 1_000) / 10);
};

describe("a token is drawn", () => {
  test.each([
    ["as likely as the model says", {}, [0.5, 0.3, 0.2]],
    ["always the likeliest at temperature 0", { temperature: 0 }, [1, 0, 0]],
    ["nearly always the likeliest when it is cold", { temperature: 0.05 }, [1, 0, 0]],
    ["only from the k likeliest", { topK: 2 }, [0.6, 0.4, 0]],
    ["only from those that together reach top_p", { topP: 0.6 }, [0.6, 0.4, 0]],
    ["at least from one", { topP: 0 }, [1, 0, 0]],
    ["only from those with min_p of the likeliest's probability", { minP: 0.5 }, [0.6, 0.4, 0]],
    ["from one with min_p 1", { minP: 1 }, [1, 0, 0]],
  ])("%s", (_, how, expected) => {
    expect(shares({ ...open, ...how })).toEqual(expected);
  });

  test("less likely again when it was used lately", () => {
    const how = { ...open, temperature: 0, repetitionPenalty: 2 };
    expect(drawToken(candidates, how, new Set([10]), () => 0.5)).toBe(11);
  });

  const at0 = { ...open, temperature: 0 };
  test.each<[string, object, Recent, number]>([
    [
      "for each time it was used, by the frequency penalty",
      { frequencyPenalty: 0.3 },
      new Map([[10, 2]]),
      11,
    ],
    ["not yet when it was used once", { frequencyPenalty: 0.3 }, new Map([[10, 1]]), 10],
    ["once, by the presence penalty", { presencePenalty: 0.6 }, new Map([[10, 7]]), 11],
    ["and more likely by a negative one", { presencePenalty: -2 }, new Set([12]), 12],
    ["with a bias against it", { logitBias: new Map([[10, -1]]) }, new Map(), 11],
    ["and certain with a bias for it", { logitBias: new Map([[12, 100]]) }, new Map(), 12],
    [
      "and never when it is forbidden",
      { logitBias: new Map([10, 11].map((id) => [id, -100])) },
      new Map(),
      12,
    ],
    [
      "when bias and penalty together say so",
      { logitBias: new Map([[12, 2]]), presencePenalty: 3 },
      new Set([12]),
      10,
    ],
  ])("less likely %s", (_, how, recent, expected) => {
    expect(drawToken(candidates, { ...at0, ...how }, recent, () => 0.5)).toBe(expected);
  });

  test("even when all there are are forbidden", () => {
    const logitBias = new Map([10, 11, 12].map((id) => [id, -100]));
    expect(drawToken(candidates, { ...at0, logitBias }, nobody, () => 0.5)).toBe(10);
  });

  test("the same with the same seed", () => {
    const draw = (seed: number) => {
      const random = randomStream(seed);
      return Array.from({ length: 20 }, () => drawToken(candidates, open, nobody, random));
    };
    expect(draw(3)).toEqual(draw(3));
    expect(draw(3)).not.toEqual(draw(4));
  });
});
