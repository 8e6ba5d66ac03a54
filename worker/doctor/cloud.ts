// Queues, bucket, topic and clock: whether AWS, or what stands for it, lets the worker do what it must. No message is taken or sent and
// nothing is published; in the bucket two small objects are written that no job has, and one of them is removed again.
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { GetQueueAttributesCommand } from "@aws-sdk/client-sqs";
import { plural } from "../amounts.ts";
import type { AwsClients } from "../aws/clients.ts";
import { healthOf, NO_CREDENTIALS_HINT, namesOf, saidBy } from "../aws/errors.ts";
import type { Cloud } from "../aws/resources.ts";
import {
  grant,
  grantAll,
  objectArnOf,
  queueArnOf,
  type Right,
  type Verdict,
  verdictOf,
} from "../aws/rights.ts";
import { clockSkewMs, MOST_SKEW_MS, skewWords } from "../checks/clock-skew.ts";
import { type QueueAction, queueVerdicts, TO_CONSUME, topicVerdict } from "../checks/queue-rights.ts";
import type { Config } from "../config/config.ts";
import { QUEUE_HINTS } from "../queue/health.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

type Asked = { clients: AwsClients; cloud: Cloud; config: Config };

const TO_SPLIT = { actions: ["sqs:SendMessage"], whose: "messages with several jobs (S3 events)" } as const;
const TO_REDELIVER = [...TO_CONSUME, "sqs:SendMessage"] as const;

/** `isLocal`: the embedded AWS, whose clock is this one. */
export async function cloudFindings(asked: Asked & { isLocal: boolean }): Promise<Finding[]> {
  const { cloud, clients } = asked;
  const unusable = await clients.sqs.config.credentials().then(() => null, credentialsFinding);
  if (unusable) return [unusable];
  const queues = cloud.queues ?? [{ url: cloud.queueUrl }];
  const groups = await Promise.all([
    asked.isLocal ? [] : clockFindings(cloud),
    ...queues.map(async ({ url }) => {
      const own = { check: "queue", variable: "KAMADO_QUEUE_URL", url };
      const finding = await queueFinding(asked, { ...own, actions: TO_CONSUME, some: TO_SPLIT });
      const name = url.replace(/^.*\//, "");
      return queues.length === 1 ? finding : { ...finding, found: `${name}: ${finding.found}` };
    }),
    ...outboxFindings(asked),
    bucketFinding(asked),
    ...inputFindings(asked),
    topicFindings(asked),
  ]);
  return groups.flat();
}

/** Some are found and cannot be used, as those of a session that has expired. */
function credentialsFinding(thrown: unknown): Finding {
  const check = "credentials";
  if (healthOf(thrown) === "no_credentials")
    return fail(check, "there are none, so AWS was not asked", NO_CREDENTIALS_HINT);
  return fail(
    check,
    `there are some that cannot be used, so AWS was not asked (${(thrown as Error).message})`,
    "Check AWS_PROFILE and its files; a session that has expired is begun again with `aws sso login`.",
  );
}

/** Any answer has a time, also one that refuses. */
async function clockFindings({ aws, queueUrl }: Cloud): Promise<Finding[]> {
  const server = aws.endpoint ?? queueUrl;
  const skew = await clockSkewMs(server);
  const { host } = new URL(server);
  if (skew === null)
    return [
      warn(
        "clock",
        `cannot be compared: ${host} says no time`,
        "Compare it with another clock; AWS refuses from 5 minutes on.",
      ),
    ];
  // The other clock is exact to a second.
  if (Math.abs(skew) < 10_000) return [ok("clock", `that of ${host}, to a few seconds`)];
  const found = skewWords(skew, `that of ${host}`);
  const todo = "Set the clock: macOS `sudo sntp -sS time.apple.com`, Linux `sudo timedatectl set-ntp true`.";
  // Of an emulator the clock may be the one that is wrong.
  if (Math.abs(skew) < MOST_SKEW_MS || aws.endpoint !== undefined) return [warn("clock", found, todo)];
  const why = "SQS refuses from 5 minutes on, S3 from 15; jobs expire at the wrong time";
  return [fail("clock", `${found}: ${why}`, todo)];
}

type QueueAsked = {
  check: string;
  /** The setting that names it. */
  variable: string;
  url: string;
  actions: readonly QueueAction[];
  isDead?: boolean;
  /** Rights that only some jobs need, and which. */
  some?: { actions: readonly QueueAction[]; whose: string };
  /** Its name was not set but follows from that of the jobs' queue, and Kamado can do without it. */
  withoutIt?: string | undefined;
};

async function queueFinding({ clients, cloud, config }: Asked, asked: QueueAsked): Promise<Finding> {
  const { check, url, actions, withoutIt, some = { actions: [], whose: "" } } = asked;
  const region = cloud.aws.region;
  const [verdicts, further, attributes] = await Promise.all([
    queueVerdicts(clients.sqs, url, actions, region),
    queueVerdicts(clients.sqs, url, some.actions, region),
    attributesOf(clients, url),
  ]);
  const bad = whatIsWrong(check, verdicts, {
    missing: `there is no queue ${url}`,
    hint: `Check ${asked.variable} and AWS_REGION, or create the queue.`,
    at: url,
  });
  if (bad && withoutIt !== undefined && verdicts.some(({ is }) => is === "missing"))
    return warn(check, bad.found, withoutIt);
  const denied = further.find((verdict) => verdict.is === "denied");
  if (bad === undefined && denied)
    return warn(check, `AWS refuses ${denied.right.action}, which ${some.whose} need`, grant(denied.right));
  return bad ?? depthFinding(asked, attributes, config, queueArnOf(url, region));
}

/** Null where the worker may not ask for them, which it need not. */
const attributesOf = ({ sqs }: AwsClients, QueueUrl: string) =>
  sqs
    .send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["All"] }), { requestTimeout: 5_000 })
    .then(
      ({ Attributes }) => Attributes ?? null,
      () => null,
    );

