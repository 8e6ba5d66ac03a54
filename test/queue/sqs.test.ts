// What the SQS adapter does with answers that no emulator gives: refusals, silence, batches that fail in part.
import { createHash } from "node:crypto";
import { describe, expect, onTestFinished, test } from "vitest";
import { type AwsConfig, makeAwsClients } from "../../worker/aws/clients.ts";
import type { Queue } from "../../worker/queue/queue.ts";
import { callTimeoutMs, isLost, sqsQueue, toMessage } from "../../worker/queue/sqs.ts";
import { blackHole, sqsServer } from "../fakes/aws-server.ts";

/** For a server that is silent. One that answers gets long, because the machine may be busy. */
const SHORT_MS = 200;
const LONG_MS = 20_000;
const KEYS = { region: "us-east-1", credentials: { accessKeyId: "a", secretAccessKey: "b" } };

function queueAt(endpoint: string, { ms = LONG_MS, config = KEYS as AwsConfig } = {}) {
  const limits = { connectionTimeout: ms, requestTimeout: ms, socketTimeout: ms };
  const clients = makeAwsClients({ endpoint, ...config }, limits);
  onTestFinished(() => clients.destroy());
  return sqsQueue(clients.sqs, `${endpoint}/000000000000/q`, { call: ms, poll: ms });
}

const receive = (queue: ReturnType<typeof queueAt>) =>
  queue.receive({ max: 10, waitSeconds: 0, visibilitySeconds: 30 });

const message = (body: string, rest: object = {}) => ({
  MessageId: "id",
  ReceiptHandle: "r",
  Body: body,
  MD5OfBody: createHash("md5").update(body).digest("hex"),
  ...rest,
});

