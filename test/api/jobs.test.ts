// What the service behind the API knows of jobs that other workers have.
import { expect, onTestFinished, test } from "vitest";
import { rememberProgress } from "../../worker/api/job-progress.ts";
import { createJobsService } from "../../worker/api/jobs.ts";
import { openHistory } from "../../worker/history/history.ts";
import { jobHash } from "../../worker/job/job-hash.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { createRig } from "../rig.ts";

function twoWorkers() {
  const rig = createRig();
  const history = openHistory({ folder: "", worker: "w", days: 0, megabytes: 10, log: silentLog });
  onTestFinished(() => history.close());
  const jobs = createJobsService({
    history,
    bucket: rig.bucket,
    clock: { ...rig.clock, wall: () => Date.now() + 120_000, now: () => 0, sleep: async () => {} },
    jobEvents: rig.jobEvents,
    progress: rememberProgress(rig.jobEvents),
    depth: async () => ({ waiting: 1, inFlight: 0, delayed: 0 }),
    load: () => ({ slots: 2, running: 0, waiting: 0 }),
  } as never);
  const job = { id: "a", kind: "work", input: { name: "a" }, deliver: [], policy: {} };
  history.sent(job, { jobHash: jobHash(job) });
  const store = (hash: string) =>
    rig.bucket.put(
      "results/a.json",
      JSON.stringify({
        id: "a",
        kind: "work",
        status: "succeeded",
        output: 1,
        receipt: { attempts: 1 },
        jobHash: hash,
      }),
      { contentType: "application/json" },
    );
  const states = async () => (await jobs.list({}, { limit: 10 })).items.map(({ state }) => state);
  return { jobs, store, states, hash: jobHash(job) };
}

test("a job that was sent here and ran in another worker ends in the list too", async () => {
  const { store, states, hash } = twoWorkers();
  await store(hash);
  expect(await states()).toEqual(["queued"]);
  await expect.poll(states).toEqual(["succeeded"]);
});

test("the result of another job under the same id is not taken for this one's", async () => {
  const { jobs, store } = twoWorkers();
  await store("another");
  expect((await jobs.get("a")).state).toBe("queued");
});