function depthFinding(
  { check, isDead }: QueueAsked,
  attributes: Record<string, string> | null,
  { maxAttempts }: Config,
  arn: string,
): Finding {
  if (attributes === null)
    return ok(
      check,
      `${arn} may be used; how much is in it is not told (sqs:GetQueueAttributes, which a worker does not need)`,
    );
  const waiting = Number(attributes.ApproximateNumberOfMessages ?? 0);
  if (isDead)
    return waiting === 0
      ? ok(check, "empty")
      : warn(check, plural(waiting, "message"), "`kamado dead` lists them, and sends them back.");
  const receives = Number(maxReceivesOf(attributes) ?? Number.POSITIVE_INFINITY);
  if (receives <= maxAttempts)
    return warn(
      check,
      `gives a message up after ${plural(receives, "receive")} (maxReceiveCount), and a job has ${maxAttempts} attempts`,
      "Set maxReceiveCount far above KAMADO_MAX_ATTEMPTS, such as 100: a stop or a sleep costs a receive too.",
    );
  return ok(check, `${waiting} waiting, ${attributes.ApproximateNumberOfMessagesNotVisible ?? 0} in flight`);
}

function maxReceivesOf({ RedrivePolicy }: Record<string, string>): number | undefined {
  try {
    return JSON.parse(RedrivePolicy ?? "{}").maxReceiveCount;
  } catch {
    return undefined;
  }
}

function outboxFindings(asked: Asked): Promise<Finding | Finding[]>[] {
  const { deadQueueUrl, deliveriesQueueUrl, deadDeliveriesQueueUrl } = asked.cloud;
  const { set } = asked.config;
  const named = (variable: string, words: string) => ({
    variable,
    withoutIt: set.includes(variable) ? undefined : `Create it, or set ${variable}${words}.`,
  });
  const actions = ["sqs:SendMessage"] as const;
  const dead = queueFinding(asked, {
    check: "dead letters",
    url: deadQueueUrl,
    actions,
    isDead: true,
    ...named("KAMADO_DEAD_QUEUE_URL", ": until then a message that is no job comes back again and again"),
  });
  if (deliveriesQueueUrl === undefined)
    return [
      dead,
      Promise.resolve(ok("deliveries", "no queue: a delivery that fails keeps its job's message")),
    ];
  const deliveries = queueFinding(asked, {
    check: "deliveries",
    url: deliveriesQueueUrl,
    actions: TO_REDELIVER,
    ...named("KAMADO_DELIVERIES_QUEUE_URL", ": until then a delivery that fails keeps its job's message"),
  });
  if (deadDeliveriesQueueUrl === deadQueueUrl) return [dead, deliveries];
  const url = deadDeliveriesQueueUrl;
  const last = named("KAMADO_DEAD_DELIVERIES_QUEUE_URL", "");
  return [
    dead,
    deliveries,
    queueFinding(asked, { check: "dead deliveries", url, actions, isDead: true, ...last }),
  ];
}

