// Who may do what: the policies of infra/template.yaml, deployed where IAM is enforced. Each statement is taken away once, and what Kamado
// itself then cannot do is shown; and who may not do what. The whole way of jobs under these policies is in demo.test.ts.
import { randomUUID } from "node:crypto";
import { CreateBucketCommand } from "@aws-sdk/client-s3";
import { CreateTopicCommand } from "@aws-sdk/client-sns";
import { CreateQueueCommand } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../worker/async/clock.ts";
import { type AwsClients, type AwsConfig, makeAwsClients } from "../../worker/aws/clients.ts";
import { namesOf } from "../../worker/aws/errors.ts";
import type { Cloud } from "../../worker/aws/resources.ts";
import { startCheck } from "../../worker/checks/start-checks.ts";
import { type Config, loadConfig } from "../../worker/config/config.ts";
import { sqsDeadLetterQueue } from "../../worker/dead-letters/dead-letter-queue.ts";
import { snsTopic } from "../../worker/deliver/sns.ts";
import { cloudFindings } from "../../worker/doctor/cloud.ts";
import { cancelJob } from "../../worker/job-lock/cancellations.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { depthOf, purgeQueue } from "../../worker/queue/whole-queue.ts";
import { createCheckpoints } from "../../worker/storage/checkpoints.ts";
import { probeBucket } from "../../worker/storage/health.ts";
import { createResults } from "../../worker/storage/results.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";
import {
  DEPLOY_MS,
  type Deployed,
  deploy,
  ENQUEUER,
  OPERATOR,
  type Statement,
  whyNotDeployed,
} from "./deployed.ts";
import { post } from "./signed-post.ts";

const TEXT = { contentType: "text/plain" };
const HERE = { maxBytes: 1_000 };
const TAKE = { max: 1, waitSeconds: 0, visibilitySeconds: 30 };

/** Kamado's own parts, as somebody. */
function partsOf(config: AwsConfig, { outputs }: Deployed) {
  const clients = makeAwsClients(config);
  opened.push(clients);
  const bucket = s3Bucket(clients.s3, outputs.BucketName!);
  const queue = (name: string) => sqsQueue(clients.sqs, outputs[`${name}QueueUrl`]!);
  return {
    config,
    clients,
    outputs,
    bucket,
    results: createResults(bucket),
    topic: snsTopic(clients.sns),
    jobs: queue("Jobs"),
    deliveries: queue("Deliveries"),
    jobsDead: queue("JobsDead"),
    deliveriesDead: queue("DeliveriesDead"),
    deadLetters: sqsDeadLetterQueue(clients.sqs, outputs.JobsDeadQueueUrl!),
  };
}
type As = ReturnType<typeof partsOf>;
type Act = (as: As) => Promise<unknown>;

const opened: AwsClients[] = [];
let deployed: Deployed;
const skipped = whyNotDeployed();

const thrown = async (check: Promise<Error | null>) => {
  const error = await check;
  if (error) throw error;
};

