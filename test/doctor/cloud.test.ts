// Queues, bucket, topic and clock. What AWS alone refuses is answered by a server that words it as AWS does; rights under real policies
// are in test/infra/policies.test.ts.
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { type AwsConfig, makeAwsClients } from "../../worker/aws/clients.ts";
import { BUCKET, type Cloud, queueUrl, topicArn } from "../../worker/aws/resources.ts";
import { type Config, loadConfig, type Variables } from "../../worker/config/config.ts";
import { cloudFindings } from "../../worker/doctor/cloud.ts";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { awsServer } from "../fakes/aws-server.ts";

let local: LocalAws;
beforeAll(async () => {
  local = await startLocalAws({ port: 0 });
});
afterAll(() => local?.stop());

const USED: AwsConfig = {
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
};

function cloudAt(endpoint: string, more: Partial<Cloud> = {}): Cloud {
  return {
    aws: { ...USED, endpoint },
    queueUrl: queueUrl(endpoint, "kamado-jobs"),
    deadQueueUrl: queueUrl(endpoint, "kamado-jobs-dead"),
    deliveriesQueueUrl: queueUrl(endpoint, "kamado-deliveries"),
    deadDeliveriesQueueUrl: queueUrl(endpoint, "kamado-deliveries-dead"),
    topicArn: topicArn(),
    ...more,
  };
}

async function lookAt(cloud: Cloud, variables: Variables = {}, isLocal = false) {
  const clients = makeAwsClients(cloud.aws);
  onTestFinished(() => clients.destroy());
  const config: Config = loadConfig({ KAMADO_BUCKET: BUCKET, ...variables }, {});
  return cloudFindings({ clients, cloud, config, isLocal });
}
const bad = <T extends { status: string }>(findings: T[]) => findings.filter(({ status }) => status !== "ok");

test("where all is well no line says otherwise, and no job is taken, sent or counted as received", async () => {
  const clients = makeAwsClients(local);
  onTestFinished(() => clients.destroy());
  const jobs = sqsQueue(clients.sqs, local.resources.jobsQueueUrl);
  await jobs.send("{}");
  const findings = await lookAt(cloudAt(local.endpoint));
  expect(bad(findings)).toEqual([]);
  expect(findings.map(({ check, found }) => `${check}: ${found}`)).toEqual([
    `clock: that of ${new URL(local.endpoint).host}, to a few seconds`,
    "queue: 1 waiting, 0 in flight",
    "dead letters: empty",
    "deliveries: 0 waiting, 0 in flight",
    "dead deliveries: empty",
    "bucket: kamado: objects can be listed, written, read and removed",
    `topic: ${topicArn()}`,
  ]);
  const taken = await jobs.receive({ max: 10, waitSeconds: 0, visibilitySeconds: 30 });
  expect(taken.map(({ receiveCount }) => receiveCount)).toEqual([1]);
  await jobs.remove(taken.map(({ handle }) => handle));
});

test("of several queues each line says which one it is about", async () => {
  const urls = ["kamado-jobs", "kamado-deliveries"].map((name) =>
    queueUrl(local.endpoint, name as "kamado-jobs"),
  );
  const queues = [...urls, `${local.endpoint}/000000000000/gone`].map((url) => ({ url, weight: 1 }));
  const findings = await lookAt(cloudAt(local.endpoint, { queues }));
  expect(findings.filter(({ check }) => check === "queue").map(({ found }) => found)).toEqual([
    "kamado-jobs: 0 waiting, 0 in flight",
    "kamado-deliveries: 0 waiting, 0 in flight",
    expect.stringMatching(/^gone: there is no queue/),
  ]);
});

test("credentials that are there and cannot be used are told from none", async () => {
  const cloud = cloudAt(local.endpoint);
  const clients = makeAwsClients(cloud.aws);
  onTestFinished(() => clients.destroy());
  const refuse = (message: string) => {
    clients.sqs.config.credentials = () =>
      Promise.reject(Object.assign(new Error(message), { name: "CredentialsProviderError" }));
    const config: Config = loadConfig({ KAMADO_BUCKET: BUCKET }, {});
    return cloudFindings({ clients, cloud, config, isLocal: false });
  };
  expect(await refuse("Could not load credentials from any providers")).toMatchObject([
    { check: "credentials", found: "there are none, so AWS was not asked" },
  ]);
  expect(await refuse("The SSO session has expired.")).toMatchObject([
    {
      check: "credentials",
      status: "fail",
      found: expect.stringContaining("The SSO session has expired."),
      todo: expect.stringContaining("aws sso login"),
    },
  ]);
});

test("the clock of the embedded queue is this one, which needs no line", async () => {
  const findings = await lookAt(cloudAt(local.endpoint), {}, true);
  expect(findings.map(({ check }) => check)).not.toContain("clock");
});

