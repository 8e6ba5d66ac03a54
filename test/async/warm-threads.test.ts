// Threads that stay for the next piece of work, and what ends them.
import { expect, test } from "vitest";
import { type WarmThreadsOptions, warmThreads } from "../../worker/async/warm-threads.ts";

const file = new URL("./warm-threads-work.ts", import.meta.url);
const LONG = 60_000;
const make = (options: Partial<WarmThreadsOptions> = {}) =>
  warmThreads(file, { atOnce: 1, idleMs: LONG, maxMemoryMb: 32, ...options });

test("the next piece of work finds the thread of the one before", async () => {
  const { run } = make();
  expect([await run("count", LONG), await run("count", LONG), await run("count", LONG)]).toEqual([1, 2, 3]);
});

test("no more of it runs at once than is allowed, and nothing is lost", async () => {
  const { run } = make({ atOnce: 2 });
  const counts = await Promise.all(Array.from({ length: 6 }, () => run<number>("count", LONG)));
  // Two threads share the work.
  expect(counts.filter((count) => count === 1)).toHaveLength(2);
  expect(counts).toHaveLength(6);
});

test.for([
  ["throw", LONG, "thrown in the thread"],
  ["exit", LONG, "ended without a result"],
  ["hang", 50, "longer than 50 ms"],
  ["fill", LONG, "memory"],
] as const)(
  "work that ends its thread fails, and the next gets a new one: %s",
  async ([work, ms, message]) => {
    const { run } = make();
    expect(await run("count", LONG)).toBe(1);
    await expect(run(work, ms)).rejects.toThrow(message);
    expect(await run("count", LONG)).toBe(1);
  },
);

test("a thread that has had nothing to do for long enough ends", async () => {
  const { run } = make({ idleMs: 0 });
  await run("count", LONG);
  // Timers fire in order, so that of the thread has fired.
  await new Promise((resolve) => setTimeout(resolve, 1));
  expect(await run("count", LONG)).toBe(1);
});
