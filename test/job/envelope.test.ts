import { deflateSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { parseBody } from "../../worker/job/envelope.ts";
import type { ObjectRule } from "../../worker/job/object-rules.ts";
import fc from "../properties.ts";

const MESSAGE_ID = "5fea7756-0ea4-451a-a703-a558b933e274";
const rules: ObjectRule[] = [
  { prefix: "in/", kind: "prompt", input: { prompt: "?" } },
  {
    prefix: "in/doors/",
    suffix: ".jpg",
    kind: "image.check",
    input: { image: "$object", question: "Is it locked?" },
    policy: { priority: 7 },
  },
];
const parse = (body: unknown) =>
  parseBody(typeof body === "string" ? body : JSON.stringify(body), { messageId: MESSAGE_ID, rules });
const parseWithin = (budgets: { destinations: number; records: number }, body: object) =>
  parseBody(JSON.stringify(body), { messageId: MESSAGE_ID, rules, budgets });
const jobOf = (body: unknown) => {
  const parsed = parse(body);
  if (parsed.is !== "job") throw new Error(`expected a job, got ${JSON.stringify(parsed)}`);
  return parsed.job;
};
const errorOf = (body: unknown) => {
  const parsed = parse(body);
  if (parsed.is !== "malformed") throw new Error(`expected malformed, got ${JSON.stringify(parsed)}`);
  return parsed.error;
};

const plain = { kind: "prompt", input: { prompt: "Hello" } };

describe("JSON as others write it is read", () => {
  const text = JSON.stringify(plain);
  test.each([
    ["after a byte order mark", `\ufeff${text}`],
    ["before a NUL and a line end", `${text}\0\r\n`],
    ["as a JSON string", JSON.stringify(text)],
    ["as a JSON string after a byte order mark", `\ufeff${JSON.stringify(`\ufeff${text}`)}`],
    ["in base64", Buffer.from(text).toString("base64")],
    ["in base64 for URLs, without padding", Buffer.from(text).toString("base64url")],
    ["in base64 with line ends", `${Buffer.from(text).toString("base64").replaceAll(/.{20}/g, "$&\r\n")}\n`],
    ["in base64 of UTF-16, as PowerShell encodes it", Buffer.from(text, "utf16le").toString("base64")],
    ["in base64 of gzip", gzipSync(text).toString("base64")],
    ["in base64 of zlib", deflateSync(text).toString("base64")],
    ["in base64 as a JSON string", JSON.stringify(Buffer.from(text).toString("base64"))],
    ["behind the name of its class, as Java's Jackson writes it", `["com.example.Job",${text}]`],
    ["as Celery's kombu sends it", kombu(text)],
    ["as kombu sends it, in base64", Buffer.from(kombu(text)).toString("base64")],
    ["in an SNS notification, after a byte order mark", notification(`\ufeff${text}`)],
  ])("%s", (_, body) => {
    expect(jobOf(body)).toMatchObject(plain);
  });

  test.each([
    ["null for every field that may be absent", { id: null, deliver: null, policy: null, source: null }],
    [
      "null in the policy",
      { policy: { expiresAt: null, timeoutSeconds: null, priority: null, model: null, tenant: null } },
    ],
    ["null for a field that there is not", { traceparent: null }],
    ["an id as a number", { id: 42 }, { id: "42" }],
    ["an id of 2^53", '{"id":9007199254740992,"kind":"prompt","input":{}}', { id: "9007199254740992" }],
    ["an empty id, as Go writes one that is not set", { id: "" }, { id: MESSAGE_ID }],
    ["an id above 2^53", '{"id":9007199254740993,"kind":"prompt","input":{}}', { id: "9007199254740993" }],
    ["destinations as a string", { deliver: '[{"sns":"arn:x"}]' }, { deliver: [{ sns: "arn:x" }] }],
    ["one destination for a list of one", { deliver: { sns: "arn:x" } }, { deliver: [{ sns: "arn:x" }] }],
    ["one as a string", { deliver: '{"sns":"arn:x"}' }, { deliver: [{ sns: "arn:x" }] }],
    [
      "destinations as PHP writes them",
      { deliver: { "1": { sns: "arn:x" } }, policy: [] },
      { deliver: [{ sns: "arn:x" }] },
    ],
    [
      "a destination with all fields",
      { deliver: [{ sns: null, callback: "https://x.y", rest: null, sqs: null }] },
      { deliver: [{ callback: "https://x.y" }] },
    ],
    [
      "a destination with all fields, as Go writes those that are not set",
      { deliver: [{ sns: "", callback: "https://x.y", rest: "", sqs: "" }] },
      { deliver: [{ callback: "https://x.y" }] },
    ],
    ["empty strings for structures", { deliver: "", policy: "", source: "" }],
    [
      "a policy of Go's zero values",
      {
        policy: { expiresAt: "0001-01-01T00:00:00Z", timeoutSeconds: 0, model: "", tenant: "", priority: 7 },
      },
      { policy: { priority: 7 } },
    ],
    ["an expiry that is an empty string", { policy: { expiresAt: "" } }],
    ["a topic by its ARN alone", { deliver: "arn:aws:sns:us-east-1:0:x" }, topic()],
    ["topics by their ARNs", { deliver: ["arn:aws:sns:us-east-1:0:x"] }, topic()],
    ["a policy as a string", { policy: '{"priority":"7"}' }, { policy: { priority: 7 } }],
  ])("with %s", (_, fields, job?: object) => {
    const body = typeof fields === "string" ? fields : { ...plain, ...fields };
    expect(jobOf(body)).toMatchObject({ kind: "prompt", deliver: [], policy: {}, ...job });
  });

  test.each([
    ["an address", "https://example.org/done"],
    ["a list of addresses", ["https://example.org/done"]],
    ["a queue's ARN", "arn:aws:sqs:us-east-1:000000000000:done"],
    ["an empty string in a list", [""]],
  ])("deliver as %s says not what is to happen there: refused with the forms that do", (_, deliver) => {
    const { code, message } = errorOf({ ...plain, deliver });
    expect(code).toBe("invalid_envelope");
    for (const form of ["callback", "rest", "sqs", "sns"]) expect(message).toContain(`{"${form}": "`);
  });

  test("half of a UTF-16 pair in the input is U+FFFD, in names and values; an id with one is refused", () => {
    const cut = "milk \ud83d";
    const body = JSON.stringify({ ...plain, input: { prompt: cut, [cut]: [cut, "\\ud83d", "🥛"] } });
    expect(jobOf(body).input).toEqual({
      prompt: "milk \ufffd",
      "milk \ufffd": ["milk \ufffd", "\\ud83d", "🥛"],
    });
    for (const fields of [{ id: "a\ud83d" }, { policy: { model: "a\ud83d" } }])
      expect(errorOf({ ...plain, ...fields }).code).toBe("invalid_envelope");
  });

  test.each([
    ["Python's NaN", '{"kind":"prompt","input":{"x":NaN}}', "NaN"],
    ["Python's repr", "{'kind': 'prompt', 'input': {}}", "json.dumps"],
    ["Python's None", '{"kind":"prompt","input":None}', "None"],
    ["a comma too many", '{"kind":"prompt","input":{},}', "comma"],
    ["a comment", '{"kind":"prompt" /* x */}', "comment"],
    ["a literal of JavaScript", '{kind:"prompt"}', "names without quotes"],
    ["XML", "<job><kind>prompt</kind></job>", "XML"],
    ["a form", "kind=prompt&prompt=Hello", "form fields"],
    ["percent-encoding", encodeURIComponent('{"kind":"prompt"}'), "percent-encoding"],
    ["Markdown", '```json\n{"kind":"prompt"}\n```', "code fence"],
    ["a word processor's quotes", "{“kind”: “prompt”}", "curly quotes"],
  ])("%s is refused with what is wrong, and nothing of the text is repeated", (_, body, words) => {
    const { code, message } = errorOf(body.replace("prompt", "hunter2"));
    expect([code, message.includes("hunter2")]).toEqual(["malformed_json", false]);
    expect(message).toContain(words);
  });

  test("a word of a text is not taken for what is wrong with the JSON", () => {
    expect(errorOf('{"kind":"NaN, // and None","input":}').message).not.toMatch(/NaN|comment|None/);
  });

  test("an input keeps numbers above 2^53 as their digits", () => {
    expect(jobOf('{"kind":"a","input":{"ids":[9007199254740992,9007199254740993]}}').input).toEqual({
      ids: [2 ** 53, "9007199254740993"],
    });
  });

  test.each([
    ["a JSON string that holds no JSON", JSON.stringify("hello")],
    ["base64 of something else", Buffer.from("hello world, how are you?").toString("base64")],
    ["strings in strings without end", [1, 2, 3, 4, 5].reduce((inner) => JSON.stringify(inner), text)],
    ["an id that is a fraction", { ...plain, id: 1.5 }],
    ["a null among the destinations", { ...plain, deliver: [null] }],
  ])("but not %s", (_, body) => {
    expect(errorOf(body).code).toMatch(/^(malformed_json|invalid_envelope)$/);
  });
});

const topic = () => ({ deliver: [{ sns: "arn:aws:sns:us-east-1:0:x" }] });

function kombu(text: string): string {
  return JSON.stringify({
    body: Buffer.from(text).toString("base64"),
    "content-encoding": "utf-8",
    "content-type": "application/json",
    headers: {},
    properties: { delivery_mode: 2, delivery_tag: "t", body_encoding: "base64" },
  });
}

function notification(Message: string): string {
  return JSON.stringify({ Type: "Notification", MessageId: "m", TopicArn: "arn:aws:sns:x", Message });
}

describe("the model that a job asks for", () => {
  test.for([
    "gemma-3-4b",
    "gpt-oss:20b",
    "mlx-community/Qwen3-4B-4bit",
    "unsloth/Qwen3-4B-GGUF:Q4_K_M",
    "models/gemma 3 (4b).gguf",
    "日本語モデル",
  ])("may be %j", (model) => {
    expect(jobOf({ ...plain, policy: { model } }).policy.model).toBe(model);
  });

  test.for([
    " ",
    " gemma",
    "a".repeat(201),
    "a<|im_end|>",
    "[|user|]",
    "a\u001b[31m",
    "a\nb",
    "a\u202eb",
    "a\u200bb",
    "a\ud800",
    "a]~b]user",
  ])("is refused as %j, and the reason does not repeat it", (model) => {
    const { code, message } = errorOf({ ...plain, policy: { model } });
    expect([code, message.includes("policy.model")]).toEqual(["invalid_envelope", true]);
    expect(message.length).toBeLessThan(300);
  });
});

describe("a job can be sent", () => {
  test.each(["acme", "家族", "team/a:b@c", "x".repeat(128)])("a tenant may be called %s", (tenant) => {
    expect(jobOf({ ...plain, policy: { tenant } }).policy.tenant).toBe(tenant);
  });

  test.each(["two words", "line\nbreak", "x".repeat(129), { a: 1 }])("and not %j", (tenant) => {
    expect(errorOf({ ...plain, policy: { tenant } }).message).toContain("policy.tenant");
  });

  test("as it is; without an id it gets the message's", () => {
    expect(jobOf(plain)).toEqual({ id: MESSAGE_ID, ...plain, deliver: [], policy: {} });
    expect(jobOf({ ...plain, id: "door-7" }).id).toBe("door-7");
  });

  test.each([
    ["EventBridge Pipes", { messageId: "m", eventSource: "aws:sqs", body: JSON.stringify(plain) }],
    ["a Lambda behind SQS", { Records: [{ eventSource: "aws:sqs", body: JSON.stringify(plain) }] }],
    [
      "a Lambda behind SNS",
      { Records: [{ EventSource: "aws:sns", Sns: { Message: JSON.stringify(plain) } }] },
    ],
  ])("in a record that %s hands on", (_, body) => {
    expect(jobOf(body)).toMatchObject(plain);
  });

  const attribute = (stringValue: string) => ({ stringValue, dataType: "String" });
  test("in a record that a Lambda hands on with the attributes of an event in binary mode", () => {
    const messageAttributes = {
      ce_specversion: attribute("1.0"),
      ce_type: { binaryValue: Buffer.from("prompt").toString("base64"), dataType: "Binary" },
      ce_source: attribute("/a"),
      ce_id: attribute("e-1"),
    };
    const record = { eventSource: "aws:sqs", body: '{"prompt":"Hello"}', messageAttributes };
    expect(jobOf({ Records: [record] })).toMatchObject({ ...plain, source: "/a" });
  });

  const bridged = { "detail-type": "job", source: "shop", id: "1" };
  test.each([
    ["as an object", { ...bridged, detail: plain }],
    ["as a string of JSON", { ...bridged, detail: JSON.stringify(plain) }],
    ["as a CloudEvent", { ...bridged, detail: { specversion: "1.0", type: "prompt", data: plain.input } }],
    ["in what a Lambda returned", { ...bridged, detail: returned(plain) }],
  ])("in the detail of an event of EventBridge, %s", (_, body) => {
    expect(jobOf(body)).toMatchObject(plain);
  });

  test.each([
    ["as an object", plain],
    ["as a string of JSON", JSON.stringify(plain)],
  ])("as what a Lambda returned to its destination, %s", (_, value) => {
    expect(jobOf(returned(value))).toMatchObject(plain);
  });

  test.each([
    ["detail", { ...bridged, detail: "hello" }],
    ["detail", { ...bridged, detail: { order: 5 } }],
    ["responsePayload", returned({ errorMessage: "boom" })],
  ])("but an event that holds none is refused with where it looked: %s", (part, body) => {
    expect(errorOf(body)).toMatchObject({ code: "invalid_envelope", message: expect.stringContaining(part) });
  });

  test("inside an SNS notification", () => {
    expect(
      jobOf({
        Type: "Notification",
        MessageId: "m",
        TopicArn: "arn:aws:sns:x",
        Message: JSON.stringify(plain),
      }).input,
    ).toEqual(plain.input);
  });

  test("as a structured CloudEvent", () => {
    const job = jobOf({
      specversion: "1.0",
      type: "prompt",
      source: "/cron",
      id: "e-1",
      data: { prompt: "Hello" },
      policy: { priority: 9 },
    });
    expect(job).toMatchObject({
      id: expect.stringMatching(/^e-1\./),
      kind: "prompt",
      input: { prompt: "Hello" },
      policy: { priority: 9 },
    });
  });

  test("as a CloudEvent with binary data", () => {
    const data_base64 = Buffer.from('{"prompt":"Hello"}').toString("base64");
    expect(jobOf({ specversion: "1.0", type: "prompt", source: "/", id: "e-2", data_base64 }).input).toEqual({
      prompt: "Hello",
    });
  });

  test("as an S3 event: the rule with the longest prefix makes the job", () => {
    const record = {
      eventSource: "aws:s3",
      s3: { bucket: { name: "kamado" }, object: { key: "in/doors/front+door%C3%BC.jpg" } },
    };
    expect(jobOf({ Records: [record] })).toMatchObject({
      id: MESSAGE_ID,
      kind: "image.check",
      input: { image: "s3://kamado/in/doors/front doorü.jpg" },
      policy: { priority: 7 },
    });
  });

  test("as an S3 event inside an SNS notification", () => {
    const Message = JSON.stringify({
      Records: [{ s3: { bucket: { name: "kamado" }, object: { key: "in/x.txt" } } }],
    });
    expect(jobOf({ Type: "Notification", Message }).kind).toBe("prompt");
  });

  test.each([
    ["a list with a class", ["software.amazon.payloadoffloading.PayloadS3Pointer", pointed()]],
    ["a list with the class of older versions", ["com.amazon.sqs.javamessaging.MessageS3Pointer", pointed()]],
    ["an object", pointed()],
    ["an object with .NET's names", { S3BucketName: "kamado", S3Key: "in/big.json" }],
    ["a list in a list's string", JSON.stringify(JSON.stringify(["x", pointed()]))],
    [
      "npm's sns-sqs-big-payload",
      { S3Payload: { Id: "1", Bucket: "kamado", Key: "in/big.json", Location: "https://x" } },
    ],
    [
      "Go's hefty",
      { s3_region: "eu-west-1", s3_bucket: "kamado", s3_key: "in/big.json", sqs_md5_hash_body: "0" },
    ],
    ["an SNS notification", { Type: "Notification", Message: JSON.stringify(pointed()) }],
  ])("behind a pointer as %s", (_, pointer) => {
    expect(parse(pointer)).toEqual({ is: "pointer", bucket: "kamado", key: "in/big.json" });
  });

  test("with fields that a pointer has, which make it no pointer", () => {
    expect(parse({ ...plain, ...pointed() })).toMatchObject({ is: "malformed" });
  });
});

function returned(responsePayload: unknown) {
  const requestContext = { requestId: "r", functionArn: "arn:x", condition: "Success" };
  return { version: "1.0", requestContext, requestPayload: {}, responseContext: {}, responsePayload };
}

describe("several messages in one body stand for themselves", () => {
  const other = { id: "other", kind: "image.check", input: {} };
  const inSqs = (body: unknown) => ({ eventSource: "aws:sqs", body: JSON.stringify(body) });
  const inSns = (body: unknown) => ({ EventSource: "aws:sns", Sns: { Message: JSON.stringify(body) } });
  const jobs = [
    { id: `${MESSAGE_ID}.0`, kind: "prompt" },
    { id: "other", kind: "image.check" },
  ];

  test.each([
    ["records of SQS, as a Lambda gets them", { Records: [inSqs(plain), inSqs(other)] }],
    ["records of SNS", { Records: [inSns(plain), inSns(other)] }],
    ["records of both kinds", { Records: [inSqs(plain), inSns(other)] }],
    ["records alone, as EventBridge Pipes batches them", [inSqs(plain), inSqs(other)]],
    ["jobs", [plain, other]],
    ["notifications", [plain, other].map((job) => ({ Type: "Notification", Message: JSON.stringify(job) }))],
  ])("%s", (_, body) => {
    expect(parse(body)).toMatchObject({ is: "several", jobs, refused: [], ignored: [] });
  });

  test("one of them is that job", () => {
    expect(jobOf([plain])).toMatchObject({ id: MESSAGE_ID, kind: "prompt" });
  });

  const upload = {
    Records: ["in/a", "in/b"].map((key) => ({ s3: { bucket: { name: "b" }, object: { key } } })),
  };
  test("what one of them holds is read as if it had come alone", () => {
    const parsed = parse({ Records: [inSqs(plain), inSqs(upload), inSqs({ Event: "s3:TestEvent" })] });
    expect(parsed).toMatchObject({
      jobs: [`${MESSAGE_ID}.0`, `${MESSAGE_ID}.1.0`, `${MESSAGE_ID}.1.1`].map((id) => ({ id })),
      ignored: ["S3 test event"],
    });
  });

  test("what is no job is refused alone, as the message that it would have been", () => {
    const pointer = inSqs(pointed());
    expect(parse({ Records: [inSqs(plain), inSqs("x"), pointer, 5] })).toMatchObject({
      jobs: [{ kind: "prompt" }],
      refused: [
        { id: `${MESSAGE_ID}.1`, error: { code: "invalid_envelope" } },
        { id: `${MESSAGE_ID}.2`, body: JSON.stringify({ Records: [pointer] }) },
        { id: `${MESSAGE_ID}.3`, error: { code: "invalid_envelope" } },
      ],
    });
    // Sent back, the pointer is followed.
    expect(parse({ Records: [pointer] })).toMatchObject({ is: "pointer" });
  });

  test("they count together, however they are nested", () => {
    const parsed = parseWithin({ destinations: 3, records: 4 }, [inSqs(upload), inSqs(upload), inSqs(plain)]);
    expect(parsed).toMatchObject({ is: "malformed", error: { code: "budget_exceeded" } });
  });
});

function pointed() {
  return { s3BucketName: "kamado", s3Key: "in/big.json" };
}

test("what SNS says of a subscription is no job: its request is refused with what to do, its end is ignored", () => {
  const about = (Type: string) => ({
    Type,
    TopicArn: "arn:aws:sns:x",
    Token: "t",
    SubscribeURL: "https://x.y",
    Message: "You have",
  });
  expect(errorOf(about("SubscriptionConfirmation")).message).toContain("SubscribeURL");
  expect(parse(about("UnsubscribeConfirmation"))).toMatchObject({ is: "nothing" });
});

test("S3's test event is ignored", () => {
  expect(parse({ Service: "Amazon S3", Event: "s3:TestEvent", Bucket: "kamado" })).toMatchObject({
    is: "nothing",
  });
});

describe("a body that is not a job is refused with a code and the field", () => {
  test.each([
    ["text", "not json", "malformed_json", "not JSON"],
    ["a list", "[1,2,3]", "invalid_envelope", "an array of 3"],
    ["no kind", { input: {} }, "invalid_envelope", "kind"],
    ["an id that is no file name", { ...plain, id: "../../etc" }, "invalid_envelope", "id: "],
    ["an unknown field", { ...plain, prioritaet: 3 }, "invalid_envelope", "prioritaet"],
    [
      "a destination of two kinds",
      { ...plain, deliver: [{ sns: "arn:x", callback: "https://x.y" }] },
      "invalid_envelope",
      "deliver.0",
    ],
    [
      "a date that is none",
      { ...plain, policy: { expiresAt: "tomorrow" } },
      "invalid_envelope",
      "policy.expiresAt",
    ],
    [
      "an object without a rule",
      { Records: [{ s3: { bucket: { name: "b" }, object: { key: "out/x" } } }] },
      "no_rule_for_object",
      "out/x",
    ],
    [
      "another CloudEvents version",
      { specversion: "0.2", type: "prompt" },
      "invalid_envelope",
      "specversion",
    ],
  ])("%s", (_, body, code, words) => {
    const error = errorOf(body);
    expect(error.code).toBe(code);
    expect(error.message).toContain(words);
  });

  test("the value itself is not repeated, only its shape", () => {
    expect(errorOf({ ...plain, policy: { priority: "hunter2 is my password" } }).message).not.toContain(
      "hunter2",
    );
  });

  test.each(["callback", "rest", "sqs", "sns"])("a destination's address that is too long: %s", (kind) => {
    const start = kind === "sns" ? "arn:aws:sns:" : "https://example.org/";
    const withAddress = (length: number) => ({ ...plain, deliver: [{ [kind]: start.padEnd(length, "a") }] });
    expect(jobOf(withAddress(8_000)).deliver).toHaveLength(1);
    expect(errorOf(withAddress(8_001)).message).toContain("deliver.0");
  });

  test("wrapped too deep", () => {
    const nest = (depth: number): string =>
      depth === 0
        ? JSON.stringify(plain)
        : JSON.stringify({ Type: "Notification", Message: nest(depth - 1) });
    expect(jobOf(nest(2)).kind).toBe("prompt");
    expect(errorOf(nest(6)).code).toBe("invalid_envelope");
  });
});

test("whatever the body is, parsing answers and never throws", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.jsonValue().map((value) => JSON.stringify({ Records: [value], kind: value, s3: value })),
      ),
      (body) => {
        expect(["job", "pointer", "several", "nothing", "malformed"]).toContain(parse(body).is);
      },
    ),
    { numRuns: 500 },
  );
});