/** What fails without each statement. */
const NEEDED = {
  WorkerPolicyArn: {
    TakeJobs: ({ jobs }) => jobs.receive(TAKE),
    SplitJobs: ({ jobs }) => jobs.sendAll([{ body: "{}" }]),
    RepeatDeliveries: ({ deliveries }) => deliveries.receive(TAKE),
    GiveUp: ({ jobsDead }) => jobsDead.send("{}"),
    CountDeadLetters: ({ clients, outputs }) => depthOf(clients.sqs, outputs.JobsDeadQueueUrl!),
    ListObjects: ({ bucket }) => thrown(probeBucket(bucket)),
    ReadInputs: ({ bucket }) => bucket.get("in/photo.jpg", HERE),
    ReadState: ({ results }) => results.find("none"),
    WriteState: ({ bucket }) => thrown(probeBucket(bucket)),
    RemoveState: ({ bucket }) => bucket.remove(["running/a.json", "checkpoints/a/b.json", "outbox/a.json"]),
    SendOwnJobs: ({ bucket, results }) => cancelJob("none", { bucket, results, clock: systemClock }),
    PublishResults: ({ topic, outputs }) => topic.publish(outputs.TopicArn!, "{}", {}),
    ReadOtherBuckets: ({ clients }) => s3Bucket(clients.s3, "photos").get("in/photo.jpg", HERE),
    PublishToOtherTopics: ({ topic, outputs }) =>
      topic.publish(outputs.TopicArn!.replace("kamado-results", "doors"), "{}", {}),
    SendToResultQueues: ({ clients, outputs }) =>
      sqsQueue(clients.sqs, outputs.JobsQueueUrl!.replace("kamado-jobs", "answers")).send("{}"),
  },
  EnqueuerPolicyArn: {
    SendJobs: ({ jobs }) => jobs.send("{}"),
    UploadInputs: ({ bucket }) => bucket.put("in/photo.jpg", "x", TEXT),
    ReadResults: ({ bucket }) => bucket.get("results/there.json", HERE),
    // AWS answers 403 to who asks for a missing object without this right, the emulator always 404: so the right itself is used.
    SeeMissingResults: ({ bucket }) => bucket.list("results/"),
    CancelJobs: ({ bucket, results }) => cancelJob("none", { bucket, results, clock: systemClock }),
    PostJobs: async ({ config, outputs }) => {
      const { status, text } = await post(config, outputs.JobsApiUrl!, "{}");
      if (status !== 202) throw status === 403 ? refusal() : new Error(`${status}: ${text}`);
    },
  },
  OperatorPolicyArn: {
    CountMessages: ({ clients, outputs }) => depthOf(clients.sqs, outputs.JobsQueueUrl!),
    PurgeJobs: ({ clients, outputs }) => purgeQueue(clients.sqs, outputs.JobsQueueUrl!),
    TakeDeadLetters: ({ deadLetters }) => deadLetters.receiveDead({ visibilitySeconds: 30 }),
    SendBack: ({ jobs }) => jobs.send("{}"),
    ListObjects: ({ bucket }) => bucket.list("results/"),
    ReadState: ({ results }) => results.find("none"),
    WriteState: ({ bucket, results }) => cancelJob("none", { bucket, results, clock: systemClock }),
    RemoveState: ({ bucket }) => bucket.remove(["results/none.json"]),
  },
} satisfies Record<string, Record<string, Act>>;
type PolicyName = keyof typeof NEEDED;

const refusal = () => Object.assign(new Error("refused"), { name: "AccessDenied" });
const isRefused = (error: unknown) =>
  namesOf(error).some((name) => /AccessDenied|AuthorizationError|Forbidden/.test(name));
const outcomeOf = (act: Promise<unknown>) =>
  act.then(
    () => "done",
    (error) => (isRefused(error) ? "refused" : `failed: ${error.message} (${namesOf(error)})`),
  );

beforeAll(async () => {
  if (skipped !== null) return;
  deployed = await deploy({
    UploadPrefix: "in/uploads/",
    UploadSuffix: ".jpg",
    MoreInputObjectArns: "arn:aws:s3:::photos/in/*",
    MoreTopicArns: "arn:aws:sns:us-east-1:000000000000:doors",
    MoreResultQueueArns: "arn:aws:sqs:us-east-1:000000000000:answers",
  });
  const { clients, bucket } = partsOf(deployed.admin, deployed);
  await bucket.put("results/there.json", "{}", TEXT);
  await bucket.put("in/photo.jpg", "x", TEXT);
  await makeOthers(clients);
}, DEPLOY_MS);
afterAll(async () => {
  for (const one of opened) one.destroy();
  await deployed?.stop();
});

/** What the stack does not own, and some of which a parameter names. */
async function makeOthers({ sqs, s3, sns }: AwsClients): Promise<void> {
  for (const QueueName of ["answers", "strangers"]) await sqs.send(new CreateQueueCommand({ QueueName }));
  for (const Name of ["doors", "strangers"]) await sns.send(new CreateTopicCommand({ Name }));
  await s3.send(new CreateBucketCommand({ Bucket: "photos" }));
  await s3Bucket(s3, "photos").put("in/photo.jpg", "x", TEXT);
}

