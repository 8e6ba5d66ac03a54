// The receivers of a storm honour idempotency keys, however badly they behave.
import { afterEach, expect, test } from "vitest";
import type { Act } from "../../storm/plan.ts";
import { type Receivers, startReceivers } from "../../storm/receivers.ts";

let receivers: Receivers;
afterEach(() => receivers.stop());
const start = async (...acts: Act[]) => {
  receivers = await startReceivers(2, (nth) => acts[nth] ?? { is: "take" });
};
const body = JSON.stringify({ type: "job.succeeded", data: { id: "storm-00001" } });
const call = async (key: string, path = "/callback", signal?: AbortSignal) => {
  const headers = { "webhook-id": key };
  const options = { method: "POST", body, headers, ...(signal && { signal }) };
  return (await fetch(receivers.urls[0] + path, options)).status;
};
const heard = () => receivers.heard.map(({ act, applied }) => [act, applied]);

test("a key is applied once; every request is kept", async () => {
  await start();
  expect([await call("a"), await call("a"), await call("b")]).toEqual([200, 200, 200]);
  expect(heard()).toEqual([
    ["take", true],
    ["take", false],
    ["take", true],
  ]);
  const address = `${receivers.urls[0]}/callback`;
  expect(receivers.heard[0]).toMatchObject({ job: "storm-00001", key: "a", event: "job.succeeded", address });
});

test("an address does not know the keys of another: what comes to the wrong one is an effect there", async () => {
  await start();
  await call("a");
  await call("a", "/elsewhere");
  expect(receivers.heard.map(({ address, applied }) => [new URL(address).pathname, applied])).toEqual([
    ["/callback", true],
    ["/elsewhere", true],
  ]);
});

test("one that hangs up after it has taken a result has it; one that fails or hangs up before does not", async () => {
  await start({ is: "take-and-slam" }, { is: "take" }, { is: "fail" }, { is: "slam" }, { is: "busy" });
  await expect(call("a")).rejects.toThrow();
  expect(await call("a")).toBe(200);
  expect(await call("b")).toBe(500);
  await expect(call("b")).rejects.toThrow();
  expect(await call("b")).toBe(503);
  expect(await call("b")).toBe(200);
  expect(heard().map(([, applied]) => applied)).toEqual([true, false, false, false, false, true]);
});

test("one that hangs may have taken it", async () => {
  await start({ is: "take-and-hang" }, { is: "hang" });
  for (const [nth, key] of ["a", "b"].entries()) {
    const patience = new AbortController();
    const called = call(key, "/callback", patience.signal);
    await expect.poll(() => receivers.heard.length).toBe(nth + 1);
    patience.abort();
    await expect(called).rejects.toThrow();
  }
  expect(heard()).toEqual([
    ["take-and-hang", true],
    ["hang", false],
  ]);
});

test("what is gone takes nothing, and a call below an address counts for it", async () => {
  await start();
  expect(await call("a", "/gone")).toBe(410);
  expect(await call("b", "/rest/1")).toBe(200);
  expect(heard()).toEqual([
    ["gone", false],
    ["take", true],
  ]);
  expect(receivers.heard[1]!.address).toBe(`${receivers.urls[0]}/rest`);
});
