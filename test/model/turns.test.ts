// Whose request goes to the engine next.
import { describe, expect, test } from "vitest";
import { Turns } from "../../worker/model/turns.ts";
import { settled } from "../fakes/clock.ts";

const never = new AbortController().signal;

/** Jobs whose requests a test ends one by one; `order` is the order in which they began. */
function engine(turns: Turns) {
  const order: string[] = [];
  const running: { name: string; end(): void }[] = [];
  return {
    order,
    running,
    ask(name: string, count: number, { priority = 5, signal = never } = {}) {
      const job = turns.forJob({ priority, signal });
      return Array.from({ length: count }, () =>
        job.take(async () => {
          order.push(name);
          const { promise, resolve } = Promise.withResolvers<void>();
          running.push({ name, end: resolve });
          await promise;
        }),
      );
    },
    async endFirst() {
      running.shift()?.end();
      await settled();
    },
  };
}

describe("a job that asks a thousand questions at once", () => {
  test("has no more at the engine than the engine has slots", async () => {
    const { ask, running } = engine(new Turns({ atOnce: 16, slots: () => 4 }));
    ask("greedy", 1_000);
    await settled();
    expect(running).toHaveLength(4);
  });

  test("has no more there than a job may, where the engine does not tell its slots", async () => {
    const { ask, running } = engine(new Turns({ atOnce: 3 }));
    ask("greedy", 1_000);
    await settled();
    expect(running).toHaveLength(3);
  });

  test("does not make another job wait for more than one of its answers, even beside others like it", async () => {
    const { ask, order, endFirst } = engine(new Turns({ atOnce: 16, slots: () => 2 }));
    for (const name of ["greedy 1", "greedy 2"]) ask(name, 1_000);
    await settled();
    expect(order).toHaveLength(4);
    ask("honest", 1);
    await endFirst();
    expect(order.at(-1)).toBe("honest");
  });
});

test("jobs with as many requests take turns, those of a higher priority first", async () => {
  const { ask, order, endFirst } = engine(new Turns({ atOnce: 1, slots: () => 1 }));
  ask("a", 3);
  ask("b", 3);
  await settled();
  ask("low", 1, { priority: 1 });
  ask("high", 1, { priority: 9 });
  for (let ended = 0; ended < 8; ended += 1) await endFirst();
  expect(order).toEqual(["a", "b", "high", "a", "b", "a", "b", "low"]);
});

test("the requests of a job that ended give their places to others at once", async () => {
  const over = new AbortController();
  const { ask, order, endFirst } = engine(new Turns({ atOnce: 1, slots: () => 1 }));
  const [first, ...others] = ask("ended", 500, { signal: over.signal });
  ask("other", 1);
  await settled();
  over.abort(new Error("over"));
  expect((await Promise.allSettled(others)).map(({ status }) => status)).toEqual(
    others.map(() => "rejected"),
  );
  await endFirst();
  await endFirst();
  await first;
  expect(order).toEqual(["ended", "other"]);
});

test("a request that fails gives its turn back", async () => {
  const job = new Turns({ atOnce: 1 }).forJob({ priority: 5, signal: never });
  await expect(job.take(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(await job.take(async () => "next")).toBe("next");
});
