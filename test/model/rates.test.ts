// The seconds that work takes the engine, by what was measured: on a fake clock, with an engine whose costs are known.
import { describe, expect, test } from "vitest";
import type { Measured } from "../../worker/model/model.ts";
import { Rates } from "../../worker/model/rates.ts";

const ABOUT = { engine: "kamado", trace: {} };

/** An engine that takes `prompt` and `completion` seconds for a token, and works on one thing at a time. */
function engine(
  costs: { prompt: number; completion: number },
  earlier?: ConstructorParameters<typeof Rates>[1],
) {
  let now = 0;
  const rates = new Rates({ now: () => now }, earlier);
  const around = rates.around(undefined);
  type Work = { prompt: number; cached?: number; completion: number; model?: string };
  const secondsOf = ({ prompt, cached = 0, completion }: Work) =>
    (prompt - cached) * costs.prompt + completion * costs.completion;
  const answerTo = ({ prompt, cached = 0, completion, model = "m" }: Work): Measured => ({
    model,
    promptTokens: prompt,
    cachedTokens: cached,
    completionTokens: completion,
  });
  return {
    rates,
    /** All of them are there at the same time; they end one after another. */
    async together(works: readonly Work[]) {
      const sent = works.map((work) => {
        const { promise, resolve } = Promise.withResolvers<Measured>();
        return { work, resolve, done: around({}, ABOUT, () => promise) };
      });
      for (const { work, resolve, done } of sent) {
        now += secondsOf(work) * 1_000;
        resolve(answerTo(work));
        await done;
      }
    },
    idle(ms: number) {
      now += ms;
    },
    async failed(ms: number) {
      const failing = around({}, ABOUT, async (): Promise<Measured> => {
        now += ms;
        throw new Error("canceled");
      });
      await failing.catch(() => {});
    },
  };
}

const COSTS = { prompt: 0.002, completion: 0.02 };
const secondsOf = (prompt: number, completion: number) =>
  prompt * COSTS.prompt + completion * COSTS.completion;
const times = <T>(count: number, one: T): T[] => Array.from({ length: count }, () => one);

test("nothing is said before anything was measured", async () => {
  const { rates, failed } = engine(COSTS);
  expect(rates.estimate({ promptTokens: 1, completionTokens: 1 })).toBeNull();
  await failed(5_000);
  expect(rates.estimate({ promptTokens: 1, completionTokens: 1 })).toBeNull();
});

test("more of the same takes as much longer, after a single request", async () => {
  const { rates, together } = engine({ prompt: 0.001, completion: 0.05 });
  await together([{ prompt: 600, completion: 50 }]);
  const seconds = 600 * 0.001 + 50 * 0.05;
  expect(rates.estimate({ promptTokens: 6_000, completionTokens: 500 })).toBeCloseTo(10 * seconds, 6);
  expect(rates.estimate({ promptTokens: 0, completionTokens: 0 })).toBe(0);
});

test("requests that run together share the time: what counts is throughput, and not how long each took", async () => {
  const { rates, together } = engine(COSTS);
  for (let round = 0; round < 5; round += 1) await together(times(16, { prompt: 700, completion: 60 }));
  expect(rates.estimate({ promptTokens: 45 * 700, completionTokens: 45 * 60 })).toBeCloseTo(
    secondsOf(45 * 700, 45 * 60),
    6,
  );
});

test("time in which the engine had nothing to do, or failed, does not count", async () => {
  const { rates, together, idle, failed } = engine(COSTS);
  await together(times(4, { prompt: 700, completion: 60 }));
  idle(3_600_000);
  await failed(60_000);
  await together(times(4, { prompt: 700, completion: 60 }));
  expect(rates.estimate({ promptTokens: 700, completionTokens: 60 })).toBeCloseTo(secondsOf(700, 60), 6);
});

test("what was cached costs nothing", async () => {
  const { rates, together } = engine(COSTS);
  await together(times(8, { prompt: 1_000, cached: 900, completion: 60 }));
  const uncached = rates.estimate({ promptTokens: 800, completionTokens: 480 });
  expect(uncached).toBeCloseTo(secondsOf(800, 480), 6);
});

