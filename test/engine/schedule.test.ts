import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chooseSlot, planStep, sharedPrefix } from "../../worker/engine/backends/node-llama-cpp/schedule.ts";

describe("a prompt goes to the free slot", () => {
  const slot = (kept: number[], usedAt = 0) => ({ kept, usedAt });
  test.each([
    ["none is free", [1, 2], [], -1],
    ["that shares the longest prefix", [1, 2, 3], [slot([1]), slot([1, 2, 9]), slot([5])], 1],
    ["that loses the least, among equals", [1, 2], [slot([1, 7, 8, 9]), slot([1, 7])], 1],
    ["that is empty rather than full of something else", [1], [slot([4, 5, 6]), slot([])], 1],
    ["that was idle the longest, among equals", [1], [slot([4], 5), slot([6], 2), slot([7], 9)], 1],
    ["that holds all of it and more", [1, 2], [slot([1]), slot([1, 2, 3, 4])], 1],
  ])("%s", (_, prompt, free, chosen) => {
    expect(chooseSlot(prompt, free)).toBe(chosen);
  });

  test("sharedPrefix counts equal tokens from the beginning", () => {
    expect([sharedPrefix([1, 2, 3], [1, 2, 4]), sharedPrefix([], [1]), sharedPrefix([1], [1])]).toEqual([
      2, 0, 1,
    ]);
  });
});

describe("a step evaluates", () => {
  test.each([
    ["nothing when nobody has anything", [], 8, []],
    ["one token for each that decodes", [1, 1, 1], 8, [1, 1, 1]],
    ["a whole prompt when there is room", [1, 5], 8, [1, 5]],
    ["the beginning of a prompt when there is not", [1, 1, 20], 8, [1, 1, 6]],
    ["the oldest prompt first", [20, 5], 8, [8, 0]],
    ["what is left for the next prompt", [5, 20], 8, [5, 3]],
    ["decoding slots even when they fill the batch", [20, 1, 1], 2, [0, 1, 1]],
  ])("%s", (_, todo, batchSize, plan) => {
    expect(planStep(todo, batchSize)).toEqual(plan);
  });

  test("never more than the batch holds, and always something", () => {
    const todo = fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1, maxLength: 16 });
    fc.assert(
      fc.property(todo, fc.integer({ min: 16, max: 512 }), (todo, batchSize) => {
        const plan = planStep(todo, batchSize);
        const sum = plan.reduce((sum, count) => sum + count, 0);
        expect(sum).toBeGreaterThan(0);
        expect(sum).toBeLessThanOrEqual(batchSize);
        expect(plan.every((count, at) => count <= todo[at]!)).toBe(true);
      }),
    );
  });
});
