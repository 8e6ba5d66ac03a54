// What is said and sent while a collector does not answer.
import { expect, test } from "vitest";
import { Availability } from "../../worker/telemetry/availability.ts";

test("that a collector is down is said once, as is that it answers again; in between nothing is kept, and it is tried now and then", () => {
  const said: string[] = [];
  let [now, isUp, sent] = [0, false, 0];
  const note = (_: unknown, message?: string) => void said.push(String(message));
  const collector = new Availability({
    what: "traces",
    at: "http://c:4318",
    log: { warn: note, info: note },
    now: () => now,
  });
  type Outcome = { code: number; error?: Error };
  const exporter = {
    export(_: string, done: (outcome: Outcome) => void) {
      sent += 1;
      done(isUp ? { code: 0 } : { code: 1, error: new Error("connect ECONNREFUSED\nx") });
    },
  };
  collector.watch(exporter);
  const send = () => {
    let outcome: Outcome | undefined;
    exporter.export("batch", (one) => (outcome = one));
    return outcome!.code;
  };
  expect([send(), send(), send(), sent]).toEqual([1, 1, 1, 1]);
  now += 30_000;
  expect([send(), sent, collector.isDown]).toEqual([1, 2, true]);
  expect(said).toEqual([
    expect.stringMatching(/^the collector at http:\/\/c:4318 .*ECONNREFUSED.* jobs go on$/),
  ]);
  [now, isUp] = [60_000, true];
  expect([send(), send(), sent, collector.isDown]).toEqual([0, 0, 4, false]);
  expect(said.slice(1)).toEqual(["the collector at http://c:4318 takes traces again"]);
});