describe("each statement is needed", () => {
  for (const [policy, needed] of Object.entries(NEEDED) as [PolicyName, Record<string, Act>][])
    test(policy, async (context) => {
      if (skipped !== null) return context.skip(skipped);
      const all = await deployed.statementsOf(deployed.outputs[policy]!);
      expect(all.map(({ Sid }) => Sid)).toEqual(Object.keys(needed));
      const whole = partsOf(await deployed.userWith(all), deployed);
      const shown: Record<string, string[]> = {};
      for (const [sid, act] of Object.entries(needed)) {
        const rest = all.filter(({ Sid }) => Sid !== sid);
        const without = partsOf(await deployed.userWith(rest), deployed);
        shown[sid] = [await outcomeOf(act(whole)), await outcomeOf(act(without))];
      }
      expect(shown).toEqual(Object.fromEntries(Object.keys(needed).map((sid) => [sid, ["done", "refused"]])));
    }, 120_000);

  test("each action on each resource is asked for by a part of Kamado", async (context) => {
    if (skipped !== null) return context.skip(skipped);
    for (const policy of Object.keys(NEEDED) as PolicyName[])
      for (const statement of await deployed.statementsOf(deployed.outputs[policy]!))
        for (const [action, resource] of pairsOf(statement)) {
          // One action on one resource, and nothing else: a wrong action or a misspelled resource would be refused.
          const one = await deployed.userWith([{ ...statement, Action: action, Resource: resource }]);
          const act = await outcomeOf(BY_ACTION[action.replace("*", "")]!(partsOf(one, deployed), resource));
          expect([policy, statement.Sid, action, resource, act].join(" ")).toMatch(/ done$/);
        }
  }, 120_000);
});

const many = (value: string | string[]) => [value].flat();
const pairsOf = ({ Action, Resource }: Statement) =>
  many(Action).flatMap((action) => many(Resource).map((resource) => [action, resource] as const));

const queueAt = ({ clients, outputs }: As, arn: string) =>
  sqsQueue(clients.sqs, outputs.JobsQueueUrl!.replace("kamado-jobs", arn.split(":").at(-1)!));
/** A handle that the queue gave to somebody else. */
async function handleOf(arn: string): Promise<string> {
  const admin = queueAt(partsOf(deployed.admin, deployed), arn);
  await admin.send("{}");
  const [message] = await admin.receive({ ...TAKE, waitSeconds: 1 });
  return message!.handle;
}
const objectAt = ({ clients }: As, arn: string) => {
  const [, name, key] = /:::([^/]+)\/(.*)$/.exec(arn)!;
  return { bucket: s3Bucket(clients.s3, name!), key: key!.replace("*", randomUUID()) };
};
const entry = async (results: Promise<string[]>) => {
  if ((await results)[0] !== "ok") throw refusal();
};

const BY_ACTION: Record<string, (as: As, arn: string) => Promise<unknown>> = {
  "sqs:SendMessage": (as, arn) => queueAt(as, arn).send("{}"),
  "sqs:ReceiveMessage": (as, arn) => queueAt(as, arn).receive(TAKE),
  "sqs:DeleteMessage": async (as, arn) => entry(queueAt(as, arn).remove([await handleOf(arn)])),
  "sqs:ChangeMessageVisibility": async (as, arn) =>
    entry(queueAt(as, arn).extend([{ handle: await handleOf(arn), seconds: 0 }])),
  "sqs:GetQueueAttributes": (as, arn) => depthOf(as.clients.sqs, queueAt(as, arn).url),
  "sqs:PurgeQueue": (as, arn) => purgeQueue(as.clients.sqs, queueAt(as, arn).url),
  "sns:Publish": (as, arn) => as.topic.publish(arn, "{}", {}),
  "s3:ListBucket": (as) => as.bucket.list("results/"),
  async "s3:GetObject"(as, arn) {
    const { bucket, key } = objectAt(as, arn);
    await objectAt(partsOf(deployed.admin, deployed), arn).bucket.put(key, "x", TEXT);
    await bucket.get(key, HERE);
  },
  async "s3:PutObject"(as, arn) {
    const { bucket, key } = objectAt(as, arn);
    await bucket.put(key, "x", TEXT);
  },
  async "s3:DeleteObject"(as, arn) {
    const { bucket, key } = objectAt(as, arn);
    await bucket.remove([key, `${key}-other`]);
  },
  "execute-api:Invoke": NEEDED.EnqueuerPolicyArn.PostJobs,
};

const strangers = ({ clients, outputs }: As) =>
  sqsQueue(clients.sqs, outputs.JobsQueueUrl!.replace("kamado-jobs", "strangers"));

