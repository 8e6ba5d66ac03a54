// The storm waits for its AWS no longer than there is something to wait for.
import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
import { firstWord } from "../../storm/aws.ts";

const start = () => {
  const child = new EventEmitter();
  const stopped = new AbortController();
  return { child, stopped, word: firstWord(child, stopped.signal) };
};
/** Nobody waits for it any more. */
const listeners = (child: EventEmitter) => child.listenerCount("message") + child.listenerCount("exit");

test("what the process says first is heard, and its end later is nobody's concern", async () => {
  const { child, word } = start();
  child.emit("message", { endpoint: "http://127.0.0.1:1" });
  await expect(word).resolves.toEqual({ endpoint: "http://127.0.0.1:1" });
  expect(listeners(child)).toBe(0);
});

test.each([
  ["exit code 1", 1, null],
  ["SIGKILL", null, "SIGKILL"],
])("a process that ends before it has said anything is an error: %s", async (how, code, signal) => {
  const { child, word } = start();
  child.emit("exit", code, signal);
  await expect(word).rejects.toThrow(`AWS ended (${how}) before it had started.`);
  expect(listeners(child)).toBe(0);
});

test("Ctrl-C ends the wait", async () => {
  const { child, stopped, word } = start();
  stopped.abort(new Error("ended by SIGINT"));
  await expect(word).rejects.toThrow();
  expect(listeners(child)).toBe(0);
});
