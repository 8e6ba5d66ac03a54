// What fits into a machine's memory, and how the engine explains what does not.
import { describe, expect, test } from "vitest";
import { explain, planMemory, type Wanted } from "../../../worker/engine/sizing/memory-fit.ts";
import type { Need } from "../../../worker/engine/sizing/memory-need.ts";

const GIB = 2 ** 30;
const KIB = 2 ** 10;
/** Like a model of 4 billion parameters in 4 bits: 2.5 GiB of weights, 128 KiB a token. */
const need: Need = {
  fixedBytes: 3 * GIB,
  weightsBytes: 2.5 * GIB,
  perTokenBytes: 128 * KIB,
  perSlotBytes: 0,
  trainContextSize: 32_768,
};
const wanted: Wanted = { slots: 8, slotsSet: false, contextSize: 8_192, contextSet: false };
const contextIsSet = { contextSize: 8_192, contextSet: true };

describe("with", () => {
  test.each([
    // 8 slots of 8,192 tokens take 3 + 8 GiB
    ["11 GiB all fits", 11, wanted, { is: "fits", slots: 8, contextSize: 8_192 }],
    ["10 GiB the context is halved", 10, wanted, { is: "less context", slots: 8, contextSize: 4_096 }],
    ["6 GiB it is halved again", 6, wanted, { is: "less context", slots: 8, contextSize: 2_048 }],
    [
      "4.9 GiB slots are given up, not more context",
      4.9,
      wanted,
      { is: "fewer slots", slots: 7, contextSize: 2_048 },
    ],
    ["3.3 GiB one slot is left", 3.3, wanted, { is: "fewer slots", slots: 1, contextSize: 2_048 }],
    ["3.1 GiB it is refused", 3.1, wanted, { is: "refused", slots: 1, contextSize: 2_048 }],
    [
      "10 GiB a context named by hand costs slots",
      10,
      { ...wanted, ...contextIsSet },
      { is: "fewer slots", slots: 7, contextSize: 8_192 },
    ],
    [
      "3.5 GiB it is refused at one slot",
      3.5,
      { ...wanted, ...contextIsSet },
      { is: "refused", slots: 1, contextSize: 8_192 },
    ],
    [
      "10 GiB slots named by hand cost context",
      10,
      { ...wanted, slotsSet: true },
      { is: "less context", slots: 8, contextSize: 4_096 },
    ],
    [
      "4 GiB they are refused",
      4,
      { ...wanted, slotsSet: true },
      { is: "refused", slots: 8, contextSize: 2_048 },
    ],
    [
      "10 GiB both named are refused",
      10,
      { ...wanted, ...contextIsSet, slotsSet: true },
      { is: "refused", slots: 8, contextSize: 8_192 },
    ],
    [
      "4.9 GiB a context below the floor stays",
      4.9,
      { ...wanted, contextSize: 1_024 },
      { is: "fits", slots: 8, contextSize: 1_024 },
    ],
    [
      "4.9 GiB one just above the floor is not halved",
      4.9,
      { ...wanted, contextSize: 3_000 },
      { is: "fewer slots", slots: 5, contextSize: 3_000 },
    ],
  ])("%s", (_, gib, asked, expected) => {
    const plan = planMemory(need, gib * GIB, asked);
    expect(plan).toMatchObject(expected);
    expect(plan.bytes <= gib * GIB).toBe(plan.is !== "refused");
  });
});

describe("the explanation", () => {
  const explained = (gib: number, asked: Wanted) =>
    explain(planMemory(need, gib * GIB, asked), asked, need, gib * GIB);

  test.each([
    [
      10,
      wanted,
      "The engine uses 8 slots of 4096 tokens instead of 8 of 8192: these need 11.0 GiB, and 10.0 GiB are available.",
    ],
    [
      3.1,
      wanted,
      "The model needs 3.3 GiB with 1 slot of 2048 tokens, and 3.1 GiB are available. Use a smaller quantization.",
    ],
    [2, wanted, "its weights alone are 2.5 GiB. Use a smaller model or quantization."],
    [4, { ...wanted, slotsSet: true }, "Use a smaller quantization, or --slots 4 (KAMADO_SLOTS)."],
    [
      10,
      { ...wanted, ...contextIsSet, slotsSet: true },
      "or --slots 7 (KAMADO_SLOTS), or --context-size 4096 (KAMADO_CONTEXT_SIZE).",
    ],
    [
      3.2,
      { ...wanted, ...contextIsSet, slotsSet: true },
      "Use a smaller quantization, fewer slots and a smaller context.",
    ],
  ])("with %d GiB", (gib, asked, words) => {
    expect(explained(gib, asked)).toContain(words);
  });
});
