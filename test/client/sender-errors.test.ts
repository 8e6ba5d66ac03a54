// What a sender is told about its own mistakes: before anything is sent where that can be seen, and without waiting for what never comes.
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { S3Client } from "@aws-sdk/client-s3";
import type { SQSClient } from "@aws-sdk/client-sqs";
import { afterEach, expect, test, vi } from "vitest";
import { createClient } from "../../client/client.ts";
import type { AnyKinds } from "../../client/contract.ts";
import { queueRegion } from "../../worker/aws/rights.ts";

afterEach(() => vi.unstubAllEnvs());

const queueUrl = "https://sqs.eu-central-1.amazonaws.com/123456789012/kamado-jobs";
const sent: string[] = [];
let uploads = 0;
type Command = { input: { MessageBody?: string; Key?: string } };
/** SDK clients that take everything, or throw what a test gives. */
const clientOf = (thrown?: Error) => {
  const send = async ({ input }: Command) => {
    if (thrown) throw thrown;
    if (input.MessageBody !== undefined) sent.push(input.MessageBody);
    if (input.Key !== undefined) uploads++;
    return { MessageId: "m", Successful: [{ Id: "0", MessageId: "m" }] };
  };
  const sdk = { send, destroy() {} };
  return createClient<AnyKinds>({
    queueUrl,
    bucket: "kamado",
    sqs: sdk as unknown as SQSClient,
    s3: sdk as unknown as S3Client,
  });
};
const awsError = (name: string, message: string, status?: number) =>
  Object.assign(new Error(message), { name, ...(status && { $metadata: { httpStatusCode: status } }) });

test.each([
  ["https://sqs.eu-central-1.amazonaws.com/1/q", "eu-central-1"],
  ["https://eu-west-3.queue.amazonaws.com/1/q", "eu-west-3"],
  ["https://queue.amazonaws.com/1/q", "us-east-1"],
  ["https://sqs.cn-north-1.amazonaws.com.cn/1/q", "cn-north-1"],
  ["https://sqs.us-gov-west-1.amazonaws.com/1/q", "us-gov-west-1"],
  ["https://sqs-fips.us-east-1.amazonaws.com/1/q", "us-east-1"],
  ["https://sqs.eu-west-1.api.aws/1/q", "eu-west-1"],
  ["https://vpce-0a1b-2c.sqs.us-east-2.vpce.amazonaws.com/1/q", "us-east-2"],
  ["http://127.0.0.1:4566/000000000000/kamado-jobs", undefined],
  ["https://sqs.my-region-1.example.org/1/q", undefined],
])("the region of a queue is the one that its address names: %s", (url, region) => {
  expect(queueRegion(url)).toBe(region);
});

