// `kamado worker` as a process that loses its queue, or that is stopped in the middle of a job and wakes up later.
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { expect, test } from "vitest";
import { readLock } from "../../worker/job-lock/lock.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";
import { setUpWorkers, type Worker } from "./workers.ts";

const setup = setUpWorkers();
const startWorker = (variables: Record<string, string>) => setup().start(variables);
const send = (id: string) => setup().send(id);
const statusOf = async (id: string) => (await setup().results.find(id))?.status;
const failedPolls = ({ log }: Worker) => log().match(/"stage":"pull".*"health":"network"/g)?.length ?? 0;

/** `npm run test:long` uses longer times. */
const OUTAGE_SECONDS = Number(process.env.KAMADO_TEST_OUTAGE_SECONDS ?? 2);
/** The worker is stopped for at least this time, and until another worker has the job. */
const STOP_SECONDS = Number(process.env.KAMADO_TEST_STOP_SECONDS ?? 0);
/** The visibility of the stopped worker. It must end while the worker is stopped. */
const VISIBILITY_SECONDS = Math.max(3, Math.floor(STOP_SECONDS / 4));
const LONG = { timeout: 60_000 + VISIBILITY_SECONDS * 2_000, interval: 100 };

test(
  "a queue that is out of reach is polled less and less often, and used again when it is back",
  async () => {
    await using proxy = await proxyTo(setup().aws.endpoint);
    const worker = startWorker({ AWS_ENDPOINT_URL: proxy.endpoint });
    await send("before");
    await expect.poll(() => statusOf("before"), LONG).toBe("succeeded");
    proxy.cut();
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
    proxy.reconnect();
    await send("after");
    await expect.poll(() => statusOf("after"), LONG).toBe("succeeded");
    expect(polls).toBeLessThan(30);
    expect(worker.log()).toContain("the queue answers again");
  },
  120_000 + OUTAGE_SECONDS * 1_000,
);

test(
  "a worker that was stopped while another took its job delivers nothing and deletes nothing when it wakes up",
  async () => {
    await using proxy = await proxyTo(setup().aws.endpoint);
    const common = {
      KAMADO_RETRY_SECONDS: "1",
      KAMADO_SLOTS: "1",
      KAMADO_PREFETCH: "0",
    };
    const stopped = startWorker({
      ...common,
      AWS_ENDPOINT_URL: proxy.endpoint,
      KAMADO_VISIBILITY_SECONDS: String(VISIBILITY_SECONDS),
      KAMADO_WORKER_NAME: "stopped",
      KAMADO_SCRIPT: '{"waitMs": 5000}',
    });
    await send("a");
    await expect.poll(() => stopped.log(), LONG).toContain('"stage":"received"');
    stopped.child.kill("SIGSTOP");
    const stop = new Promise((over) => setTimeout(over, STOP_SECONDS * 1_000));
    // Its engine is not stopped: the answer is there when the worker wakes. The other worker's answer is not there yet.
    const other = startWorker({
      ...common,
      KAMADO_VISIBILITY_SECONDS: "30",
      KAMADO_WORKER_NAME: "other",
      KAMADO_SCRIPT: JSON.stringify({ waitMs: 5_000 + STOP_SECONDS * 1_000 }),
    });
    // The other worker may find the lock of the stopped one first. It takes the job when that lock has expired.
    const bucket = s3Bucket(setup().clients.s3, setup().aws.resources.bucket);
    await expect.poll(async () => (await readLock(bucket, "a"))?.record.worker, LONG).toBe("other");
    await stop;
    stopped.child.kill("SIGCONT");
    await expect.poll(() => stopped.log(), LONG).toContain("lease lost");
    await expect.poll(() => other.log(), LONG).toContain('"outcome":"succeeded"');
    stopped.child.kill("SIGTERM");
    await stopped.exited;
    expect(stopped.log()).not.toMatch(/"stage":"(stored|delivered)"/);
    expect((await setup().results.find("a"))?.receipt.worker).toBe("other");
    expect(proxy.requests()).toContain("AmazonSQS.ReceiveMessage");
    const count = (pattern: RegExp) => [...proxy.requests().matchAll(pattern)].length;
    // The check at the start asks with a handle that no message has.
    expect(count(/AmazonSQS\.DeleteMessage/g)).toBe(count(/"ReceiptHandle":"kamado-probe"\}/g));
    expect(proxy.requests()).not.toContain("Action=Publish");
  },
  180_000 + STOP_SECONDS * 3_000,
);

type Proxy = AsyncDisposable & {
  endpoint: string;
  /** Closes every connection, open and new. */
  cut(): void;
  reconnect(): void;
  /** All bytes of all requests so far. */
  requests(): string;
};

/** Stands between a worker and its AWS, and can cut the connection. */
async function proxyTo(target: string): Promise<Proxy> {
  const { port } = new URL(target);
  const sockets = new Set<Socket>();
  let requests = "";
  let isCut = false;
  // It listens during an outage too, because another process could take its port.
  const server = createServer((near) => {
    near.on("error", () => {});
    if (isCut) return void near.resetAndDestroy();
    const far = connect(Number(port), "127.0.0.1");
    near.on("data", (bytes) => (requests += bytes.toString("latin1")));
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on("error", () => {}).on("close", () => sockets.delete(one));
      one.pipe(other);
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    reconnect: () => {
      isCut = false;
    },
    requests: () => requests,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      cut();
      await closed;
    },
  };
}