/** What no job has: an id begins with a letter or a digit. */
const RESULT = "results/.probe";
const LOCK = "running/.doctor";
const CHECKPOINT = "checkpoints/.doctor";
const INPUT = "in/.doctor";
const CHECKPOINT_JOBS = "jobs that go on where they were interrupted (knowledge.research)";

async function bucketFinding({ clients: { s3 }, cloud, config }: Asked): Promise<Finding> {
  const Bucket = config.bucket;
  const right = (action: string, key: string): Right => ({
    action,
    resource: objectArnOf(Bucket, key, cloud.aws.region),
  });
  const object = (Key: string) => ({ Bucket, Key });
  const put = (Key: string) => s3.send(new PutObjectCommand({ ...object(Key), Body: Buffer.from("{}") }));
  const read = (Key: string) => readOrMissing(() => s3.send(new GetObjectCommand(object(Key))));
  const list = await verdictOf(right("s3:ListBucket", ""), () => listOnce(s3, Bucket));
  // One after another: what is written is read, and removed at the end.
  const verdicts = [list];
  const calls: [string, string, () => Promise<unknown>][] = [
    ["s3:PutObject", RESULT, () => put(RESULT)],
    ["s3:GetObject", RESULT, () => read(RESULT)],
    ["s3:PutObject", LOCK, () => put(LOCK)],
    ["s3:GetObject", LOCK, () => read(LOCK)],
    ["s3:DeleteObject", LOCK, () => s3.send(new DeleteObjectCommand(object(LOCK)))],
  ];
  if (list.is === "granted" || list.is === "denied")
    for (const [action, key, call] of calls) {
      const verdict = await verdictOf(right(action, key.replace(/\/.*/, "/*")), call);
      verdicts.push(verdict);
      // Where one gets no answer, each would wait for its own.
      if (verdict.is === "unknown") break;
    }
  const bad = whatIsWrong("bucket", verdicts, {
    missing: `there is no bucket ${Bucket}`,
    hint: "Check KAMADO_BUCKET and AWS_REGION, or create the bucket.",
    at: Bucket,
  });
  if (bad) return bad;
  const remove = (Key: string) => s3.send(new DeleteObjectCommand(object(Key)));
  const some: [string, string, string, () => Promise<unknown>][] = [
    ["s3:GetObject", INPUT, "jobs with inputs there", () => read(INPUT)],
    ["s3:PutObject", CHECKPOINT, CHECKPOINT_JOBS, () => put(CHECKPOINT)],
    ["s3:GetObject", CHECKPOINT, CHECKPOINT_JOBS, () => read(CHECKPOINT)],
    ["s3:DeleteObject", CHECKPOINT, CHECKPOINT_JOBS, () => remove(CHECKPOINT)],
  ];
  for (const [action, key, whose, call] of some) {
    const verdict = await verdictOf(right(action, key.replace(/\/.*/, "/*")), call);
    if (verdict.is !== "denied") continue;
    return warn("bucket", `AWS refuses ${verdict.right.action}, which ${whose} need`, grant(verdict.right));
  }
  return ok("bucket", `${Bucket}: objects can be listed, written, read and removed`);
}

/** A web server that answers 200 to everything is no bucket. */
async function listOnce(s3: AwsClients["s3"], Bucket: string): Promise<void> {
  const answer = await s3.send(new ListObjectsV2Command({ Bucket, MaxKeys: 1, Prefix: RESULT }));
  const { Name, IsTruncated, Contents } = answer;
  if (Name === undefined && IsTruncated === undefined && Contents === undefined)
    throw new Error("Deserialization error");
}

/** That there is no such object is an answer; without s3:ListBucket S3 says 403 instead. */
async function readOrMissing(read: () => Promise<{ Body?: unknown }>): Promise<void> {
  try {
    const { Body } = await read();
    (Body as { destroy?(): void } | undefined)?.destroy?.();
  } catch (thrown) {
    if (!namesOf(thrown).includes("NoSuchKey")) throw thrown;
  }
}

