import { expect, test } from "vitest";
import { Gate } from "../../../../worker/engine/backends/llama-node/runner.ts";

const never = new AbortController().signal;

test("one picture at a time; texts that came meanwhile go in before the next picture", async () => {
  const gate = new Gate();
  const order: string[] = [];
  const enter = (name: string, picture: boolean) => gate.enter(picture, never).then(() => order.push(name));
  await enter("first picture", true);
  const others = [enter("second picture", true), enter("text", false)];
  await Promise.resolve();
  expect(order).toEqual(["first picture"]);
  gate.leave();
  await Promise.all(others);
  expect(order).toEqual(["first picture", "text", "second picture"]);
});

test("who goes away at the moment of being let in takes nobody else's place", async () => {
  const gate = new Gate();
  await gate.enter(true, never);
  const client = new AbortController();
  const admitted = gate.enter(true, client.signal);
  const waiting = gate.enter(true, never);
  gate.leave();
  client.abort();
  await admitted;
  gate.leave();
  await waiting;
});

test("who goes away while waiting leaves the line, and hears why", async () => {
  const gate = new Gate();
  await gate.enter(true, never);
  const client = new AbortController();
  const gone = gate.enter(false, client.signal);
  client.abort(new Error("gone"));
  await expect(gone).rejects.toThrow("gone");
  gate.leave();
  await gate.enter(true, never);
});