describe("what one message may become", () => {
  const budgets = { destinations: 3, records: 4 };
  const deliver = (count: number) =>
    Array.from({ length: count }, () => ({ callback: "https://example.org" }));
  const event = (count: number) => ({
    Records: Array.from({ length: count }, () => ({
      s3: { bucket: { name: "b" }, object: { key: "in/x" } },
    })),
  });

  test.each([
    ["a job with more destinations than the owner allows", { ...plain, deliver: deliver(4) }, "4", "3"],
    ["an event with more records than the owner allows", event(5), "5", "4"],
    [
      "such an event in an SNS notification",
      { Type: "Notification", Message: JSON.stringify(event(5)) },
      "5",
      "4",
    ],
    [
      "such a job as a CloudEvent",
      { specversion: "1.0", id: "e", type: "prompt", deliver: deliver(4) },
      "4",
      "3",
    ],
  ])("%s is refused with both figures", (_, body, asked, most) => {
    const parsed = parseWithin(budgets, body);
    if (parsed.is !== "malformed") throw new Error(`it is ${parsed.is}`);
    expect(parsed.error.code).toBe("budget_exceeded");
    expect(parsed.error.message).toMatch(new RegExp(`needs ${asked};.* ${most}\\. KAMADO_MAX_`));
  });

  test("exactly as much as the owner allows is accepted", () => {
    expect(parseWithin(budgets, { ...plain, deliver: deliver(3) }).is).toBe("job");
    expect(parseWithin(budgets, event(4)).is).toBe("several");
  });
});
