// What a storm freezes wakes again: after its time, or before when the storm is over.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Frost } from "../../storm/frost.ts";

let sent: string[];
let changes: number;
let frost: Frost;
beforeEach(() => {
  vi.useFakeTimers();
  sent = [];
  changes = 0;
  frost = new Frost(() => void changes++);
});
afterEach(() => void vi.useRealTimers());
const freeze = (pid: number, forMs = 1_000) =>
  frost.freeze(pid, forMs, (signal) => sent.push(`${signal} ${pid}`) > 0);

test("one that is frozen wakes after its time, once; meanwhile it cannot be frozen again", () => {
  expect(freeze(1)).toBe(true);
  expect([frost.has(1), freeze(1)]).toEqual([true, false]);
  vi.advanceTimersByTime(1_000);
  frost.thaw(1);
  expect([frost.has(1), sent, changes]).toEqual([false, ["SIGSTOP 1", "SIGCONT 1"], 2]);
});

test("all wake at once when the storm is over", () => {
  freeze(1);
  freeze(2);
  frost.thawAll();
  expect(sent.slice(2)).toEqual(["SIGCONT 1", "SIGCONT 2"]);
  expect(vi.getTimerCount()).toBe(0);
});

test("one that is gone is not frozen", () => {
  expect(frost.freeze(1, 1_000, () => false)).toBe(false);
  expect(frost.has(1)).toBe(false);
});