test("a sender in another region signs for the queue's, and finds the bucket there too unless it says where", async () => {
  vi.stubEnv("AWS_REGION", "us-east-1");
  const scopes: string[] = [];
  const server = createServer(({ headers }, response) => {
    scopes.push(/Credential=a\/\d+\/([\w-]+\/\w+)\//.exec(headers.authorization ?? "")![1]!);
    response.writeHead(400).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const credentials = { accessKeyId: "a", secretAccessKey: "b" };
  for (const region of [undefined, "us-west-2"]) {
    const kamado = createClient<AnyKinds>({ queueUrl, bucket: "kamado", region, credentials, endpoint });
    await kamado.enqueue("prompt", {}).catch(() => {});
    await kamado.upload(new Uint8Array(1)).catch(() => {});
    kamado.close();
  }
  server.close();
  expect(scopes).toEqual(["eu-central-1/sqs", "eu-central-1/s3", "eu-central-1/sqs", "us-west-2/s3"]);
});

test.each([
  [undefined, /queueUrl/],
  ["kamado-jobs", /queueUrl/],
  ["arn:aws:sqs:us-east-1:123456789012:kamado-jobs", /queueUrl/],
])("what is no address of a queue is refused with where to find one: %s", (url, message) => {
  expect(() => createClient({ queueUrl: url as string })).toThrow(
    expect.objectContaining({
      code: "config_invalid",
      message: expect.stringMatching(message),
      hint: expect.stringContaining("JobsQueueUrl"),
    }),
  );
});

test.each(["s3://kamado", "kamado/in", "", "arn:aws:s3:::kamado"])(
  "what is no name of a bucket is refused at once: %j",
  (bucket) => {
    expect(() => createClient({ queueUrl, bucket })).toThrow(/^bucket: expected the name/);
  },
);

test("half a pair of keys is refused, and so is no option at all", () => {
  const half = { accessKeyId: "a", secretAccessKey: "" };
  expect(() => createClient({ queueUrl, credentials: half })).toThrow(/^credentials: expected/);
  expect(() => (createClient as () => unknown)()).toThrow(/^queueUrl: expected/);
});

test.each([
  ["a mistyped option", { delivr: [] }, /"delivr"/],
  ["an option of the job's input", { question: "?" }, /"question"/],
  ["a mistyped policy", { policy: { timeoutSecond: 5 } }, /timeoutSecond/],
])("%s is named, and nothing is sent without it", async (_, options, message) => {
  sent.length = 0;
  await expect(clientOf().enqueue("prompt", { prompt: "x" }, options as object)).rejects.toMatchObject({
    code: "invalid_input",
    message: expect.stringMatching(message),
  });
  expect(sent).toEqual([]);
});

test.each([
  ["Map", new Map([["a", 1]])],
  ["Set", new Set([1])],
  ["Promise", Promise.resolve(1)],
  ["ReadableStream", new ReadableStream()],
  ["DataView", new DataView(new ArrayBuffer(2))],
  ["function", () => 1],
  ["symbol", Symbol("a")],
])("a %s, of which JSON would keep nothing, is refused wherever it is in the input", async (name, value) => {
  sent.length = 0;
  uploads = 0;
  const input = { first: new Uint8Array(1), deep: [{ value }] };
  await expect(clientOf().enqueue("prompt", input)).rejects.toMatchObject({
    code: "invalid_input",
    message: `input: a ${name} cannot be sent.`,
    hint: expect.stringContaining("Uint8Array"),
  });
  expect([sent, uploads]).toEqual([[], 0]);
});

test("bytes in an ArrayBuffer are uploaded as others are; a date is sent as its text", async () => {
  sent.length = 0;
  await clientOf().enqueue("image.check", { image: new ArrayBuffer(3), at: new Date(0) }, { id: "a" });
  expect(JSON.parse(sent[0]!).input).toEqual({
    image: expect.stringMatching(/^s3:\/\/kamado\/in\/a\/\w+\/input$/),
    at: "1970-01-01T00:00:00.000Z",
  });
});

test("one job of several that is none costs only itself; a list that is none, and an id that is none, are refused", async () => {
  const kamado = clientOf();
  const none = null as never;
  const results = await kamado.enqueueMany([none, { kind: "prompt", input: {} }]);
  expect(results).toMatchObject([
    { ok: false, id: undefined, error: { code: "invalid_input" } },
    { ok: true },
  ]);
  await expect(kamado.enqueueMany({ kind: "prompt" } as never)).rejects.toMatchObject({
    code: "invalid_input",
  });
  await expect(kamado.wait(undefined as never)).rejects.toMatchObject({ code: "invalid_input" });
  await expect(kamado.cancel(undefined as never)).rejects.toMatchObject({ code: "invalid_input" });
});

test.each([
  [
    "AccessDenied",
    "User: … is not authorized to perform: sqs:sendmessage",
    403,
    "queue_unavailable",
    /sqs:SendMessage.*EnqueuerPolicyArn/,
  ],
  [
    "InvalidSignatureException",
    "Signature expired: 20261129T000000Z",
    403,
    "queue_unavailable",
    /this machine's clock/,
  ],
  ["QueueDoesNotExist", "The specified queue does not exist.", 400, "queue_unavailable", /queueUrl.*account/],
  ["ThrottlingException", "Rate exceeded", 400, "queue_unavailable", /enqueueMany/],
  ["ENOTFOUND", "getaddrinfo ENOTFOUND sqs", undefined, "queue_unavailable", /VPC/],
  [
    "CredentialsProviderError",
    "Could not load credentials from any providers",
    undefined,
    "queue_unavailable",
    /role/,
  ],
  ["Error", "Region is missing", undefined, "config_invalid", /AWS_REGION/],
])("of a queue that refuses is said what a sender can do: %s", async (name, message, status, code, hint) => {
  const kamado = clientOf(awsError(name, message, status));
  const refused = { code, hint: expect.stringMatching(hint) };
  await expect(kamado.enqueue("prompt", { prompt: "x" })).rejects.toMatchObject(refused);
  expect(await kamado.enqueueMany([{ kind: "prompt", input: {} }])).toMatchObject([
    { ok: false, error: refused },
  ]);
});

test.each([
  [
    "PermanentRedirect",
    "The bucket must be addressed using the specified endpoint.",
    301,
    "config_invalid",
    /region of the bucket/,
  ],
  ["Error", "Region is missing", undefined, "config_invalid", /AWS_REGION/],
  ["NoSuchBucket", "The specified bucket does not exist", 404, "storage_unavailable", /bucket's name/],
  ["InvalidAccessKeyId", "The key does not exist", 403, "storage_unavailable", /as whom it is sent/],
])("waiting ends at once with what it would not change: %s", async (name, message, status, code, hint) => {
  const polls = vi.fn();
  const waiting = clientOf(awsError(name, message, status)).wait("a", { onPoll: polls });
  await expect(waiting).rejects.toMatchObject({ code, hint: expect.stringMatching(hint) });
  expect(polls).not.toHaveBeenCalled();
});
