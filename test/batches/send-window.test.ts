// How many lines of batches are on the queue at the same time.
import { expect, test } from "vitest";
import { SendWindow } from "../../worker/batches/send-window.ts";

const SECOND = 1_000;

test("it is what ends in 20 seconds: more at once where lines run fast, less again where they do not", () => {
  let now = 0;
  const window = new SendWindow(() => now);
  expect(window.size).toBe(32);
  window.ended(100);
  expect(window.size).toBe(200);
  now += 10 * SECOND;
  window.ended(40);
  expect(window.size).toBe(200);
  now += 10 * SECOND;
  expect(window.size).toBe(80);
  now += 10 * SECOND;
  expect(window.size).toBe(32);
});

test("it is bounded", () => {
  const window = new SendWindow(() => 0);
  window.ended(100_000);
  expect(window.size).toBe(512);
});
