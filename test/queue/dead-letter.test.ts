// What cannot be processed reaches the dead-letter queue, with as much of its reason as there is room for.
import { expect, test } from "vitest";
import { createRig } from "../rig.ts";

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
