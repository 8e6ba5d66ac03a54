// `kamado worker` as a process whose queue goes away, or that is itself stopped in the middle of a job and wakes later.
import { expect, test } from "vitest";
import { readLock } from "../../worker/job-lock/lock.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";
import { wayTo } from "./outage-proxy.ts";
import { type Worker, workersYard } from "./workers.ts";

const yard = workersYard();
const startWorker = (variables: Record<string, string>) => yard().start(variables);
const send = (id: string) => yard().send(id);
const statusOf = async (id: string) => (await yard().results.find(id))?.status;
const failedPolls = ({ log }: Worker) => log().match(/"stage":"pull".*"health":"network"/g)?.length ?? 0;

/** As short as shows it; `npm run test:long` takes its time. */
const OUTAGE_SECONDS = Number(process.env.KAMADO_TEST_OUTAGE_SECONDS ?? 2);
/** At least so long, and until another has the job. */
const STOP_SECONDS = Number(process.env.KAMADO_TEST_STOP_SECONDS ?? 0);
/** The stopped one's, which is to run out meanwhile. */
const VISIBILITY_SECONDS = Math.max(3, Math.floor(STOP_SECONDS / 4));
const LONG = { timeout: 60_000 + VISIBILITY_SECONDS * 2_000, interval: 100 };

test(
  "a queue that cannot be reached for a while is polled less and less often, and used again when it is back",
  async () => {
    await using way = await wayTo(yard().aws.endpoint);
    const worker = startWorker({ AWS_ENDPOINT_URL: way.endpoint });
    await send("before");
    await expect.poll(() => statusOf("before"), LONG).toBe("succeeded");
    way.cut();
    await expect.poll(() => failedPolls(worker), LONG).toBeGreaterThan(1);
    const web = /"web":"(http:[^"]+)"/.exec(worker.log())?.[1];
    const health = await (await fetch(`${web}/health`)).json();
    expect(health).toMatchObject({
      status: "UNHEALTHY",
      queue: "network",
      hint: expect.stringMatching(/network/),
    });
    await new Promise((over) => setTimeout(over, OUTAGE_SECONDS * 1_000));
    const polls = failedPolls(worker);
    way.mend();
    await send("after");
    await expect.poll(() => statusOf("after"), LONG).toBe("succeeded");
    expect(polls).toBeLessThan(30);
    expect(worker.log()).toContain("the queue answers again");
  },
  120_000 + OUTAGE_SECONDS * 1_000,
);

test(
  "a worker that was stopped while another took its job neither delivers nor deletes anything when it continues",
  async () => {
    await using way = await wayTo(yard().aws.endpoint);
    const both = {
      KAMADO_RETRY_SECONDS: "1",
      KAMADO_SLOTS: "1",
      KAMADO_PREFETCH: "0",
    };
    const stopped = startWorker({
      ...both,
      AWS_ENDPOINT_URL: way.endpoint,
      KAMADO_VISIBILITY_SECONDS: String(VISIBILITY_SECONDS),
      KAMADO_WORKER_NAME: "stopped",
      KAMADO_SCRIPT: '{"waitMs": 5000}',
    });
    await send("a");
    await expect.poll(() => stopped.log(), LONG).toContain('"stage":"received"');
    stopped.child.kill("SIGSTOP");
    const stop = new Promise((over) => setTimeout(over, STOP_SECONDS * 1_000));
    // Its engine goes on: when it wakes, the answer is there. The other's is not yet.
    const other = startWorker({
      ...both,
      KAMADO_VISIBILITY_SECONDS: "30",
      KAMADO_WORKER_NAME: "other",
      KAMADO_SCRIPT: JSON.stringify({ waitMs: 5_000 + STOP_SECONDS * 1_000 }),
    });
    // It may meet the stopped one's lock first, and takes the job when that has run out.
    const bucket = s3Bucket(yard().clients.s3, yard().aws.resources.bucket);
    await expect.poll(async () => (await readLock(bucket, "a"))?.record.worker, LONG).toBe("other");
    await stop;
    stopped.child.kill("SIGCONT");
    await expect.poll(() => stopped.log(), LONG).toContain("lease lost");
    await expect.poll(() => other.log(), LONG).toContain('"outcome":"succeeded"');
    stopped.child.kill("SIGTERM");
    await stopped.exited;
    expect(stopped.log()).not.toMatch(/"stage":"(stored|delivered)"/);
    expect((await yard().results.find("a"))?.receipt.worker).toBe("other");
    expect(way.asked()).toContain("AmazonSQS.ReceiveMessage");
    expect(way.asked()).not.toMatch(/AmazonSQS.DeleteMessage|Action=Publish/);
  },
  180_000 + STOP_SECONDS * 3_000,
);