/** Who may not do what. */
const FORBIDDEN: Record<"worker" | "enqueuer" | "operator", Record<string, Act>> = {
  worker: {
    "delete an input": ({ bucket }) => bucket.remove(["in/photo.jpg"]),
    "delete a result": ({ bucket }) => bucket.remove(["results/there.json"]),
    "delete results together": ({ bucket }) => bucket.remove(["results/there.json", "results/b.json"]),
    "delete a delivery log": ({ bucket }) => bucket.remove(["deliveries/a.json"]),
    "read or write other objects of the bucket": ({ bucket }) => bucket.get("private/diary.txt", HERE),
    "write outside its folders": ({ bucket }) => bucket.put("private/diary.txt", "x", TEXT),
    "read dead letters": ({ jobsDead }) => jobsDead.receive(TAKE),
    "purge the queue": ({ clients, outputs }) => purgeQueue(clients.sqs, outputs.JobsQueueUrl!),
    "send to another queue": (as) => strangers(as).send("{}"),
    "receive from another queue": (as) => strangers(as).receive(TAKE),
    "publish to another topic": ({ topic, outputs }) =>
      topic.publish(outputs.TopicArn!.replace("kamado-results", "strangers"), "{}", {}),
    "create a queue": ({ clients }) => clients.sqs.send(new CreateQueueCommand({ QueueName: "mine" })),
    "use the API": NEEDED.EnqueuerPolicyArn.PostJobs,
  },
  enqueuer: {
    "take a job": ({ jobs }) => jobs.receive(TAKE),
    "send a delivery": ({ deliveries }) => deliveries.send("{}"),
    "read an input": ({ bucket }) => bucket.get("in/photo.jpg", HERE),
    "delete an input": ({ bucket }) => bucket.remove(["in/photo.jpg"]),
    "write a result": ({ bucket }) => bucket.put("results/there.json", "{}", TEXT),
    "read a lock": ({ bucket }) => bucket.get("running/a.json", HERE),
    "take a lock": ({ bucket }) => bucket.put("running/a.json", "{}", TEXT),
    "read a checkpoint": ({ bucket }) => bucket.get("checkpoints/a/b.json", HERE),
    "write a checkpoint": ({ bucket }) => bucket.put("checkpoints/a/b.json", "{}", TEXT),
    "take back a cancellation": ({ bucket }) => bucket.remove(["cancel/a"]),
    "publish a result": ({ topic, outputs }) => topic.publish(outputs.TopicArn!, "{}", {}),
    "purge the queue": ({ clients, outputs }) => purgeQueue(clients.sqs, outputs.JobsQueueUrl!),
  },
  operator: {
    "take a job": ({ jobs }) => jobs.receive(TAKE),
    "write a result": ({ bucket }) => bucket.put("results/there.json", "{}", TEXT),
    "read an input": ({ bucket }) => bucket.get("in/photo.jpg", HERE),
    "publish a result": ({ topic, outputs }) => topic.publish(outputs.TopicArn!, "{}", {}),
    "purge dead letters unseen": ({ clients, outputs }) => purgeQueue(clients.sqs, outputs.JobsDeadQueueUrl!),
  },
};

/** The worker's variables, as `kamado setup aws` writes them. */
function cloudAs(aws: AwsConfig, { outputs }: Deployed): { cloud: Cloud; config: Config } {
  const cloud = {
    aws,
    queueUrl: outputs.JobsQueueUrl!,
    deadQueueUrl: outputs.JobsDeadQueueUrl!,
    deliveriesQueueUrl: outputs.DeliveriesQueueUrl!,
    deadDeliveriesQueueUrl: outputs.DeliveriesDeadQueueUrl!,
    topicArn: outputs.TopicArn!,
  };
  return { cloud, config: loadConfig({ KAMADO_BUCKET: outputs.BucketName! }, {}) };
}

const doctorAs = (aws: AwsConfig) =>
  cloudFindings({ clients: partsOf(aws, deployed).clients, ...cloudAs(aws, deployed), isLocal: false });

