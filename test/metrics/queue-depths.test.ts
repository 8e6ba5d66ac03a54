// How often queues are asked for their depth, and what a queue that does not say it costs.
import { expect, test } from "vitest";
import { createQueueDepths } from "../../worker/metrics/queue-depths.ts";
import { FakeClock, settled } from "../fakes/clock.ts";

const DEPTH = { waiting: 3, inFlight: 2, delayed: 1 };

function asking(depthOf: (url: string) => Promise<typeof DEPTH>) {
  const clock = new FakeClock();
  const asked: string[] = [];
  const depths = createQueueDepths({
    urls: ["http://q/0/jobs", "http://q/0/dead"],
    depthOf: (url) => {
      asked.push(url.split("/").at(-1)!);
      return depthOf(url);
    },
    everyMs: 60_000,
    clock,
  });
  return { clock, asked, depths };
}

test("each queue is asked at most once in so long, however often somebody looks", async () => {
  const { clock, asked, depths } = asking(async () => DEPTH);
  const [one, other] = await Promise.all([depths(), depths()]);
  expect(one).toEqual([
    { queue: "jobs", ...DEPTH },
    { queue: "dead", ...DEPTH },
  ]);
  expect(other).toEqual(one);
  await clock.advance(59_999);
  expect(await depths()).toEqual(one);
  expect(asked).toEqual(["jobs", "dead"]);
  await clock.advance(1);
  await depths();
  expect(asked).toEqual(["jobs", "dead", "jobs", "dead"]);
});

test("a queue that the worker may not ask is left out, and asked again after ten minutes only", async () => {
  const { clock, asked, depths } = asking(async (url) => {
    if (url.endsWith("dead")) throw new Error("AccessDenied");
    return DEPTH;
  });
  expect(await depths()).toEqual([{ queue: "jobs", ...DEPTH }]);
  await clock.advance(300_000);
  await depths();
  expect(asked).toEqual(["jobs", "dead", "jobs"]);
  await clock.advance(300_000);
  await depths();
  expect(asked).toEqual(["jobs", "dead", "jobs", "jobs", "dead"]);
});

test("whoever looks waits a second at most, and sees the figures the next time", async () => {
  const slow = Promise.withResolvers<typeof DEPTH>();
  const { clock, depths } = asking(() => slow.promise);
  const first = depths();
  await clock.advance(1_000);
  expect(await first).toEqual([]);
  slow.resolve(DEPTH);
  await settled();
  expect(await depths()).toHaveLength(2);
});