function inputFindings({ clients: { s3 }, cloud, config }: Asked): Promise<Finding>[] {
  return config.inputPrefixes.map(async ({ bucket, prefix }) => {
    const check = "inputs";
    const resource = objectArnOf(bucket, `${prefix}*`, cloud.aws.region);
    const Key = `${prefix}.doctor`;
    const verdict = await verdictOf({ action: "s3:GetObject", resource }, () =>
      readOrMissing(() => s3.send(new GetObjectCommand({ Bucket: bucket, Key }))),
    );
    // No object of that name is there, and where the worker may not list the bucket S3 does not say so.
    if (verdict.is === "denied" && verdict.right.action !== "s3:GetObject")
      return ok(check, `${bucket}/${prefix}: not refused, as far as can be told without reading an object`);
    const isVague = verdict.is === "denied" && verdict.right.resource === resource;
    if (isVague)
      return warn(
        check,
        `${bucket}/${prefix}: S3 refused to read an object that is not there, which it also does where only s3:ListBucket is missing`,
        `If jobs fail with object_forbidden: ${grant({ action: "s3:GetObject", resource })}`,
      );
    const bad = whatIsWrong(check, [verdict], {
      missing: `there is no bucket ${bucket}`,
      hint: "Check KAMADO_BUCKETS and AWS_REGION.",
      at: bucket,
    });
    return bad ?? ok(check, `${bucket}/${prefix} may be read`);
  });
}

async function topicFindings({ clients, cloud }: Asked): Promise<Finding> {
  const { topicArn } = cloud;
  if (topicArn === undefined) return ok("topic", "none: a result goes where its job says");
  const verdict = await topicVerdict(clients.sns, topicArn);
  // An emulator may not know the call.
  if (verdict.is === "unknown" && healthOf(verdict.error) === "unknown")
    return warn(
      "topic",
      `${topicArn}: cannot be told without publishing`,
      "Run a job without a destination, and see whether its result comes.",
    );
  const hint = "Check KAMADO_TOPIC_ARN, or create the topic.";
  const bad = whatIsWrong("topic", [verdict], {
    missing: `there is no topic ${topicArn}`,
    hint,
    at: topicArn,
  });
  return bad ?? ok("topic", topicArn);
}

type Words = { missing: string; hint: string; at: string };

/** Undefined when all is granted. */
function whatIsWrong(
  check: string,
  verdicts: readonly Verdict[],
  { missing, hint, at }: Words,
): Finding | undefined {
  const denied = new Map(
    verdicts.flatMap((one) => (one.is === "denied" ? [[JSON.stringify(one.right), one.right] as const] : [])),
  );
  if (verdicts.some(({ is }) => is === "missing")) return fail(check, missing, hint);
  if (denied.size > 0) {
    const rights = [...denied.values()];
    const actions = [...new Set(rights.map(({ action }) => action))];
    // Where a policy names what it allows, AWS says so of a wrong name too.
    const isAll = verdicts.every(({ is }) => is === "denied");
    const orName = isAll ? ` Or ${at} is a wrong name: c${hint.slice(1)}` : "";
    return fail(check, `AWS refuses ${actions.join(", ")}`, `${grantAll(rights)}${orName}`);
  }
  const unknown = verdicts.find((one) => one.is === "unknown");
  return unknown && unreachable(check, unknown.error, at);
}

function unreachable(check: string, error: unknown, at: string): Finding {
  const name = namesOf(error)[0] ?? "error";
  const said = `${name}: ${saidBy(error)}`;
  // What AWS refuses has a name.
  const health = /^Unknown/.test(name) ? "not_aws" : healthOf(error);
  if (health === "throttled")
    return warn(check, `${at}: too many calls just now (${said})`, "Run it again in a minute.");
  if (/PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraint/.test(said))
    return fail(check, `${at} is in another region (${said})`, "Set AWS_REGION to that of the bucket.");
  if (health === "credentials")
    return fail(
      check,
      `${at}: the key is refused (${said})`,
      "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; a session may have expired. A wrong clock has this effect too.",
    );
  // What the SDK says of these two is for people who debug the SDK.
  const isLate = name === "TimeoutError";
  if (health === "network")
    return fail(
      check,
      `${at} does not answer ${isLate ? "in time" : `(${said})`}`,
      "Check the network and AWS_ENDPOINT_URL.",
    );
  return fail(
    check,
    `${at}: ${health === "not_aws" ? "what answers there is not AWS" : said}`,
    health === "missing_queue" ? QUEUE_HINTS.missing_queue : QUEUE_HINTS[health],
  );
}