test("the header that AWS adds where a Lambda is traced is asked for, and is the trace of the message", async () => {
  const asked: { MessageSystemAttributeNames?: string[] }[] = [];
  const AWSTraceHeader = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1";
  await using server = await sqsServer((_, body) => {
    asked.push(body as (typeof asked)[number]);
    return [200, { Messages: [message("{}", { Attributes: { AWSTraceHeader } })] }];
  });
  const [received] = await receive(queueAt(server.endpoint));
  expect(asked[0]!.MessageSystemAttributeNames).toContain("AWSTraceHeader");
  expect(received!.trace).toEqual({ traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" });
});

test("a right that is missing is named in what to do, also where AWS names no action", async () => {
  await using server = await sqsServer(() => [
    403,
    {
      __type: "x#AccessDenied",
      message: "Access to the resource https://sqs.us-east-1.amazonaws.com/ is denied.",
    },
  ]);
  await expect(receive(queueAt(server.endpoint))).rejects.toMatchObject({
    hint: "Grant sqs:ReceiveMessage on arn:aws:sqs:us-east-1:000000000000:q.",
    detail: { awsFailure: "credentials", missingRight: { action: "sqs:ReceiveMessage" } },
  });
});

describe("the health says why a queue cannot be reached", () => {
  test.each([
    ["InvalidClientTokenId", 403, "credentials"],
    ["ExpiredTokenException", 400, "credentials"],
    ["AccessDeniedException", 400, "credentials"],
    ["SignatureDoesNotMatch", 403, "credentials"],
    ["SomethingNewAboutKeys", 403, "credentials"],
    ["QueueDoesNotExist", 400, "missing_queue"],
    ["AWS.SimpleQueueService.NonExistentQueue", 400, "missing_queue"],
    ["ThrottlingException", 400, "throttled"],
    ["RequestThrottled", 400, "throttled"],
    ["TooManyRequests", 429, "throttled"],
    ["DiskFull", 507, "disk_full"],
    ["InternalFailure", 500, "unknown"],
  ])("%s (%i) is %s", async (type, status, health) => {
    await using server = await sqsServer(() => [
      status,
      { __type: `com.amazonaws.sqs#${type}`, message: "no" },
    ]);
    const error = { code: "queue_unavailable", detail: { awsFailure: health } };
    await expect(receive(queueAt(server.endpoint))).rejects.toMatchObject(error);
  });

  test("a wrong signature is told without the request that AWS repeats, in which a session's token is", async () => {
    const message =
      "No match.\n\nThe Canonical String for this request should have been\n'x-amz-security-token:t0k3n'";
    await using server = await sqsServer(() => [
      403,
      { __type: "com.amazonaws.sqs#SignatureDoesNotMatch", message },
    ]);
    await expect(receive(queueAt(server.endpoint))).rejects.toMatchObject({
      message: expect.stringMatching(/\(SignatureDoesNotMatch: No match\.\)$/),
    });
  });

  test("no credentials anywhere: they are missing, not refused", async () => {
    // As the SDK says it on a machine where nothing is set.
    const message = "Could not load credentials from any providers";
    const none = {
      send: () => Promise.reject(Object.assign(new Error(message), { name: "CredentialsProviderError" })),
    };
    const thrown = await receive(sqsQueue(none as never, "http://127.0.0.1:9/1/jobs")).catch(
      (error) => error,
    );
    expect(thrown).toMatchObject({ code: "queue_unavailable", detail: { awsFailure: "no_credentials" } });
    expect(thrown.message).toContain("there are no AWS credentials");
    expect(thrown.hint).toContain("AWS_ACCESS_KEY_ID");
  });

  test("no server: network", async () => {
    const server = await blackHole();
    await server[Symbol.asyncDispose]();
    const error = { code: "queue_unavailable", detail: { awsFailure: "network" } };
    await expect(receive(queueAt(server.endpoint))).rejects.toMatchObject(error);
  });

  test("a server that never answers: network, and no call hangs", async () => {
    await using server = await blackHole();
    const queue = queueAt(server.endpoint, { ms: SHORT_MS });
    const error = { code: "queue_unavailable", detail: { awsFailure: "network" } };
    await expect(receive(queue)).rejects.toMatchObject(error);
    await expect(queue.send("x")).rejects.toMatchObject(error);
    expect(await queue.extend([{ handle: "r", seconds: 1 }])).toEqual(["failed"]);
    expect(await queue.remove(["r"])).toEqual(["failed"]);
  });

  test("a queue's own smaller limit is a body that is too large", async () => {
    const text = "One or more parameters are invalid. Reason: Message must be shorter than 262144 bytes.";
    await using server = await sqsServer(() => [400, { __type: "InvalidParameterValue", message: text }]);
    await expect(queueAt(server.endpoint).send("x")).rejects.toMatchObject({ code: "body_too_large" });
  });
});

describe("a message that the queue will never take is the message's trouble", () => {
  test.each([
    ["InvalidMessageContents", 400, "message_rejected"],
    ["InvalidParameterValue", 400, "message_rejected"],
    ["UnsupportedOperation", 400, "message_rejected"],
    ["InternalFailure", 500, "queue_unavailable"],
    ["RequestThrottled", 400, "queue_unavailable"],
    ["AccessDeniedException", 400, "queue_unavailable"],
    ["KmsDisabled", 400, "queue_unavailable"],
  ])("%s (%i) is %s", async (type, status, code) => {
    await using server = await sqsServer(() => [
      status,
      { __type: `com.amazonaws.sqs#${type}`, message: "no" },
    ]);
    await expect(queueAt(server.endpoint).send("x")).rejects.toMatchObject({ code });
    await expect(receive(queueAt(server.endpoint))).rejects.toMatchObject({ code: "queue_unavailable" });
  });

  test.each([
    ["alone", (queue: Queue, body: string) => queue.send(body)],
    ["among many", (queue: Queue, body: string) => queue.sendAll([{ body }])],
  ])(
    "what SQS does not take inside a JSON text arrives as an escape, which means the same: %s",
    async (_, send) => {
      const bodies: unknown[] = [];
      await using server = await sqsServer((_, { MessageBody, Entries }) => {
        bodies.push(MessageBody ?? (Entries as { MessageBody: string }[])[0]!.MessageBody);
        return [500, { __type: "InternalFailure" }];
      });
      const value = { text: "\ufffe\uffff🐶\ud800" };
      await send(queueAt(server.endpoint), JSON.stringify(value)).catch(() => {});
      expect(bodies[0]).toMatch(/^[\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]*$/u);
      expect(JSON.parse(String(bodies[0]))).toEqual(value);
    },
  );
});

describe("a server may leave out fields", () => {
  test("a message without attributes counts as received once, its time unknown", async () => {
    await using server = await sqsServer(() => [200, { Messages: [message("hi")] }]);
    expect(await receive(queueAt(server.endpoint))).toEqual([
      {
        id: "id",
        queue: expect.stringMatching(/\/q$/),
        body: "hi",
        handle: "r",
        sentAt: null,
        receiveCount: 1,
        group: null,
      },
    ]);
  });

  test.each([
    ["q", { MessageGroupId: "acme" }, {}, { group: null, tenant: "acme" }],
    ["q", {}, { "kamado-tenant": "acme" }, { group: null, tenant: "acme" }],
    ["q", { MessageGroupId: "acme" }, { "kamado-tenant": "other" }, { group: null, tenant: "acme" }],
    ["q.fifo", { MessageGroupId: "order" }, {}, { group: "order", tenant: undefined }],
    ["q.fifo", { MessageGroupId: "order" }, { "kamado-tenant": "acme" }, { group: "order", tenant: "acme" }],
  ])(
    "a group is an order in a FIFO queue and a tenant in any other: %s with %j and %j",
    (queue, Attributes, own, expected) => {
      const texts = Object.entries(own as Record<string, string>);
      const MessageAttributes = Object.fromEntries(
        texts.map(([name, StringValue]) => [name, { DataType: "String", StringValue }]),
      );
      const { group, tenant } = toMessage(
        { MessageId: "m", Body: "{}", Attributes, MessageAttributes },
        `http://x/1/${queue}`,
      );
      expect({ group, tenant }).toEqual(expected);
    },
  );

  test("attributes are asked for under both of their names", async () => {
    const asked: Record<string, unknown>[] = [];
    await using server = await sqsServer((_, input) => {
      asked.push(input);
      return [200, {}];
    });
    await receive(queueAt(server.endpoint));
    expect(asked[0]!.MessageSystemAttributeNames).toContain("ApproximateReceiveCount");
    expect(asked[0]!.AttributeNames).toEqual(["All"]);
  });

  test("an entry the answer does not mention has failed", async () => {
    await using server = await sqsServer(() => [200, { Successful: [{ Id: "1" }] }]);
    expect(await queueAt(server.endpoint).remove(["a", "b", "c"])).toEqual(["failed", "ok", "failed"]);
  });

  test("a batch that fails as a whole affects no other batch", async () => {
    await using server = await sqsServer((_, input) => {
      const ids = (input.Entries as { Id: string }[]).map(({ Id }) => ({ Id }));
      return ids[0]!.Id === "10" ? [400, { __type: "Broken" }] : [200, { Successful: ids }];
    });
    const results = await queueAt(server.endpoint).remove(
      Array.from({ length: 25 }, (_, index) => `r${index}`),
    );
    expect(results).toEqual(results.map((_, index) => (index >= 10 && index < 20 ? "failed" : "ok")));
  });
});

describe("of many messages to send", () => {
  const send = async (answer: (ids: string[]) => object) => {
    await using server = await sqsServer((_, input) => {
      const entries = input.Entries as { Id: string; MessageBody: string }[];
      return [200, answer(entries.map(({ Id }) => Id))];
    });
    await queueAt(server.endpoint).sendAll([{ body: "a" }, { body: "b" }]);
  };
  const taken = (ids: string[]) => ({
    Successful: ids.map((Id, index) => ({
      Id,
      MessageId: `m${Id}`,
      MD5OfMessageBody: createHash("md5").update("ab"[index]!).digest("hex"),
    })),
  });

  test("one that the queue does not take makes the call fail with its reason", async () => {
    const refused = { Id: "1", Code: "RequestThrottled", Message: "slow down", SenderFault: false };
    await expect(send((ids) => ({ ...taken(ids.slice(0, 1)), Failed: [refused] }))).rejects.toMatchObject({
      code: "queue_unavailable",
      detail: { awsFailure: "throttled" },
    });
  });

  test("one that the queue will never take is the message's trouble", async () => {
    const refused = { Id: "1", Code: "InvalidMessageContents", Message: "no", SenderFault: true };
    await expect(send((ids) => ({ ...taken(ids.slice(0, 1)), Failed: [refused] }))).rejects.toMatchObject({
      code: "message_rejected",
    });
  });

  test("one that the answer does not mention makes the call fail", async () => {
    await expect(send((ids) => taken(ids.slice(0, 1)))).rejects.toMatchObject({ code: "queue_unavailable" });
    await expect(send(taken)).resolves.toBeUndefined();
  });
});

test.each([3, 12, 30, 120, 43_200])(
  "with a visibility of %i s a renewal that hangs, and its repetition, leave time for another try",
  (seconds) => expect(2 * callTimeoutMs(seconds)).toBeLessThan(seconds * 1_000),
);

test("a frozen config is accepted", async () => {
  await using server = await sqsServer(() => [200, {}]);
  const config = Object.freeze({ ...KEYS, credentials: Object.freeze({ ...KEYS.credentials }) });
  expect(await receive(queueAt(server.endpoint, { config }))).toEqual([]);
});

// The texts are AWS's own, and the emulators'.
describe("a lost lease is distinguished from a failed call", () => {
  test.each([
    ["ReceiptHandleIsInvalid", 'The input receipt handle "x" is not a valid receipt handle.', true],
    ["MessageNotInflight", undefined, true],
    ["AWS.SimpleQueueService.MessageNotInflight", "", true],
    [
      "InvalidParameterValue",
      "Value x for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.",
      true,
    ],
    [
      "InvalidParameterValue",
      "Value x for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.",
      true,
    ],
    [
      "InvalidParameterValue",
      "Value 43200 for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].",
      false,
    ],
    ["InternalError", "We encountered an internal error. Please try again.", false],
    ["RequestThrottled", undefined, false],
    [undefined, undefined, false],
  ])("%s: %s", (code, text, lost) => expect(isLost(code, text)).toBe(lost));
});

test("a message that was dead-lettered and sent back has its former id; an invalid one is ignored", async () => {
  const attributed = (id: string) =>
    message("{}", { MessageAttributes: { "kamado-message": { DataType: "String", StringValue: id } } });
  await using server = await sqsServer((_, { MessageAttributeNames }) => [
    200,
    { Messages: MessageAttributeNames ? ["original", "/../x"].map(attributed) : [] },
  ]);
  const [kept, other] = await receive(queueAt(server.endpoint));
  expect([kept!.id, other!.id]).toEqual(["original", "id"]);
});

test("a CloudEvent in binary mode whose attributes are bytes arrives as the event that it is", async () => {
  const bytes = (text: string) => ({ DataType: "Binary", BinaryValue: Buffer.from(text).toString("base64") });
  const MessageAttributes = {
    ce_specversion: bytes("1.0"),
    ce_type: { DataType: "String", StringValue: "prompt" },
    ce_source: bytes("/お店"),
  };
  const sent = { Messages: [message('{"prompt":"Hello"}', { MessageAttributes })] };
  await using server = await sqsServer(() => [200, sent]);
  const [received] = await receive(queueAt(server.endpoint));
  const event = { specversion: "1.0", type: "prompt", source: "/お店", data: { prompt: "Hello" } };
  expect(JSON.parse(received!.body)).toEqual(event);
});