test.each([
  [0.002, 0.02],
  [0.0005, 0.05],
  [0.01, 0.03],
])(
  "requests of several forms tell prompts from answers: %d s and %d s a token",
  async (prompt, completion) => {
    const { rates, together, idle } = engine({ prompt, completion });
    for (const work of [
      { prompt: 2_000, completion: 5 },
      { prompt: 100, completion: 300 },
      { prompt: 900, completion: 80 },
    ])
      for (let round = 0; round < 4; round += 1) {
        await together(times(3, work));
        idle(100);
      }
    for (const [p, c] of [
      [10_000, 0],
      [0, 1_000],
      [5_000, 500],
    ] as const) {
      const seconds = p * prompt + c * completion;
      const estimated = rates.estimate({ promptTokens: p, completionTokens: c })!;
      expect([p, c, Math.abs(estimated - seconds) / seconds < 0.25]).toEqual([p, c, true]);
    }
  },
);

test("requests that are all alike still tell something of others, and never that they take no time", async () => {
  const { rates, together } = engine(COSTS);
  await together(times(20, { prompt: 700, completion: 60 }));
  expect(rates.estimate({ promptTokens: 1_000, completionTokens: 0 })).toBeGreaterThan(0);
  expect(rates.estimate({ promptTokens: 0, completionTokens: 1_000 })).toBeGreaterThan(
    rates.estimate({ promptTokens: 1_000, completionTokens: 0 })!,
  );
});

test("the latest requests count: an engine that became slower is soon known as such", async () => {
  const costs = { ...COSTS };
  const { rates, together } = engine(costs);
  for (let round = 0; round < 40; round += 1) await together(times(8, { prompt: 700, completion: 60 }));
  [costs.prompt, costs.completion] = [COSTS.prompt * 3, COSTS.completion * 3];
  for (let round = 0; round < 40; round += 1) await together(times(8, { prompt: 700, completion: 60 }));
  expect(rates.estimate({ promptTokens: 700, completionTokens: 60 })).toBeCloseTo(3 * secondsOf(700, 60), 6);
});

test("another model is measured anew", async () => {
  const { rates, together } = engine(COSTS);
  await together([{ prompt: 700, completion: 60 }]);
  await together([{ prompt: 0, completion: 0, model: "other" }]);
  expect(rates.estimate({ promptTokens: 700, completionTokens: 60 })).toBeNull();
});

describe("what an earlier process measured", () => {
  test("counts until this one has measured enough", async () => {
    const before = engine(COSTS);
    await before.together(times(20, { prompt: 700, completion: 60 }));
    const measured = JSON.parse(JSON.stringify(before.rates.measured()));
    const faster = { prompt: COSTS.prompt / 4, completion: COSTS.completion / 4 };
    const { rates, together } = engine(faster, measured);
    const estimate = () => rates.estimate({ promptTokens: 700, completionTokens: 60 });
    expect(estimate()).toBeCloseTo(secondsOf(700, 60), 6);
    await together(times(64, { prompt: 700, completion: 60 }));
    expect(estimate()).toBeCloseTo(secondsOf(700, 60) / 4, 6);
  });

  test("does not count for another model", async () => {
    const stretches = [{ seconds: 1_000, prompt: 10, completion: 10 }];
    const { rates, together } = engine(COSTS, { model: "other", stretches });
    await together([{ prompt: 700, completion: 60 }]);
    expect(rates.estimate({ promptTokens: 700, completionTokens: 60 })).toBeCloseTo(secondsOf(700, 60), 6);
  });
});

test("a million tokens after nothing but answers of one token are a number all the same", async () => {
  const { rates, together } = engine(COSTS);
  await together(times(3, { prompt: 0, completion: 1 }));
  const estimated = rates.estimate({ promptTokens: 1_000_000, completionTokens: 0 })!;
  expect(Number.isFinite(estimated) && estimated > 0).toBe(true);
});
