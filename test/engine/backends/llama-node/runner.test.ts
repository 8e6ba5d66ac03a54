import { expect, test } from "vitest";
import { PictureTurns } from "../../../../worker/engine/backends/llama-node/runner.ts";

const never = new AbortController().signal;
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("while a picture is encoded nobody calls the library; texts go before the next picture", async () => {
  const turns = new PictureTurns();
  const inside: string[] = [];
  const enter = (name: string, encodes: boolean) =>
    turns.enter(encodes, never).then(() => void inside.push(name));
  await enter("text", false);
  await enter("picture", true);
  const rest = [enter("second picture", true), enter("second text", false), enter("third text", false)];
  await settled();
  expect(inside).toEqual(["text", "picture"]);
  turns.leave();
  await Promise.all(rest);
  expect(inside.slice(2)).toEqual(["second text", "third text", "second picture"]);
  const last = enter("last text", false);
  turns.leave();
  await last;
  expect(inside.at(-1)).toBe("last text");
});

test("a client that goes away at the moment it is admitted takes nobody else's turn", async () => {
  const turns = new PictureTurns();
  await turns.enter(true, never);
  const client = new AbortController();
  const admitted = turns.enter(true, client.signal);
  const waiting = turns.enter(true, never);
  turns.leave();
  client.abort();
  await admitted;
  turns.leave();
  await waiting;
});

test("a client that goes away while it waits leaves the queue, and gets the reason", async () => {
  const turns = new PictureTurns();
  await turns.enter(true, never);
  const client = new AbortController();
  const gone = turns.enter(true, client.signal);
  const next = turns.enter(true, never);
  client.abort(new Error("gone"));
  await expect(gone).rejects.toThrow("gone");
  turns.leave();
  await next;
});