test("a wrong queue, a wrong bucket and a wrong topic are named, with the setting to correct", async () => {
  const wrong = {
    queueUrl: queueUrl(local.endpoint, "kamado-jobs").replace("jobs", "jbos"),
    topicArn: topicArn().replace("results", "reslts"),
  };
  const findings = await lookAt(cloudAt(local.endpoint, wrong), { KAMADO_BUCKET: "kamdo" });
  expect(bad(findings)).toEqual([
    {
      check: "queue",
      status: "fail",
      found: expect.stringContaining("kamado-jbos"),
      todo: expect.stringContaining("KAMADO_QUEUE_URL"),
    },
    {
      check: "bucket",
      status: "fail",
      found: "there is no bucket kamdo",
      todo: expect.stringContaining("KAMADO_BUCKET"),
    },
    {
      check: "topic",
      status: "fail",
      found: expect.stringContaining("kamado-reslts"),
      todo: expect.stringContaining("KAMADO_TOPIC_ARN"),
    },
  ]);
});

test("a dead-letter queue that is missing fails where its name was set, and is warned of where it only follows from another", async () => {
  const deadQueueUrl = queueUrl(local.endpoint, "kamado-jobs-dead").replace("dead", "gone");
  const cloud = cloudAt(local.endpoint, { deadQueueUrl });
  expect(bad(await lookAt(cloud))).toMatchObject([{ check: "dead letters", status: "warn" }]);
  expect(bad(await lookAt(cloud, { KAMADO_DEAD_QUEUE_URL: deadQueueUrl }))).toMatchObject([
    { check: "dead letters", status: "fail" },
  ]);
});

test("dead letters are counted, and a worker without an outbox or a topic is told what that means", async () => {
  const clients = makeAwsClients(local);
  onTestFinished(() => clients.destroy());
  const dead = sqsQueue(clients.sqs, queueUrl(local.endpoint, "kamado-jobs-dead"));
  await dead.send("{}");
  const findings = await lookAt(
    cloudAt(local.endpoint, { deliveriesQueueUrl: undefined, topicArn: undefined }),
  );
  expect(bad(findings)).toEqual([
    {
      check: "dead letters",
      status: "warn",
      found: "1 message",
      todo: expect.stringContaining("kamado dead"),
    },
  ]);
  expect(findings.find(({ check }) => check === "deliveries")?.found).toMatch(/^no queue/);
  const taken = await dead.receive({ max: 10, waitSeconds: 0, visibilitySeconds: 30 });
  await dead.remove(taken.map(({ handle }) => handle));
});

test("a queue that gives a job up before its attempts are used is warned of", async () => {
  const findings = await lookAt(cloudAt(local.endpoint), { KAMADO_MAX_ATTEMPTS: "100" });
  expect(bad(findings).map(({ check, found }) => [check, found])).toEqual([
    ["queue", expect.stringContaining("after 100 receives")],
    ["deliveries", expect.stringContaining("after 100 receives")],
  ]);
});

/** Answers everything with this error, in the form of the service that is asked. */
const refusing = (code: string, message: string, status = 403) =>
  awsServer((request, response) => {
    const isJson = request.headers["x-amz-target"] !== undefined;
    const isS3 = request.method !== "POST";
    const xml = `<Error><Code>${code}</Code><Message>${message}</Message></Error>`;
    response
      .writeHead(status, { "content-type": isJson ? "application/x-amz-json-1.0" : "application/xml" })
      .end(
        isJson
          ? JSON.stringify({ __type: `com.amazon.coral.service#${code}`, message })
          : isS3
            ? xml
            : `<ErrorResponse>${xml}</ErrorResponse>`,
      );
  });

test("rights that are missing are named by action and resource, also where AWS does not name them", async () => {
  await using server = await refusing("AccessDenied", "Access Denied");
  const findings = await lookAt(cloudAt(server.endpoint));
  const arn = "arn:aws:sqs:us-east-1:000000000000:kamado";
  const todos = Object.fromEntries(findings.map(({ check, todo }) => [check, todo]));
  // AWS refuses a name that a policy does not have in the same words as one that is not there.
  const or = (name: string, setting: string) => ` Or ${name} is a wrong name: check ${setting}`;
  expect(todos.queue).toBe(
    `Grant sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility on ${arn}-jobs.${or(queueUrl(server.endpoint, "kamado-jobs"), "KAMADO_QUEUE_URL and AWS_REGION, or create the queue.")}`,
  );
  expect(todos["dead letters"]).toMatch(`Grant sqs:SendMessage on ${arn}-jobs-dead. Or http`);
  expect(todos.bucket).toMatch(
    /Grant s3:ListBucket on arn:aws:s3:::kamado\. Grant s3:PutObject, s3:GetObject on arn:aws:s3:::kamado\/results\/\*\. .* Or kamado is a wrong name: check KAMADO_BUCKET/,
  );
  expect(todos.topic).toBe(
    `Grant sns:Publish on ${topicArn()}.${or(topicArn(), "KAMADO_TOPIC_ARN, or create the topic.")}`,
  );
});

