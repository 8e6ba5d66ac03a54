import { describe, expect, test } from "vitest";
import { planStep } from "../../../../worker/engine/backends/node-llama-cpp/step-plan.ts";
import fc from "../../../properties.ts";

describe("a step evaluates", () => {
  test.each([
    ["nothing when nobody has anything", [], []],
    ["one token for each that decodes", [1, 1, 1], [1, 1, 1]],
    ["a whole prompt when there is room", [1, 3], [1, 3]],
    ["the beginning of a long prompt", [20, 5], [8, 0]],
    ["a whole prompt, and not a piece of the next", [5, 4], [5, 0]],
    ["as many whole prompts as fit", [5, 4, 3], [5, 0, 3]],
    ["a chunk of a prompt while others decode", [1, 1, 20], [1, 1, 4]],
    ["all that fits of a prompt while nobody decodes", [20], [8]],
  ])("%s", (_, todo, plan) => {
    const work = todo.map((todo) => ({ todo, most: todo }));
    expect(planStep(work, 8, 4)).toEqual(plan);
  });

  test("decoding slots even when they fill the batch", () => {
    const work = [20, 1, 1].map((todo) => ({ todo, most: todo }));
    expect(planStep(work, 2, 4)).toEqual([0, 1, 1]);
  });

  test("a prompt up to where somebody wants a copy, and nothing for who waits for one", () => {
    const work = [
      { todo: 20, most: 5 },
      { todo: 10, most: 0 },
      { todo: 1, most: 0 },
      { todo: 9, most: 9 },
    ];
    expect(planStep(work, 8, 4)).toEqual([5, 0, 0, 0]);
  });

  test("never more than the batch holds or a slot may take, and always something", () => {
    const work = fc.array(
      fc.record({ todo: fc.integer({ min: 1, max: 900 }), most: fc.integer({ min: 1, max: 900 }) }),
      { minLength: 1, maxLength: 16 },
    );
    fc.assert(
      fc.property(work, fc.integer({ min: 16, max: 512 }), (work, batchSize) => {
        const plan = planStep(work, batchSize, 256);
        const sum = plan.reduce((sum, count) => sum + count, 0);
        expect(sum).toBeGreaterThan(0);
        expect(sum).toBeLessThanOrEqual(batchSize);
        expect(plan.every((count, at) => count <= work[at]!.todo && count <= work[at]!.most)).toBe(true);
      }),
    );
  });
});
