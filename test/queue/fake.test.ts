// The fake queue keeps the same promises as the real ones, on a clock that does not wait.

import { type QueueHarness, queueCases } from "../conformance/queue.cases.ts";
import { runSuite } from "../conformance/suite.ts";
import { FakeClock } from "../fakes/clock.ts";
import { FakeQueue } from "../fakes/queue.ts";

function fakeHarness(): QueueHarness {
  const clock = new FakeClock();
  return {
    async create({ fifo = false, maxReceiveCount = 1_000 } = {}) {
      const dead = new FakeQueue("fake:dead", { clock, fifo });
      return {
        queue: new FakeQueue("fake:jobs", { clock, fifo, dead: { queue: dead, maxReceiveCount } }),
        dead,
      };
    },
    missing: () => Object.assign(new FakeQueue("fake:missing", { clock }), { missing: true }),
    askRights: async () => [],
    async during(work, seconds) {
      await clock.advance(seconds * 1_000);
      return work;
    },
  };
}

runSuite("the fake queue", queueCases, fakeHarness, {
  "asking for rights takes, hides and sends no message, even where a single receive would be one too many":
    "it knows no rights",
});
