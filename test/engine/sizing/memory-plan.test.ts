// What fits into a machine's memory, and the words for what does not.
import { describe, expect, test } from "vitest";
import { availableOf } from "../../../worker/engine/sizing/memory-available.ts";
import { explain } from "../../../worker/engine/sizing/memory-fit.ts";
import { lineThrough } from "../../../worker/engine/sizing/memory-need.ts";
import { bytesOf, type Need, planMemory, type Wish } from "../../../worker/engine/sizing/memory-plan.ts";

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
const wish: Wish = { slots: 8, slotsNamed: false, contextSize: 8_192, contextNamed: false };
const named = { contextSize: 8_192, contextNamed: true };

describe("with", () => {
  test.each([
    // 8 slots of 8,192 tokens take 3 + 8 GiB
    ["11 GiB all fits", 11, wish, { is: "fits", slots: 8, contextSize: 8_192 }],
    ["10 GiB the context is halved", 10, wish, { is: "less context", slots: 8, contextSize: 4_096 }],
    ["6 GiB it is halved again", 6, wish, { is: "less context", slots: 8, contextSize: 2_048 }],
    [
      "4.9 GiB slots are given up, not more context",
      4.9,
      wish,
      { is: "fewer slots", slots: 7, contextSize: 2_048 },
    ],
    ["3.3 GiB one slot is left", 3.3, wish, { is: "fewer slots", slots: 1, contextSize: 2_048 }],
    ["3.1 GiB it is refused", 3.1, wish, { is: "refused", slots: 1, contextSize: 2_048 }],
    [
      "10 GiB a context named by hand costs slots",
      10,
      { ...wish, ...named },
      { is: "fewer slots", slots: 7, contextSize: 8_192 },
    ],
    [
      "3.5 GiB it is refused at one slot",
      3.5,
      { ...wish, ...named },
      { is: "refused", slots: 1, contextSize: 8_192 },
    ],
    [
      "10 GiB slots named by hand cost context",
      10,
      { ...wish, slotsNamed: true },
      { is: "less context", slots: 8, contextSize: 4_096 },
    ],
    [
      "4 GiB they are refused",
      4,
      { ...wish, slotsNamed: true },
      { is: "refused", slots: 8, contextSize: 2_048 },
    ],
    [
      "10 GiB both named are refused",
      10,
      { ...wish, ...named, slotsNamed: true },
      { is: "refused", slots: 8, contextSize: 8_192 },
    ],
    [
      "4.9 GiB a context below the floor stays",
      4.9,
      { ...wish, contextSize: 1_024 },
      { is: "fits", slots: 8, contextSize: 1_024 },
    ],
    [
      "4.9 GiB one just above the floor is not halved",
      4.9,
      { ...wish, contextSize: 3_000 },
      { is: "fewer slots", slots: 5, contextSize: 3_000 },
    ],
  ])("%s", (_, gib, wished, expected) => {
    const plan = planMemory(need, gib * GIB, wished);
    expect(plan).toMatchObject(expected);
    expect(plan.bytes <= gib * GIB).toBe(plan.is !== "refused");
  });
});

describe("what is said", () => {
  const said = (gib: number, wished: Wish) =>
    explain(planMemory(need, gib * GIB, wished), wished, need, gib * GIB);

  test.each([
    [
      10,
      wish,
      "Memory for 8 slots of 4096 tokens instead of 8 of 8192: those need 11.0 GiB, 10.0 GiB are there for it.",
    ],
    [
      3.1,
      wish,
      "The model needs 3.3 GiB with 1 slot of 2048 tokens, 3.1 GiB are there for it. Take a smaller quant.",
    ],
    [2, wish, "its weights alone are 2.5 GiB. Take a smaller model or quant."],
    [4, { ...wish, slotsNamed: true }, "Take a smaller quant, or --slots 4 (KAMADO_SLOTS)."],
    [
      10,
      { ...wish, ...named, slotsNamed: true },
      "or --slots 7 (KAMADO_SLOTS), or --context-size 4096 (KAMADO_CONTEXT_SIZE).",
    ],
    [
      3.2,
      { ...wish, ...named, slotsNamed: true },
      "Take a smaller quant, fewer slots and a smaller context.",
    ],
  ])("with %d GiB", (gib, wished, words) => {
    expect(said(gib, wished)).toContain(words);
  });
});

describe("there is", () => {
  const linux = { platform: "linux", totalBytes: 16 * GIB, processBytes: 15 * GIB };
  const meminfo = `MemTotal:       16777216 kB\nMemFree:          204800 kB\nMemAvailable:   12582912 kB\n`;

  test.each([
    ["on Linux what it can free at once, not what is free", { ...linux, meminfo }, 12],
    ["in a container what its limit leaves", { ...linux, meminfo, processBytes: 2 * GIB }, 2],
    ["on a Linux without that figure the process's own", linux, 15],
    [
      "on a Mac what its GPU may hold, whatever is free",
      { ...linux, platform: "darwin", processBytes: GIB },
      16 * 0.7,
    ],
    ["on a large Mac more of it", { ...linux, platform: "darwin", totalBytes: 64 * GIB }, 48],
  ])("%s", (_, facts, gib) => {
    expect(availableOf(facts) / GIB).toBeCloseTo(gib, 6);
  });
});

describe("from three contexts to all others", () => {
  const margin = 1.05;
  const process = 220 * 2 ** 20;

  test("what grows with tokens and with slots", () => {
    const at = (slots: number, context: number) => 1_000_000 + 512 * slots * context + 7_000 * slots;
    const line = lineThrough({ small: at(8, 2_048), long: at(8, 8_192), single: at(1, 16_384) }, 5_000_000);
    const bytes = bytesOf({ ...need, ...line }, { slots: 3, contextSize: 5_000 });
    expect((bytes - process) / margin).toBeCloseTo(5_000_000 + at(3, 5_000), -1);
  });

  test("a single long context that takes more than eight short ones takes nothing away from slots", () => {
    expect(lineThrough({ small: 100, long: 200, single: 150 }, 0).perSlotBytes).toBe(0);
  });
});
