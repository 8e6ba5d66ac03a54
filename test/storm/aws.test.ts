// The storm stops waiting for its AWS process as soon as the process ends or the storm is stopped.
import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
import { firstMessage } from "../../storm/aws.ts";

const start = () => {
  const child = new EventEmitter();
  const stopped = new AbortController();
  return { child, stopped, message: firstMessage(child, stopped.signal) };
};
/** None is left when nobody waits any more. */
const listeners = (child: EventEmitter) => child.listenerCount("message") + child.listenerCount("exit");

test("the first message is returned; that the process ends later does not matter", async () => {
  const { child, message } = start();
  child.emit("message", { endpoint: "http://127.0.0.1:1" });
  await expect(message).resolves.toEqual({ endpoint: "http://127.0.0.1:1" });
  expect(listeners(child)).toBe(0);
});

test.each([
  ["exit code 1", 1, null],
  ["SIGKILL", null, "SIGKILL"],
])("a process that ends before its first message is an error: %s", async (how, code, signal) => {
  const { child, message } = start();
  child.emit("exit", code, signal);
  await expect(message).rejects.toThrow(`AWS ended (${how}) before it had started.`);
  expect(listeners(child)).toBe(0);
});

test("Ctrl-C ends the wait", async () => {
  const { child, stopped, message } = start();
  stopped.abort(new Error("ended by SIGINT"));
  await expect(message).rejects.toThrow();
  expect(listeners(child)).toBe(0);
});
