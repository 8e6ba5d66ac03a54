// The receivers honour idempotency keys whatever fault they show.
import { afterEach, expect, test } from "vitest";
import type { ReceiverFault } from "../../storm/plan.ts";
import { type Receivers, startReceivers } from "../../storm/receivers.ts";

let receivers: Receivers;
afterEach(() => receivers.stop());
const start = async (...faults: ReceiverFault[]) => {
  receivers = await startReceivers(2, (nth) => faults[nth] ?? { is: "accept" });
};
const body = JSON.stringify({ type: "job.succeeded", data: { id: "storm-00001" } });
const call = async (key: string, path = "/callback", signal?: AbortSignal) => {
  const headers = { "webhook-id": key };
  const options = { method: "POST", body, headers, ...(signal && { signal }) };
  return (await fetch(receivers.urls[0] + path, options)).status;
};
const received = () => receivers.requests.map(({ behaviour, applied }) => [behaviour, applied]);

test("a key is applied once; every request is kept", async () => {
  await start();
  expect([await call("a"), await call("a"), await call("b")]).toEqual([200, 200, 200]);
  expect(received()).toEqual([
    ["accept", true],
    ["accept", false],
    ["accept", true],
  ]);
  const address = `${receivers.urls[0]}/callback`;
  expect(receivers.requests[0]).toMatchObject({
    job: "storm-00001",
    key: "a",
    event: "job.succeeded",
    address,
  });
});

test("each address has its own keys: a result at the wrong address is an effect there", async () => {
  await start();
  await call("a");
  await call("a", "/elsewhere");
  expect(receivers.requests.map(({ address, applied }) => [new URL(address).pathname, applied])).toEqual([
    ["/callback", true],
    ["/elsewhere", true],
  ]);
});

test("a receiver that hangs up may have applied the result before; one that fails has not", async () => {
  await start(
    { is: "accept-then-hang-up" },
    { is: "accept" },
    { is: "fail" },
    { is: "hang-up" },
    { is: "busy" },
  );
  await expect(call("a")).rejects.toThrow();
  expect(await call("a")).toBe(200);
  expect(await call("b")).toBe(500);
  await expect(call("b")).rejects.toThrow();
  expect(await call("b")).toBe(503);
  expect(await call("b")).toBe(200);
  expect(received().map(([, applied]) => applied)).toEqual([true, false, false, false, false, true]);
});

test("a receiver that does not answer may have applied the result", async () => {
  await start({ is: "accept-then-no-answer" }, { is: "no-answer" });
  for (const [nth, key] of ["a", "b"].entries()) {
    const patience = new AbortController();
    const called = call(key, "/callback", patience.signal);
    await expect.poll(() => receivers.requests.length).toBe(nth + 1);
    patience.abort();
    await expect(called).rejects.toThrow();
  }
  expect(received()).toEqual([
    ["accept-then-no-answer", true],
    ["no-answer", false],
  ]);
});

test("an address that answers 410 applies nothing; a call to a path below an address counts for that address", async () => {
  await start();
  expect(await call("a", "/gone")).toBe(410);
  expect(await call("b", "/rest/1")).toBe(200);
  expect(received()).toEqual([
    ["gone", false],
    ["accept", true],
  ]);
  expect(receivers.requests[1]!.address).toBe(`${receivers.urls[0]}/rest`);
});

test("the silent address never answers the first try of a key, and has not applied it", async () => {
  await start();
  const patience = new AbortController();
  const called = call("a", "/silent", patience.signal);
  await expect.poll(() => receivers.requests.length).toBe(1);
  patience.abort();
  await expect(called).rejects.toThrow();
  expect(await call("a", "/silent")).toBe(200);
  expect(received()).toEqual([
    ["silent", false],
    ["accept", true],
  ]);
});
