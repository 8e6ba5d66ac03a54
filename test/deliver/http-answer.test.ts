import { expect, test } from "vitest";
import { systemClock } from "../../worker/async/clock.ts";
import { Circuits } from "../../worker/deliver/circuit.ts";
import { judgeCallback, judgeRest, sendDelivery } from "../../worker/deliver/http-answer.ts";
import { KamadoError } from "../../worker/errors.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { createOutbound, type Send } from "../../worker/outbound/outbound.ts";
import { known } from "../fakes/known.ts";
import { startReceiver } from "../fakes/receiver.ts";
import { errorOf } from "./deliveries.ts";

// status, callback, REST
test.each([
  [200, "taken", "taken"],
  [204, "taken", "taken"],
  [299, "taken", "taken"],
  [301, "again", "never"],
  [307, "again", "never"],
  [400, "never", "never"],
  [401, "never", "never"],
  [404, "never", "never"],
  [408, "again", "again"],
  [409, "never", "again"],
  [410, "never", "never"],
  [422, "never", "never"],
  [425, "again", "again"],
  [429, "again", "again"],
  [500, "again", "again"],
  [501, "again", "again"],
  [503, "again", "again"],
])("%i means for a callback %s, for a REST call %s", (status, callback, rest) => {
  expect([judgeCallback(status), judgeRest(status)]).toEqual([callback, rest]);
});

test("a first try, for which a job's message waits, gets half the time of a later one", async () => {
  const limits: (number | undefined)[] = [];
  const outbound = {
    ...createOutbound(),
    send: async ({ url, timeoutMs }: Send) => {
      limits.push(timeoutMs);
      return { url, status: 200, headers: {}, bytes: new Uint8Array() };
    },
  };
  const request = { method: "POST", url: "https://a.example/" } as const;
  await sendDelivery(outbound, { ...request, isFirstTry: true }, judgeCallback, 0);
  await sendDelivery(outbound, request, judgeCallback, 0);
  expect(limits).toEqual([10_000, 20_000]);
});

test("a lost lease during a delivery says nothing about the receiver", async () => {
  const arrived = Promise.withResolvers<void>();
  await using receiver = await startReceiver(() => arrived.resolve());
  const outbound = createOutbound({ destinations: [known(receiver.url)] });
  const lost = new AbortController();
  const request = {
    method: "POST",
    url: receiver.url,
    headers: {},
    body: "{}",
    signal: lost.signal,
  } as const;
  const circuits = new Circuits({ clock: systemClock, log: silentLog });
  const send = () => sendDelivery(outbound, request, judgeCallback, Date.now());
  const error = errorOf(circuits.run({ callback: receiver.url }, send));
  await arrived.promise;
  lost.abort(new KamadoError("lease_lost", "Another worker may hold it."));
  expect((await error).code).toBe("lease_lost");
  expect(circuits.size).toBe(0);
  await outbound.close();
});
