// A receiver that is down costs no job its time and does not affect other receivers.
import { expect, test } from "vitest";
import { Circuits } from "../../worker/deliver/circuit.ts";
import { KamadoError } from "../../worker/errors.ts";
import type { Destination } from "../../worker/job/envelope.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { FakeClock } from "../fakes/clock.ts";
import { errorOf } from "./deliveries.ts";

const A = { callback: "https://a.example/hook" };
const A_OTHER = { callback: "https://a.example/other" };
const B = { callback: "https://b.example/hook" };
const failure = (status?: number) =>
  new KamadoError("delivery_failed", "down", { detail: status === undefined ? {} : { httpStatus: status } });
const refusal = new KamadoError("delivery_rejected", "no", { detail: { httpStatus: 404 } });

function rig() {
  const clock = new FakeClock();
  const circuits = new Circuits({ clock, log: silentLog });
  let tried = 0;
  const run = (to: Destination, error: KamadoError | null, insist = false) =>
    circuits
      .run(
        to,
        async () => {
          tried += 1;
          if (error) throw error;
        },
        insist,
      )
      .then(
        () => null,
        (thrown) => thrown as KamadoError,
      );
  return { clock, circuits, run, tried: () => tried };
}
const fail = async ({ run }: ReturnType<typeof rig>, times: number, error = failure()) => {
  for (let i = 0; i < times; i++) await run(A, error);
};

test("after five failures in a row nothing is sent for a while, and the error says for how long", async () => {
  const one = rig();
  await fail(one, 5);
  expect((await one.run(A, null))?.detail).toEqual({ retryAfterMs: 30_000, heldBack: true });
  expect(one.tried()).toBe(5);
});

test("other receivers are not affected", async () => {
  const one = rig();
  await fail(one, 5);
  expect(await one.run(B, null)).toBeNull();
});

test("then one delivery probes it while the others are still held back; if it works, the circuit closes", async () => {
  const one = rig();
  await fail(one, 5);
  await one.clock.advance(30_000);
  const gate = Promise.withResolvers<void>();
  const probe = one.circuits.run(A, () => gate.promise);
  expect((await one.run(A, null))?.detail?.heldBack).toBe(true);
  gate.resolve();
  await probe;
  expect(await one.run(A, null)).toBeNull();
  expect(one.circuits.size).toBe(0);
});

test("a probe that fails keeps it open for twice as long, up to ten minutes", async () => {
  const one = rig();
  await fail(one, 5);
  const waits: unknown[] = [];
  for (let i = 0; i < 7; i++) {
    const { retryAfterMs } = (await one.run(A, null))!.detail as { retryAfterMs: number };
    waits.push(retryAfterMs / 1_000);
    await one.clock.advance(retryAfterMs);
    await one.run(A, failure(503));
  }
  expect(waits).toEqual([30, 60, 120, 240, 480, 600, 600]);
});

test("a last try is made even if the circuit is open", async () => {
  const one = rig();
  await fail(one, 5);
  expect(await one.run(A, null, true)).toBeNull();
});

test.each([
  ["a refusal of one delivery", refusal],
  ["a request to wait", failure(429)],
  ["a success", null],
])("%s shows that it works: failures before it do not count", async (_, answer) => {
  const one = rig();
  await fail(one, 4);
  await one.run(A, answer);
  await fail(one, 4);
  await one.run(A, null);
  expect(one.tried()).toBe(10);
});

test("a worker that stops in the middle says nothing about the receiver", async () => {
  const one = rig();
  await fail(one, 5, new KamadoError("stopping", "the worker stops"));
  expect(await one.run(A, null)).toBeNull();
});

test("the number of remembered receivers is bounded", async () => {
  const { circuits } = rig();
  for (let i = 0; i < 1_200; i++)
    await errorOf(circuits.run({ callback: `https://${i}.example` }, () => Promise.reject(failure())));
  expect(circuits.size).toBeLessThanOrEqual(1_000);
});

const unreachable = new KamadoError("delivery_failed", "refused", { detail: { isUnreachable: true } });
const ofItem = (status: number) =>
  new KamadoError("delivery_failed", "no", { detail: { httpStatus: status, isOfItem: true } });

test.each([
  ["that answers with an error", failure(500)],
  ["that does not answer", failure()],
])("an address %s does not hold back the others of its origin", async (_, error) => {
  const one = rig();
  await fail(one, 5, error);
  expect((await one.run(A, null))?.detail?.heldBack).toBe(true);
  expect(await one.run(A_OTHER, null)).toBeNull();
});

test("a host to which no connection comes about is held back with all its addresses, until one answers", async () => {
  const one = rig();
  await fail(one, 5, unreachable);
  expect((await one.run(A_OTHER, null))?.detail?.heldBack).toBe(true);
  expect((await one.run(B, null))?.detail?.heldBack).toBeUndefined();
  await one.clock.advance(30_000);
  expect(await one.run(A_OTHER, null)).toBeNull();
  expect(await one.run(A, null)).toBeNull();
});

test("what a REST service answers for its items does not hold the service back", async () => {
  const one = rig();
  await fail(one, 9, ofItem(500));
  expect(await one.run(A, null)).toBeNull();
});

test("the log says which address is held back, without its secrets", async () => {
  const lines: string[] = [];
  const clock = new FakeClock();
  const circuits = new Circuits({
    clock,
    log: { ...silentLog, warn: (entry) => void lines.push(JSON.stringify(entry)) },
  });
  const to = { callback: "https://user:secret@a.example/orders/new?token=secret#secret" };
  for (let i = 0; i < 5; i++) await errorOf(circuits.run(to, () => Promise.reject(failure())));
  expect(lines).toEqual([expect.stringContaining('"to":"callback:https://a.example/orders/new"')]);
});
