// What cannot be processed reaches the dead-letter queue, with as much of its reason as there is room for.
import { expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { createDeadLetters } from "../../worker/queue/dead-letter.ts";
import { FakeClock } from "../fakes/clock.ts";
import { FakeQueue } from "../fakes/queue.ts";
import { createRig } from "../rig.ts";

test("what came from outside is in attributes that a queue takes and a terminal can show", async () => {
  const queue = new FakeQueue("dead", { clock: new FakeClock() });
  const letters = createDeadLetters({ queue, worker: "w", clock: new FakeClock(), log: silentLog });
  const hostile = `\u0000\u001b[2J\u009b\u202e\ud800\uffff${"x".repeat(900_000)}`;
  const cause = new Error(hostile);
  await letters.send(
    {
      body: "b",
      group: null,
      attributes: { kind: hostile, to: "", list: [hostile] },
      history: [hostile],
      about: {},
    },
    new KamadoError("invalid_input", hostile, { cause }),
  );
  const { attributes } = queue.messages[0]!;
  for (const [name, value] of Object.entries(attributes)) {
    expect(value, name).toMatch(/^[\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]{1,4096}$/u);
    expect(value, name).not.toMatch(/\p{C}/u);
  }
  expect(attributes["kamado-reason"]).toContain("\\u001b[2J");
});

test("a body that leaves no room for its reason is dead-lettered all the same", async () => {
  const rig = createRig();
  await rig.queue.send(`{"kind": "${"x".repeat(1_048_400)}`);
  rig.consumer.start();
  await rig.clock.advance(1_000);
  expect(rig.queue.messages).toEqual([]);
  expect(rig.dead.messages[0]!.attributes).toEqual({
    "kamado-code": "malformed_json",
    "kamado-message": "m1",
    "kamado-queue": "jobs",
  });
});
