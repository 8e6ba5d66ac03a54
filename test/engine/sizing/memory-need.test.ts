import { describe, expect, test } from "vitest";
import { bytesOf } from "../../../worker/engine/sizing/memory-fit.ts";
import { needFrom } from "../../../worker/engine/sizing/memory-need.ts";

describe("the formula from three contexts", () => {
  const margin = 1.05;
  const process = 220 * 2 ** 20;

  test("tells what grows with tokens from what grows with slots", () => {
    const at = (slots: number, context: number) => 1_000_000 + 512 * slots * context + 7_000 * slots;
    const formula = needFrom({ small: at(8, 2_048), long: at(8, 8_192), single: at(1, 16_384) }, 5_000_000);
    const bytes = bytesOf(
      { ...formula, weightsBytes: 0, trainContextSize: 0 },
      { slots: 3, contextSize: 5_000 },
    );
    expect((bytes - process) / margin).toBeCloseTo(5_000_000 + at(3, 5_000), -1);
  });

  test("has no part for slots where a single long context takes more than eight short ones", () => {
    expect(needFrom({ small: 100, long: 200, single: 150 }, 0).perSlotBytes).toBe(0);
  });
});