test("a right that a worker does not need is no failure", async () => {
  await using server = await awsServer((request, response) => {
    const operation = String(request.headers["x-amz-target"] ?? "");
    const type = operation.includes("GetQueueAttributes") ? "AccessDenied" : "EmptyBatchRequest";
    response
      .writeHead(400, { "content-type": "application/x-amz-json-1.0" })
      .end(JSON.stringify({ __type: `x#${type}`, message: "no" }));
  });
  const findings = await lookAt(cloudAt(server.endpoint));
  expect(findings.find(({ check }) => check === "queue")).toMatchObject({
    status: "ok",
    found: expect.stringContaining("which a worker does not need"),
  });
});

test.each([
  ["InvalidClientTokenId", "the key is refused", "AWS_ACCESS_KEY_ID"],
  ["ExpiredToken", "the key is refused", "a session may have expired"],
])("a key that AWS refuses with %s is told from a missing right", async (code, found, todo) => {
  await using server = await refusing(code, "no");
  const queue = (await lookAt(cloudAt(server.endpoint))).find(({ check }) => check === "queue");
  expect(queue).toMatchObject({
    status: "fail",
    found: expect.stringContaining(found),
    todo: expect.stringContaining(todo),
  });
});

test("the request that AWS repeats after a wrong signature is not shown: the token of the session is in it", async () => {
  const words =
    "The signature does not match.\\n\\nThe Canonical String for this request should have been\\n'POST\\nx-amz-security-token:t0k3n\\n'";
  await using server = await refusing("SignatureDoesNotMatch", words.replaceAll("\\n", "\n"));
  const findings = await lookAt(cloudAt(server.endpoint));
  expect(
    findings.filter(({ found }) => found.includes("The signature does not match.)")).length,
  ).toBeGreaterThan(4);
  expect(JSON.stringify(findings)).not.toContain("t0k3n");
});

test("inputs in other buckets: what S3 does not say is not claimed", async () => {
  const missing = await lookAt(cloudAt(local.endpoint), { KAMADO_BUCKETS: "photos/doors/" });
  expect(bad(missing)).toMatchObject([
    { check: "inputs", status: "fail", found: "there is no bucket photos" },
  ]);
  const own = await lookAt(cloudAt(local.endpoint), { KAMADO_BUCKETS: "kamado/photos/" });
  expect(own.find(({ check }) => check === "inputs")).toMatchObject({ status: "ok" });
  await using server = await refusing("AccessDenied", "Access Denied");
  const vague = await lookAt(cloudAt(server.endpoint), { KAMADO_BUCKETS: "photos/doors/" });
  expect(vague.find(({ check }) => check === "inputs")).toMatchObject({
    status: "warn",
    todo: expect.stringContaining("Grant s3:GetObject on arn:aws:s3:::photos/doors/*"),
  });
});

test("a clock that is wrong is told with what it does", async () => {
  await using server = await awsServer((_, response) => {
    response.sendDate = false;
    response.writeHead(404, { date: new Date(Date.now() - 20 * 60_000).toUTCString() }).end();
  });
  const findings = await lookAt(cloudAt(server.endpoint));
  expect(findings[0]).toMatchObject({
    check: "clock",
    found: expect.stringMatching(/^20 minutes ahead of that of 127/),
    todo: expect.stringContaining("sntp"),
  });
  // Of an emulator the clock may be the one that is wrong; of AWS it is not.
  expect(findings[0]?.status).toBe("warn");
  const { aws, ...cloud } = cloudAt(server.endpoint);
  const clients = makeAwsClients(aws);
  onTestFinished(() => clients.destroy());
  const config: Config = loadConfig({ KAMADO_BUCKET: BUCKET }, {});
  const [clock] = await cloudFindings({ clients, cloud: { ...cloud, aws: USED }, config, isLocal: false });
  expect(clock).toMatchObject({
    status: "fail",
    found: expect.stringMatching(/^20 minutes ahead .*: SQS refuses/),
  });
});

test.each([
  ["the page of a web server", 200, "text/html", "<html>It works!</html>"],
  ["the page of a proxy that refuses", 403, "text/html", "<html>Forbidden</html>"],
  ["a gateway that refuses", 403, "application/json", '{"message":"Forbidden"}'],
])("%s is no AWS, and no key is called wrong", async (_, status, type, body) => {
  await using page = await awsServer((__, response) =>
    response.writeHead(status, { "content-type": type }).end(body),
  );
  const findings = await lookAt(cloudAt(page.endpoint));
  expect(findings.slice(1).map(({ check, status, found }) => [check, status, found])).toEqual(
    ["queue", "dead letters", "deliveries", "dead deliveries", "bucket", "topic"].map((check) => [
      check,
      "fail",
      expect.stringMatching(/: what answers there is not AWS$/),
    ]),
  );
});

test("what is not there is not called well", async () => {
  const gone = await lookAt(cloudAt("http://127.0.0.1:1"));
  expect(bad(gone).map(({ check, status }) => `${check} ${status}`)).toEqual([
    "clock warn",
    "queue fail",
    "dead letters fail",
    "deliveries fail",
    "dead deliveries fail",
    "bucket fail",
    "topic fail",
  ]);
});
