import type { LlamaContextSequence } from "node-llama-cpp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type SamplerConfig,
  tuned,
  tuneSampler,
} from "../../../../worker/engine/backends/node-llama-cpp/sampler-config.ts";
import { GREEDY } from "../../../../worker/engine/generation/backend.ts";
import { type TinyEngine, tinyEngine } from "../../tiny-model.ts";

describe("what the library's samplers are told", () => {
  test("nothing is sorted where nothing is cut off", () => {
    expect(tuned({ temperature: 1, topK: 0, minP: 0 }, undefined)).toEqual({ temperature: 1, minP: 0 });
  });
  test("a top_k that was asked for stays", () => {
    const config = { temperature: 0.7, topK: 40, minP: 0 };
    expect(tuned(config, undefined)).toEqual(config);
  });
  test("below temperature 0.8 tokens are left out that are together drawn less than once in a million", () => {
    const { minP } = tuned({ temperature: 0.7, topK: 0, minP: 0 }, undefined);
    const together = 2 ** 18 * minP! ** (1 / 0.7);
    expect(together).toBeLessThan(2 ** -19.9);
    expect(together).toBeGreaterThan(2 ** -21);
  });
  test("greedy answers leave nothing out", () => {
    expect(tuned({ temperature: 0, topK: 0, minP: 0 }, undefined)).toEqual({ temperature: 0, minP: 0 });
  });
  test("tokens that the grammar allows are raised by the same, beside the biases of the request", () => {
    const biases = { tokenBiasKeys: Uint32Array.of(5), tokenBiasValues: Float32Array.of(-100) };
    const config = tuned({ temperature: 0, topK: 40, ...biases }, [3, 5]);
    expect([...config.tokenBiasKeys!]).toEqual([5, 3, 5]);
    expect([...config.tokenBiasValues!]).toEqual([-100, 100, 100]);
  });
  test("a library without this place samples in its own way", () => {
    const sequence = {};
    tuneSampler(sequence as LlamaContextSequence, () => [1]);
    expect(sequence).toEqual({});
  });
  test("each step is asked anew", () => {
    const sequence = { _resolveSamplerConfig: (options: SamplerConfig) => options };
    let allowed: number[] | undefined = [1];
    tuneSampler(sequence as unknown as LlamaContextSequence, () => allowed);
    expect(sequence._resolveSamplerConfig({ topK: 40 }).tokenBiasKeys).toHaveLength(1);
    allowed = undefined;
    expect(sequence._resolveSamplerConfig({ topK: 40 }).tokenBiasKeys).toBeUndefined();
  });
});

describe("answers of a model", () => {
  let engine: TinyEngine;
  beforeAll(async () => {
    engine = await tinyEngine({ slots: 1 });
  });
  afterAll(() => engine.close());

  const answer = async (sampling: object, schema?: Record<string, unknown>, maxTokens = 24) => {
    const prepared = await engine.backend.prepare({
      prompt: { text: "the yes no" },
      maxTokens,
      sampling: { ...GREEDY, ...sampling },
      stop: [],
      schema,
      topLogprobs: undefined,
      conversation: undefined,
    });
    let text = "";
    await prepared.run((token) => {
      text += token.text;
      return true;
    }, new AbortController().signal);
    return text;
  };
  const schema = {
    type: "object",
    properties: { pick: { enum: ["yes", "no", "the"] }, n: { type: "integer" }, on: { type: "boolean" } },
    required: ["pick", "n", "on"],
  };

  test("the same seed gives the same text, with a schema too", async () => {
    for (const asked of [undefined, schema]) {
      const [one, two, other] = [
        await answer({ temperature: 1, seed: 7 }, asked, 64),
        await answer({ temperature: 1, seed: 7 }, asked, 64),
        await answer({ temperature: 1, seed: 8 }, asked, 64),
      ];
      expect(two).toBe(one);
      expect(other).not.toBe(one);
    }
  });
  test("an answer with a schema fits it", async () => {
    const values = [];
    for (let seed = 1; seed <= 5; seed++)
      values.push(JSON.parse(await answer({ temperature: 1, seed }, schema, 64)));
    expect(values.map(({ pick }) => schema.properties.pick.enum.includes(pick))).toEqual(Array(5).fill(true));
  });
  test("values are drawn as often as the model's own probabilities say", async () => {
    const one = { enum: ["a", "b", "c", "d"] };
    const counts = new Map<string, number>();
    const seeds = 400;
    for (let seed = 1; seed <= seeds; seed++) {
      const value = JSON.parse(await answer({ temperature: 1, seed }, one, 8));
      counts.set(value, (counts.get(value) ?? 0) + 1);
    }
    const probabilities = await firstLetters(engine, ["a", "b", "c", "d"]);
    for (const [letter, probability] of probabilities) {
      const deviation = Math.sqrt((probability * (1 - probability)) / seeds);
      expect(Math.abs((counts.get(letter) ?? 0) / seeds - probability)).toBeLessThan(4.5 * deviation + 0.01);
    }
  });
});

/** The probabilities of these letters after the answer's first quote, relative to each other. */
async function firstLetters(engine: TinyEngine, letters: string[]): Promise<Map<string, number>> {
  const prepared = await engine.backend.prepare({
    prompt: { text: 'the yes no"' },
    maxTokens: 1,
    sampling: GREEDY,
    stop: [],
    schema: undefined,
    topLogprobs: 320,
    conversation: undefined,
  });
  const found = new Map<string, number>();
  await prepared.run(({ top = [] }) => {
    for (const { text, logprob } of top) if (letters.includes(text)) found.set(text, Math.exp(logprob));
    return true;
  }, new AbortController().signal);
  const sum = [...found.values()].reduce((sum, one) => sum + one, 0);
  return new Map([...found].map(([letter, probability]) => [letter, probability / sum]));
}
