// What is checked before the first job: that it is found, that what cannot be said holds nobody up, and what a worker does meanwhile.
import { expect, onTestFinished, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { type StartChecks, startCheck } from "../../worker/checks/start-checks.ts";
import { viewStatus } from "../../worker/cli/commands/status-view.ts";
import { createConsole } from "../../worker/console/console.ts";
import { createWebApp } from "../../worker/console/server.ts";
import { KamadoError } from "../../worker/errors.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { emptyConsole } from "../console/fake-services.ts";
import { blackHole, type Scripted, sqsServer } from "../fakes/aws-server.ts";
import { createRig, type RigOptions } from "../rig.ts";

const credentials = { accessKeyId: "a", secretAccessKey: "b" };

function checksAt({ endpoint }: Scripted, more: Partial<StartChecks> = {}): StartChecks {
  const clients = makeAwsClients({ endpoint, region: "eu-central-1", credentials });
  onTestFinished(() => clients.destroy());
  const queues = [`${endpoint}/123456789012/kamado-jobs`];
  return {
    sqs: clients.sqs,
    queues,
    region: "eu-central-1",
    clockSkew: undefined,
    folder: undefined,
    ...more,
  };
}

/** Answers as SQS does when all is allowed, but for what is `denied`. */
const sqs = (denied: readonly string[] = []) =>
  sqsServer((operation) => {
    const action = `sqs:${operation.replace("Batch", "").toLowerCase()}`;
    if (denied.includes(operation))
      return [
        403,
        {
          __type: "com.amazon.coral.service#AccessDeniedException",
          message: `User: arn:aws:iam::123456789012:user/kamado-worker is not authorized to perform: ${action} on resource: arn:aws:sqs:eu-central-1:123456789012:kamado-jobs because no identity-based policy allows the ${action} action`,
        },
      ];
    if (operation === "ReceiveMessage")
      return [
        400,
        { __type: "com.amazonaws.sqs#InvalidParameterValue", message: "Must be between 1 and 10" },
      ];
    return [
      200,
      { Successful: [], Failed: [{ Id: "probe", SenderFault: true, Code: "ReceiptHandleIsInvalid" }] },
    ];
  });

test("rights that a job would miss when it has run are named exactly", async () => {
  await using server = await sqs(["DeleteMessageBatch", "ChangeMessageVisibilityBatch"]);
  const arn = "arn:aws:sqs:eu-central-1:123456789012:kamado-jobs";
  expect(await startCheck(checksAt(server))).toMatchObject({
    code: "permission_missing",
    message: `AWS does not let the worker do sqs:DeleteMessage on ${arn}, sqs:ChangeMessageVisibility on ${arn}.`,
    hint: expect.stringContaining(`Grant sqs:DeleteMessage, sqs:ChangeMessageVisibility on ${arn}.`),
  });
});

test("a queue that may not be used at all may have a wrong name, which AWS does not say", async () => {
  const all = ["ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"];
  await using none = await sqs(all);
  expect((await startCheck(checksAt(none)))?.hint).toMatch(/ Check KAMADO_QUEUE_URL too: /);
  await using some = await sqs(all.slice(1));
  expect((await startCheck(checksAt(some)))?.hint).not.toContain("KAMADO_QUEUE_URL");
});

test("of several queues one that gives no jobs keeps nobody from the others, and one that would run them again and again does", async () => {
  const refused = (action: string) => [403, { __type: "x#AccessDenied", message: `no ${action}` }] as const;
  const fine = [400, { __type: "x#InvalidParameterValue", message: "no" }] as const;
  let denied = "closed ReceiveMessage";
  await using server = await sqsServer((operation, { QueueUrl }) => {
    const isClosed = String(QueueUrl).endsWith(denied.split(" ")[0]!);
    return [...(isClosed && denied.split(" ").includes(operation) ? refused(operation) : fine)];
  });
  const queues = ["open", "closed"].map((name) => `${server.endpoint}/123456789012/${name}`);
  expect(await startCheck(checksAt(server, { queues }))).toBeNull();
  denied = "closed DeleteMessageBatch";
  expect((await startCheck(checksAt(server, { queues })))?.message).toBe(
    "AWS does not let the worker do sqs:DeleteMessage on arn:aws:sqs:eu-central-1:123456789012:closed.",
  );
});

test("a server without limits that gives messages for the question gets them back at once", async () => {
  const asked: unknown[] = [];
  await using server = await sqsServer((operation, { ReceiptHandle, VisibilityTimeout, WaitTimeSeconds }) => {
    if (operation === "ReceiveMessage") {
      asked.push(["waits", WaitTimeSeconds]);
      return [
        200,
        {
          Messages: [
            { MessageId: "m", ReceiptHandle: "h", Body: "{}", MD5OfBody: "99914b932bd37a50b983c5e7c90ae93b" },
          ],
        },
      ];
    }
    if (operation === "ChangeMessageVisibility") asked.push([ReceiptHandle, VisibilityTimeout]);
    return [200, { Successful: [], Failed: [] }];
  });
  expect(await startCheck(checksAt(server))).toBeNull();
  expect(asked).toEqual([
    ["waits", 0],
    ["h", 0],
  ]);
});

test("nothing is wrong where nothing is wrong, and no call could take or send a message", async () => {
  const asked: unknown[] = [];
  await using server = await sqsServer((operation, input) => {
    asked.push([operation, input.MaxNumberOfMessages ?? null]);
    return [400, { __type: "com.amazonaws.sqs#InvalidParameterValue", message: "no" }];
  });
  expect(await startCheck(checksAt(server))).toBeNull();
  expect(asked.toSorted()).toEqual([
    ["ChangeMessageVisibilityBatch", null],
    ["DeleteMessageBatch", null],
    ["ReceiveMessage", 11],
  ]);
});

test.each([
  ["a missing queue, which the poll tells", 400, "com.amazonaws.sqs#QueueDoesNotExist"],
  [
    "a key that is refused, which the poll tells too",
    403,
    "com.amazon.coral.service#InvalidClientTokenIdException",
  ],
  ["a server that knows none of it", 501, "NotImplemented"],
])("%s holds nobody up here", async (_, status, type) => {
  await using server = await sqsServer(() => [status, { __type: type, message: "no" }]);
  expect(await startCheck(checksAt(server))).toBeNull();
});

test("a check that gets no answer is given up in time", async () => {
  await using server = await blackHole();
  const clockSkew = () => new Promise<null>(() => {});
  expect(await startCheck(checksAt(server, { timeoutMs: 50, clockSkew }))).toBeNull();
});

test.each([
  [6 * 60_000, "This machine's clock is 6 minutes ahead of AWS."],
  [-16 * 60_000, "This machine's clock is 16 minutes behind AWS."],
])("a clock that is off by %i ms is told", async (skew, message) => {
  await using server = await sqs();
  expect(await startCheck(checksAt(server, { clockSkew: async () => skew }))).toMatchObject({
    code: "clock_wrong",
    message,
  });
});

test("a clock that is a little off, or of which nobody knows, holds nobody up", async () => {
  await using server = await sqs();
  for (const clockSkew of [
    async () => 200_000,
    async () => null,
    () => Promise.reject(new Error("no network")),
  ])
    expect(await startCheck(checksAt(server, { clockSkew }))).toBeNull();
});

test("a full disk under the queue is told, and one without a number is not", async () => {
  await using server = await sqs();
  const on = (bavail: number) => ({ folder: "/data", statfs: () => ({ bavail, bsize: 4_096 }) });
  expect(await startCheck(checksAt(server, on(2)))).toMatchObject({
    code: "disk_full",
    message: "The disk of /data has 8 KiB left.",
  });
  expect(await startCheck(checksAt(server, on(1e6)))).toBeNull();
  const statfs = () => {
    throw new Error("ENOENT");
  };
  expect(await startCheck(checksAt(server, { folder: "/data", statfs }))).toBeNull();
  // As a tmpfs with size=0 answers, which has no limit.
  const endless = () => ({ blocks: 0, bavail: 0, bsize: 4_096 });
  expect(await startCheck(checksAt(server, { folder: "/data", statfs: endless }))).toBeNull();
});

function failing(options: RigOptions = {}) {
  const said: string[] = [];
  const say = (_: object, text = "") => void said.push(text);
  const log = { ...silentLog, warn: say, info: say } as unknown as typeof silentLog;
  const check = {
    error: new KamadoError("permission_missing", "No <right>.") as KamadoError | null,
    asked: 0,
  };
  const rig = createRig({
    ...options,
    log,
    startCheck: async () => {
      check.asked += 1;
      return check.error;
    },
  });
  return { rig, check, said };
}

test("while it fails, nothing is pulled and the reason is in the state, in /health, on the page, in `kamado status` and in the log; then work begins", async () => {
  const { rig, check, said } = failing();
  await rig.send("a");
  rig.consumer.start();
  await rig.clock.advance(120_000);
  expect([rig.queue.calls.receive, rig.runs]).toEqual([0, []]);
  // Less and less often.
  expect(check.asked).toBeGreaterThan(4);
  expect(check.asked).toBeLessThan(25);
  const state = rig.worker.state();
  const error = {
    code: "permission_missing",
    message: "No <right>.",
    hint: expect.stringContaining("Grant"),
  };
  expect(state).toMatchObject({ status: "UNHEALTHY", startCheck: { passed: false, error } });
  const mounts = [{ path: "/", app: createConsole({ ...emptyConsole(), state: () => state }) }];
  const app = createWebApp({ state: () => state, token: undefined, mounts });
  const ask = (path: string) => app.request(path, { headers: { host: "localhost" } });
  const health = await ask("/health");
  expect([health.status, await health.json()]).toEqual([
    503,
    expect.objectContaining({ status: "UNHEALTHY", startCheck: false, startCheckError: error }),
  ]);
  expect(await (await ask("/")).text()).toMatch(/permission_missing<\/code> No &lt;right&gt;/);
  const service = {
    pid: 1,
    startedAt: new Date().toISOString(),
    web: "w",
    state,
    isSilent: false,
    engine: null,
  };
  const queues = { jobs: [], outbox: null, deadJobs: 0, deadDeliveries: 0 };
  expect(viewStatus({ service, running: [], queues })).toMatch(/start check +permission_missing: No <right>/);
  expect(said).toEqual([
    expect.stringMatching(/^waiting for the start check; jobs stay in the queue: No .* Grant/),
  ]);

  check.error = null;
  await rig.clock.advance(61_000);
  await rig.complete("a");
  expect(rig.endOf("a")).toMatchObject({ outcome: "succeeded" });
  expect(rig.worker.state()).toMatchObject({ status: "READY", startCheck: { passed: true } });
  expect(said.slice(1)).toContain("the start check passes");
});

test("it runs once for a worker that is well, and again before the next job when a queue that did not answer is back", async () => {
  const { rig, check } = failing();
  check.error = null;
  rig.consumer.start();
  await rig.clock.advance(60_000);
  expect(check.asked).toBe(1);
  // Too many calls are no reason for more of them.
  rig.queue.next("receive", { is: "fail", health: "throttled" });
  await rig.clock.advance(60_000);
  expect([check.asked, rig.worker.state().status]).toEqual([1, "READY"]);
  rig.queue.missing = true;
  await rig.clock.advance(60_000);
  expect([check.asked, rig.worker.state().status]).toEqual([1, "UNHEALTHY"]);
  check.error = new KamadoError("clock_wrong", "The clock.");
  rig.queue.missing = false;
  await rig.send("a");
  await rig.clock.advance(60_000);
  expect([check.asked > 1, rig.runs]).toEqual([true, []]);
  check.error = null;
  await rig.clock.advance(61_000);
  await rig.complete("a");
  expect(rig.endOf("a")).toMatchObject({ outcome: "succeeded" });
});
