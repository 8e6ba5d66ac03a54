// Which number of slots follows from what was measured: curves as machines have them.
import { describe, expect, test } from "vitest";
import { chooseWidth, cliffs, isSteady, type LeftOut } from "../../../worker/engine/sizing/choose.ts";

const curve = (rates: Record<number, number>) =>
  Object.entries(rates).map(([width, tokensPerSecond]) => ({ width: Number(width), tokensPerSecond }));
const left = (why: LeftOut["why"], ...widths: number[]) => widths.map((width) => ({ width, why }));

describe("the slots of", () => {
  test.each([
    ["an Apple GPU with a cliff past 8", { 1: 337, 2: 560, 4: 900, 8: 1_336, 9: 778, 16: 1_100 }, 8],
    ["one that is faster again behind the cliff", { 1: 337, 2: 560, 4: 900, 8: 1_336, 9: 778, 16: 1_500 }, 8],
    ["an Apple GPU with the cliff past 4", { 1: 60, 2: 110, 4: 190, 8: 120, 9: 118, 16: 150 }, 4],
    ["a CPU that saturates", { 1: 100, 2: 170, 4: 215, 8: 221, 9: 220, 16: 225 }, 4],
    ["a GPU that keeps growing", { 1: 90, 2: 178, 4: 350, 8: 690, 9: 770, 16: 1_300 }, 16],
    ["a GPU that grows little at the end", { 1: 90, 2: 178, 4: 350, 8: 690, 9: 700, 16: 715 }, 8],
    ["one where batches do not pay", { 1: 100, 2: 99, 4: 101, 8: 100, 9: 98, 16: 97 }, 1],
    ["one where they cost", { 1: 100, 2: 70, 4: 60, 8: 50, 9: 50, 16: 40 }, 1],
    ["a noisy one", { 1: 100, 2: 190, 4: 165, 8: 300, 9: 262, 16: 310 }, 8],
    ["a noisy one that saturates", { 1: 100, 2: 160, 4: 205, 8: 188, 9: 200, 16: 196 }, 4],
  ])("%s", (_, rates, slots) => {
    expect(chooseWidth({ readings: curve(rates), leftOut: [], steady: true })).toBe(slots);
  });

  test.each([
    ["nothing measured", {}, left("time", 1, 2, 4, 8, 9, 16), undefined],
    ["still rising when the time was up", { 1: 5, 2: 9, 4: 17 }, left("time", 8, 9, 16), undefined],
    ["one width only", { 1: 3 }, left("time", 2, 4, 8, 9, 16), undefined],
    ["past its knee when the time was up", { 1: 5, 2: 8, 4: 8 }, left("time", 8, 9, 16), 2],
    ["rising up to 8 when the time was up", { 1: 5, 2: 9, 4: 17, 8: 30 }, left("time", 9, 16), 8],
    ["failing at 16", { 1: 5, 2: 9, 4: 17, 8: 30, 9: 34 }, left("failed", 16), 9],
    ["failing at 8: what worked is kept", { 1: 5, 2: 9, 4: 17 }, left("failed", 8, 9, 16), 4],
  ])("%s", (_, rates, leftOut, slots) => {
    expect(chooseWidth({ readings: curve(rates), leftOut, steady: true })).toBe(slots);
  });
});

test("nothing is chosen by a curve that was disturbed", () => {
  expect(chooseWidth({ readings: curve({ 1: 100, 8: 600 }), leftOut: [], steady: false })).toBeUndefined();
});

test.each([
  ["one width that was disturbed", [1.02, 1.05, 3, 1.01, 1.1, 1.04], true],
  ["most of them disturbed", [1.5, 1.05, 3, 1.6, 1.3, 1.04], false],
  ["most of them not seen twice", [1.02, 1.01], false],
  ["half of them seen twice", [1.02, 1.01, 1.03], true],
  ["nothing seen twice", [], false],
])("%s: steady is %s", (_, spreads, steady) => {
  expect(isSteady(spreads, 6)).toBe(steady);
});

test("a cliff is not noise: it is far below the best rate so far", () => {
  expect(cliffs(curve({ 1: 100, 2: 190, 4: 160, 8: 145, 9: 300, 16: 239 }))).toEqual([8, 16]);
});
