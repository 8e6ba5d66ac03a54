import { describe, expect, test } from "vitest";
import { completionBody } from "../../../../worker/engine/backends/llama-server/request.ts";

describe("a completion as the server takes it", () => {
  const sampling = {
    temperature: 0.5,
    topP: 0.9,
    topK: 7,
    seed: 2 ** 31 + 3,
    repetitionPenalty: 1,
    frequencyPenalty: 0,
    presencePenalty: 0,
    logitBias: new Map<number, number>(),
  };
  const wanted = {
    sampling,
    topLogprobs: undefined,
    prompt: [1],
    slot: 2,
    room: 9,
    grammar: undefined,
    end: undefined,
  };

  test("samples as asked and in no other way", () => {
    expect(completionBody(wanted)).toMatchObject({
      temperature: 0.5,
      top_p: 0.9,
      top_k: 7,
      seed: 3,
      id_slot: 2,
      n_predict: 9,
      samplers: ["penalties", "top_k", "top_p", "min_p", "temperature"],
      min_p: 0,
      typical_p: 1,
      xtc_probability: 0,
      dry_multiplier: 0,
      mirostat: 0,
      repeat_last_n: 0,
    });
    expect(Object.keys(completionBody(wanted))).not.toContain("grammar");
  });

  test("asks for the model's own probabilities, and for one at least", () => {
    expect(completionBody({ ...wanted, topLogprobs: 0 })).toMatchObject({
      n_probs: 1,
      post_sampling_probs: false,
    });
    expect(completionBody({ ...wanted, topLogprobs: 5 })).toMatchObject({ n_probs: 5 });
  });

  test("forbids what has the lowest bias", () => {
    const logitBias = new Map([
      [5, -100],
      [6, 2.5],
    ]);
    expect(completionBody({ ...wanted, sampling: { ...sampling, logitBias } })).toMatchObject({
      logit_bias: [
        [5, false],
        [6, 2.5],
      ],
    });
  });

  test("stops where thinking ends, a special token or not", () => {
    expect(completionBody({ ...wanted, end: "</think>" })).toMatchObject({
      stop: ["</think>"],
      preserved_tokens: ["</think>"],
    });
  });
});
