// Two workers, one queue, one bucket, and their calls to the bucket and the receivers answered in any order: a job has
// one run and one result, and whoever else holds it answers with that.
import { expect, test } from "vitest";
import type { Bucket } from "../../worker/storage/bucket.ts";
import { FakeBucket } from "../fakes/bucket.ts";
import { FakeClock, settled } from "../fakes/clock.ts";
import { FakeQueue } from "../fakes/queue.ts";
import fc from "../properties.ts";
import { createRig, type Rig } from "../rig.ts";

const RUNS = Number(process.env.INTERLEAVINGS ?? 100);

/** The same bucket, each call of which begins and is answered when the scheduler says so. */
function scheduled(bucket: FakeBucket, scheduler: fc.Scheduler): FakeBucket {
  return new Proxy(bucket, {
    get(target, key) {
      const member = Reflect.get(target, key, target);
      if (typeof member !== "function" || key === "next") return member;
      return async (...given: unknown[]) => {
        await scheduler.schedule(Promise.resolve(), `${String(key)} begins`);
        const answer = await member.apply(target, given).then(
          (value: unknown) => ({ value }),
          (error: unknown) => ({ error }),
        );
        await scheduler.schedule(Promise.resolve(), `${String(key)} ends`);
        if ("error" in answer) throw answer.error;
        return answer.value;
      };
    },
  });
}

/** A few calls are answered, a little time passes, runs end, and again: so a call may take longer than a job. */
async function settle(
  scheduler: fc.Scheduler,
  clock: FakeClock,
  queue: FakeQueue,
  rigs: Rig[],
  onRound: (round: number) => void = () => {},
): Promise<void> {
  for (let round = 0; round < 3_000 && queue.messages.length > 0; round++) {
    for (let i = 0; i < 3 && scheduler.count() > 0; i++) {
      await scheduler.waitOne();
      await settled();
    }
    for (const run of rigs.flatMap(({ runs }) => runs)) run.finish();
    onRound(round);
    await clock.advance(150);
  }
}

test.each([
  ["a store that keeps conditions", false],
  // Best effort there: what it promises is that nothing is lost, not that nothing runs twice.
  ["a store that keeps none", true],
])(
  "a job runs once, in whatever order the calls are answered, with %s",
  async (_, ignoresConditions) => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.integer({ min: 1, max: 3 }), async (scheduler, copies) => {
        const clock = new FakeClock();
        const queue = new FakeQueue("jobs", { clock });
        const store = new FakeBucket({ clock });
        store.ignoresConditions = ignoresConditions;
        const bucket = scheduled(store, scheduler) satisfies Bucket;
        const shared = { clock, queue, bucket, dead: new FakeQueue("dead", { clock }) };
        const rigs = [1, 2].map(() => createRig({ shared, slots: 2, prefetch: 0, visibilitySeconds: 120 }));
        for (const name of ["a", "b"]) for (let copy = 0; copy < copies; copy++) await rigs[0]!.send(name);
        for (const { consumer } of rigs) consumer.start();
        await settle(scheduler, clock, queue, rigs);

        expect(queue.messages).toEqual([]);
        for (const name of ["a", "b"]) {
          const runs = rigs.flatMap((rig) => rig.runs).filter(({ input }) => input.name === name);
          if (!ignoresConditions) expect(runs).toHaveLength(1);
          expect(rigs[0]!.stored(name)?.status).toBe("succeeded");
          const told = rigs.flatMap((rig) => rig.deliveries).filter(({ job }) => job.id === name);
          expect(told).toHaveLength(copies);
          expect(new Set(told.map(({ result }) => JSON.stringify(result.output))).size).toBe(1);
        }
      }),
      { numRuns: RUNS, seed: 4, endOnFailure: true },
    );
  },
  120_000,
);

test("a job runs once although its visibility ends again and again and its message goes from worker to worker", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.uniqueArray(fc.nat({ max: 12 }), { minLength: 1, maxLength: 4 }),
      async (scheduler, losses) => {
        const clock = new FakeClock();
        const queue = new FakeQueue("jobs", { clock });
        const bucket = scheduled(new FakeBucket({ clock }), scheduler);
        const shared = { clock, queue, bucket, dead: new FakeQueue("dead", { clock }) };
        const rigs = [1, 2].map(() => createRig({ shared, slots: 2, prefetch: 0, visibilitySeconds: 120 }));
        const id = await rigs[0]!.send("a");
        for (const { consumer } of rigs) consumer.start();
        await settle(scheduler, clock, queue, rigs, (round) => losses.includes(round) && queue.takeAway(id));

        expect(queue.messages).toEqual([]);
        expect(rigs.flatMap((rig) => rig.runs)).toHaveLength(1);
        expect(rigs[0]!.stored("a")?.status).toBe("succeeded");
        expect(rigs.flatMap((rig) => rig.deliveries).length).toBeGreaterThan(0);
      },
    ),
    { numRuns: RUNS, seed: 5, endOnFailure: true },
  );
}, 120_000);