/** What `kamado doctor` must name without each statement. */
const NAMED: Record<string, [check: string, action: string]> = {
  TakeJobs: ["queue", "sqs:DeleteMessage"],
  SplitJobs: ["queue", "sqs:SendMessage"],
  RepeatDeliveries: ["deliveries", "sqs:ReceiveMessage"],
  GiveUp: ["dead letters", "sqs:SendMessage"],
  ListObjects: ["bucket", "s3:ListBucket"],
  ReadInputs: ["bucket", "s3:GetObject"],
  ReadState: ["bucket", "s3:GetObject"],
  WriteState: ["bucket", "s3:PutObject"],
  RemoveState: ["bucket", "s3:DeleteObject"],
  PublishResults: ["topic", "sns:Publish"],
};

test("`kamado doctor` finds nothing wrong under the worker's own policy, and takes no job", async (context) => {
  if (skipped !== null) return context.skip(skipped);
  const { jobs } = partsOf(deployed.admin, deployed);
  const { sqs } = partsOf(deployed.admin, deployed).clients;
  // Dead letters that the tests above sent would be a finding.
  for (const name of ["Jobs", "JobsDead", "DeliveriesDead"])
    await purgeQueue(sqs, deployed.outputs[`${name}QueueUrl`]!);
  await jobs.send("{}");
  const findings = await doctorAs(await deployed.keyOf("kamado-worker"));
  expect(findings.filter(({ status }) => status !== "ok")).toEqual([]);
  expect(findings.map(({ check }) => check)).toEqual(
    "clock queue,dead letters,deliveries,dead deliveries,bucket,topic".replace(" ", ",").split(","),
  );
  // Never received before.
  expect(await jobs.receive(TAKE)).toMatchObject([{ receiveCount: 1 }]);
}, 60_000);

test.for(Object.entries(NAMED))(
  "without the statement %s, `kamado doctor` and the start of a worker name the right that is missing",
  { timeout: 60_000 },
  async ([sid, [check, action]], context) => {
    if (skipped !== null) return context.skip(skipped);
    const all = await deployed.statementsOf(deployed.outputs.WorkerPolicyArn!);
    const aws = await deployed.userWith(all.filter(({ Sid }) => Sid !== sid));
    const findings = await doctorAs(aws);
    const failing = findings.filter(({ status }) => status !== "ok");
    expect(failing).toContainEqual({
      check,
      // There are jobs that need neither.
      status: sid === "SplitJobs" || sid === "ReadInputs" ? "warn" : "fail",
      found: expect.stringContaining(action),
      todo: expect.stringMatching(new RegExp(`Grant [^.]*${action}[^.]* on arn:aws:\\S+`)),
    });
    // Nothing else is blamed: GiveUp alone is about two queues.
    expect(failing.length).toBe(sid === "GiveUp" ? 2 : 1);
    const { clients, outputs } = partsOf(aws, deployed);
    const queues = [outputs.JobsQueueUrl!];
    const region = String(deployed.admin.region);
    const start = { sqs: clients.sqs, queues, region, clockSkew: undefined, folder: undefined };
    const code = (await startCheck(start))?.code ?? null;
    expect(code).toBe(sid === "TakeJobs" ? "permission_missing" : null);
  },
);

test("under the policy of a stack from before there were checkpoints, `kamado doctor` says so, and all other jobs run", async (context) => {
  if (skipped !== null) return context.skip(skipped);
  const all = await deployed.statementsOf(deployed.outputs.WorkerPolicyArn!);
  const isOlder = (resource: string) => !resource.includes("/checkpoints/");
  const older = all.map((one) => ({ ...one, Resource: many(one.Resource).filter(isOlder) }));
  const aws = await deployed.userWith(older);
  const failing = (await doctorAs(aws)).filter(({ status }) => status !== "ok");
  expect(failing).toEqual([
    {
      check: "bucket",
      status: "warn",
      found: expect.stringContaining("AWS refuses s3:PutObject, which jobs that go on"),
      todo: expect.stringMatching(/Grant s3:PutObject on arn:aws:\S+\/checkpoints\/\*/),
    },
  ]);
  const { bucket } = partsOf(aws, deployed);
  const job = { id: "a", kind: "work", input: null, deliver: [], policy: {} };
  const { signal } = new AbortController();
  const checkpoints = createCheckpoints({ bucket, clock: systemClock, log: silentLog }).of(job, signal);
  await expect(checkpoints.put("page", 1)).rejects.toMatchObject({
    code: "storage_unavailable",
    message: expect.stringContaining("may not write to checkpoints/"),
  });
});

