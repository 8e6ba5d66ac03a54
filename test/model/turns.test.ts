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
    ask(name: string, count: number, signal = never) {
      const job = turns.forJob(signal);
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

  test("does not make another job wait: a job that has nothing at the engine sends at once", async () => {
    const { ask, order } = engine(new Turns({ atOnce: 16, slots: () => 2 }));
    for (const name of ["greedy 1", "greedy 2", "greedy 3"]) ask(name, 1_000);
    await settled();
    ask("honest", 1);
    await settled();
    // As many as the first one might have alone, and one request of each job that came later.
    expect(order).toEqual(["greedy 1", "greedy 1", "greedy 2", "greedy 3", "honest"]);
  });
});

describe("while jobs come and go, those that ask much", () => {
  test("share half of the slots, so that a newcomer finds a free one", async () => {
    let now = 0;
    const { ask, running, endFirst } = engine(new Turns({ atOnce: 16, slots: () => 8, now: () => now }));
    const there = () => running.map(({ name }) => name).toSorted();
    ask("greedy", 1_000);
    await settled();
    expect(running).toHaveLength(8);
    ask("short", 1);
    await settled();
    for (let ended = 0; ended < 5; ended++) await endFirst();
    expect(there()).toEqual(["greedy", "greedy", "greedy", "short"]);
    now = 9_999;
    await endFirst();
    expect(running).toHaveLength(4);
    // Nobody else has come for a while: all slots again, beside the newcomer.
    now = 10_000;
    await endFirst();
    expect(running).toHaveLength(9);
  });

  test("say so with each request but a job's only one, which then goes first", async () => {
    const turns = new Turns({ atOnce: 16, slots: () => 8 });
    const { promise, resolve } = Promise.withResolvers<void>();
    const seen: boolean[] = [];
    const job = turns.forJob(never);
    const all = [1, 2, 3].map(() =>
      job.take(async (hasOthers) => {
        seen.push(hasOthers);
        await promise;
      }),
    );
    await settled();
    expect(seen).toEqual([false, true, true]);
    resolve();
    await Promise.all(all);
  });
});

test("jobs that ask much take turns", async () => {
  const { ask, order, endFirst } = engine(new Turns({ atOnce: 1, slots: () => 1 }));
  for (const name of ["a", "b", "c"]) ask(name, 3);
  await settled();
  for (let ended = 0; ended < 9; ended += 1) await endFirst();
  expect(order.join("")).toBe("abcabcabc");
});

test("the next turn is for the job with the fewest requests at the engine", async () => {
  const { ask, order, endFirst } = engine(new Turns({ atOnce: 3, slots: () => 6 }));
  ask("a", 9);
  ask("b", 9);
  ask("c", 9);
  await settled();
  expect(order.join("")).toBe("aaabc");
  // The answers end in the order in which they began. The first two make room for nobody: half of the slots are taken all the same.
  for (let ended = 0; ended < 5; ended += 1) await endFirst();
  expect(order.slice(5).join("")).toBe("abc");
});

test("the requests of a job that ended give their places to others at once", async () => {
  const over = new AbortController();
  const { ask, order, endFirst } = engine(new Turns({ atOnce: 1, slots: () => 1 }));
  const [first, ...others] = ask("ended", 500, over.signal);
  ask("other", 2);
  await settled();
  over.abort(new Error("over"));
  expect((await Promise.allSettled(others)).map(({ status }) => status)).toEqual(
    others.map(() => "rejected"),
  );
  for (let ended = 0; ended < 3; ended += 1) await endFirst();
  await first;
  expect(order).toEqual(["ended", "other", "other"]);
});

test("a request that fails gives its turn back", async () => {
  const job = new Turns({ atOnce: 1 }).forJob(never);
  await expect(job.take(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(await job.take(async () => "next")).toBe("next");
});
