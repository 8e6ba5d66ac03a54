// A paused process wakes after its time, or earlier when the storm is over.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ProcessPause } from "../../storm/process-pause.ts";

let sent: string[];
let changes: number;
let paused: ProcessPause;
beforeEach(() => {
  vi.useFakeTimers();
  sent = [];
  changes = 0;
  paused = new ProcessPause(() => void changes++);
});
afterEach(() => void vi.useRealTimers());
const pause = (pid: number, forMs = 1_000) =>
  paused.pause(pid, forMs, (signal) => sent.push(`${signal} ${pid}`) > 0);

test("a paused process wakes once, after its time; until then it cannot be paused again", () => {
  expect(pause(1)).toBe(true);
  expect([paused.isPaused(1), pause(1)]).toEqual([true, false]);
  vi.advanceTimersByTime(1_000);
  paused.wake(1);
  expect([paused.isPaused(1), sent, changes]).toEqual([false, ["SIGSTOP 1", "SIGCONT 1"], 2]);
});

test("all wake at once when the storm is over", () => {
  pause(1);
  pause(2);
  paused.wakeAll();
  expect(sent.slice(2)).toEqual(["SIGCONT 1", "SIGCONT 2"]);
  expect(vi.getTimerCount()).toBe(0);
});

test("a process that has ended is not paused", () => {
  expect(paused.pause(1, 1_000, () => false)).toBe(false);
  expect(paused.isPaused(1)).toBe(false);
});