describe("nobody may do more", () => {
  const users = { worker: "kamado-worker", enqueuer: ENQUEUER, operator: OPERATOR };
  test.for(Object.keys(users) as (keyof typeof users)[])(
    "the %s may not do what is not its own",
    { timeout: 60_000 },
    async (who, context) => {
      if (skipped !== null) return context.skip(skipped);
      const as = partsOf(await deployed.keyOf(users[who]), deployed);
      const shown: Record<string, string> = {};
      for (const [what, act] of Object.entries(FORBIDDEN[who])) shown[what] = await outcomeOf(act(as));
      expect(shown).toEqual(Object.fromEntries(Object.keys(shown).map((what) => [what, "refused"])));
    },
  );

  test("nobody without a key, and nobody over a connection that is not encrypted", async (context) => {
    if (skipped !== null) return context.skip(skipped);
    const { outputs, unencrypted } = deployed;
    const nobody = { ...deployed.admin, credentials: undefined };
    expect((await post(nobody, outputs.JobsApiUrl!, "{}")).status).toBe(403);
    const object = await fetch(`${deployed.admin.endpoint}/${outputs.BucketName}/results/there.json`);
    expect(object.status).toBe(403);
    const own = await deployed.keyOf("kamado-worker");
    const plain = partsOf({ ...own, endpoint: unencrypted }, deployed);
    const acts = {
      jobs: plain.jobs.receive(TAKE),
      jobsDead: plain.jobsDead.send("{}"),
      deliveries: plain.deliveries.receive(TAKE),
      deliveriesDead: plain.deliveriesDead.send("{}"),
      bucket: plain.bucket.list("results/"),
      topic: plain.topic.publish(outputs.TopicArn!, "{}", {}),
    };
    const shown = await Promise.all(Object.values(acts).map(outcomeOf));
    expect(shown).toEqual(Object.keys(acts).map(() => "refused"));
  }, 60_000);
});

test("an upload becomes a message of the jobs queue, and one with another ending does not", async (context) => {
  if (skipped !== null) return context.skip(skipped);
  const sender = partsOf(await deployed.keyOf(ENQUEUER), deployed);
  const worker = partsOf(await deployed.keyOf("kamado-worker"), deployed);
  const { clients, outputs } = partsOf(deployed.admin, deployed);
  await purgeQueue(clients.sqs, outputs.JobsQueueUrl!);
  for (const name of ["door.txt", "door.jpg"]) await sender.bucket.put(`in/uploads/${name}`, "x", TEXT);
  const [message] = await worker.jobs.receive({ max: 10, waitSeconds: 10, visibilitySeconds: 30 });
  expect(JSON.parse(message!.body).Records[0].s3.object.key).toBe("in/uploads/door.jpg");
  expect(await worker.jobs.receive(TAKE)).toEqual([]);
}, 60_000);

test("POST /jobs puts the body on the queue as it is and answers with the id", async (context) => {
  if (skipped !== null) return context.skip(skipped);
  const worker = partsOf(await deployed.keyOf("kamado-worker"), deployed);
  const { clients, outputs } = partsOf(deployed.admin, deployed);
  await purgeQueue(clients.sqs, outputs.JobsQueueUrl!);
  const body = JSON.stringify({ kind: "prompt", input: { prompt: '牛乳 & "100 %" + x=1' } });
  const answer = await post(await deployed.keyOf(ENQUEUER), outputs.JobsApiUrl!, body);
  const [message] = await worker.jobs.receive({ max: 1, waitSeconds: 10, visibilitySeconds: 30 });
  expect([answer.status, JSON.parse(answer.text), message!.body]).toEqual([202, { id: message!.id }, body]);
}, 60_000);

// That it also refuses what is no JSON object is left to API Gateway: the emulator does not look into bodies.
test("POST /jobs refuses a body of another type, and nothing is sent", async (context) => {
  if (skipped !== null) return context.skip(skipped);
  const { clients, outputs, jobs } = partsOf(deployed.admin, deployed);
  await purgeQueue(clients.sqs, outputs.JobsQueueUrl!);
  const answer = await post(await deployed.keyOf(ENQUEUER), outputs.JobsApiUrl!, "{}", "text/plain");
  expect([answer.status, await jobs.receive(TAKE)]).toEqual([415, []]);
});
