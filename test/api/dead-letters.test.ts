import { expect, test } from "vitest";
import { createDeadLettersService } from "../../worker/api/dead-letters.ts";
import { KamadoError } from "../../worker/errors.ts";

test("dead letters are counted without reading them, and a queue that does not say is left out", async () => {
  let looks = 0;
  const service = createDeadLettersService({
    open: () => expect.fail("nothing is read"),
    history: { redriven: () => {} },
    clock: { now: () => 0 },
    depths: () => {
      looks++;
      const refused = Promise.reject(new KamadoError("queue_unavailable", "no right"));
      return [Promise.resolve({ waiting: 3, inFlight: 1, delayed: 0 }), refused];
    },
  });
  expect(await Promise.all([service.count(), service.count()])).toEqual([4, 4]);
  expect(looks).toBe(1);
});
