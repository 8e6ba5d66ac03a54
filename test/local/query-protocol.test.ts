// The older protocol of SQS at the embedded AWS, with requests as the programs that speak it were seen to send them.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import { ReceiveMessageCommand, SendMessageCommand } from "@aws-sdk/client-sqs";
import { describe, expect, onTestFinished, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";

const FORM = "application/x-www-form-urlencoded";
const SIGNED = {
  authorization:
    "AWS4-HMAC-SHA256 Credential=test/20261129/eu-west-1/sqs/aws4_request, SignedHeaders=host;x-amz-date, Signature=0",
};
const PATH = "/000000000000/kamado-jobs";

async function start(): Promise<LocalAws> {
  const aws = await startLocalAws({ port: 0 });
  onTestFinished(() => aws.stop());
  return aws;
}

async function ask(aws: LocalAws, path: string, init: RequestInit = {}) {
  const response = await fetch(`${aws.endpoint}${path}`, init);
  return { status: response.status, type: response.headers.get("content-type"), text: await response.text() };
}

const post = (aws: LocalAws, path: string, form: Record<string, string>) =>
  ask(aws, path, {
    method: "POST",
    headers: { "content-type": `${FORM}; charset=utf-8` },
    body: new URLSearchParams(form),
  });

/** A form of the action about the queue of jobs. */
const call = (aws: LocalAws, Action: string, form: Record<string, string> = {}) =>
  post(aws, "/", { Action, Version: "2012-11-05", QueueUrl: aws.resources.jobsQueueUrl, ...form });

async function received(aws: LocalAws) {
  const { sqs } = clientsOf(aws);
  const command = new ReceiveMessageCommand({
    QueueUrl: aws.resources.jobsQueueUrl,
    MaxNumberOfMessages: 10,
    MessageAttributeNames: ["All"],
    WaitTimeSeconds: 0,
  });
  return (await sqs.send(command)).Messages ?? [];
}

function clientsOf(aws: LocalAws) {
  const clients = makeAwsClients(aws);
  onTestFinished(() => clients.destroy());
  return clients;
}

const fieldOf = (text: string, name: string) => new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1];

describe("a message that is sent as a form arrives, or its sender gets an error", () => {
  const body = '{"kind":"prompt","note":"a\r\nb <&> 日本語 😀"}';
  const encoded = encodeURIComponent(body);

  test.for([
    [
      "boto3 1.26 and the AWS CLI v1: at the root",
      "POST",
      "/",
      { "content-type": `${FORM}; charset=utf-8` },
      `Action=SendMessage&Version=2012-11-05&QueueUrl=http%3A%2F%2F127.0.0.1%3A4566%2F000000000000%2Fkamado-jobs&MessageBody=${encoded}`,
    ],
    [
      "PHP: at the queue's own address",
      "POST",
      PATH,
      { "content-type": FORM },
      `Action=SendMessage&Version=2012-11-05&MessageBody=${encoded}`,
    ],
    [
      "with a slash behind it",
      "POST",
      `${PATH}/`,
      { "content-type": FORM },
      `Action=SendMessage&MessageBody=${encoded}`,
    ],
    [
      "without a content type",
      "POST",
      PATH,
      { "content-type": "" },
      `Action=SendMessage&MessageBody=${encoded}`,
    ],
    [
      "n8n: a signed GET",
      "GET",
      `${PATH}?Version=2012-11-05&Action=SendMessage&MessageBody=${encoded}`,
      SIGNED,
      undefined,
    ],
    [
      "a POST with everything in its address",
      "POST",
      `${PATH}?Action=SendMessage&MessageBody=${encoded}`,
      {},
      undefined,
    ],
    [
      "the newer protocol, at the queue's own address",
      "POST",
      PATH,
      { "content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.SendMessage" },
      JSON.stringify({ MessageBody: body }),
    ],
  ] as const)("%s", async ([, method, path, headers, form]) => {
    const aws = await start();
    const { status, text } = await ask(aws, path, { method, headers, body: form ?? null });
    expect(status, text).toBe(200);
    const [message] = await received(aws);
    expect(message?.Body).toBe(body);
    expect(text).toContain(message!.MessageId);
    expect(text).toContain(message!.MD5OfBody);
  });

  test("a job posted to the queue's address as to a web hook is answered with what to do", async () => {
    const aws = await start();
    const headers = { "content-type": "application/json" };
    const { status, text } = await ask(aws, PATH, { method: "POST", headers, body });
    expect([status, fieldOf(text, "Message")]).toEqual([400, expect.stringContaining("Action=SendMessage")]);
    expect(await received(aws)).toEqual([]);
  });

  test.for([
    ["no queue", "/", "Action=SendMessage&Version=2012-11-05&MessageBody=x", "InvalidParameterValue"],
    [
      "a queue that is not there",
      "/000000000000/nobody",
      "Action=SendMessage&MessageBody=x",
      "AWS.SimpleQueueService.NonExistentQueue",
    ],
    ["no action", PATH, "MessageBody=x", "MissingAction"],
    ["no action at the root", "/", "Version=2012-11-05&MessageBody=x", "MissingAction"],
    ["an action in other letters", "/", "action=SendMessage&MessageBody=x", "MissingAction"],
    ["an action that it does not know", PATH, "Action=AddPermission&Label=x", "InvalidAction"],
    ["no body", PATH, "Action=SendMessage", "MissingParameter"],
    [
      "a number that is none",
      PATH,
      "Action=SendMessage&MessageBody=x&DelaySeconds=soon",
      "InvalidParameterValue",
    ],
    ["JSON where a form is expected", PATH, '{"MessageBody":"x"}', "MissingAction"],
  ])("%s", async ([, path, form, code]) => {
    const aws = await start();
    const { status, text } = await ask(aws, path!, {
      method: "POST",
      headers: { "content-type": FORM },
      body: form!,
    });
    expect([status, fieldOf(text, "Code"), fieldOf(text, "Type")]).toEqual([400, code, "Sender"]);
    expect(await received(aws)).toEqual([]);
  });

  test("a GET that is not signed sends nothing: any page in the browser can make one", async () => {
    const aws = await start();
    for (const path of [PATH, "/"]) {
      const query = new URLSearchParams({
        Action: "SendMessage",
        MessageBody: "x",
        QueueUrl: aws.resources.jobsQueueUrl,
      });
      expect((await ask(aws, `${path}?${query}`)).status).toBe(403);
    }
    expect(await received(aws)).toEqual([]);
  });
});

describe("every action gives what the older SDKs read", () => {
  test("attributes of a message are sent and received, with their digest", async () => {
    const aws = await start();
    const attribute = (number: number, name: string, type: string, field: string, value: string) => ({
      [`MessageAttribute.${number}.Name`]: name,
      [`MessageAttribute.${number}.Value.DataType`]: type,
      [`MessageAttribute.${number}.Value.${field}`]: value,
    });
    const sent = await call(aws, "SendMessage", {
      MessageBody: "x",
      DelaySeconds: "0",
      ...attribute(2, "b", "Binary", "BinaryValue", "AAH/"),
      ...attribute(1, "a<", "String", "StringValue", "é & ü"),
    });
    const { text } = await call(aws, "ReceiveMessage", {
      "MessageAttributeName.1": "All",
      "AttributeName.1": "ApproximateReceiveCount",
      MaxNumberOfMessages: "10",
      VisibilityTimeout: "0",
    });
    expect(text).toContain(
      "<MessageAttribute><Name>a&lt;</Name><Value><DataType>String</DataType><StringValue>é &amp; ü</StringValue></Value></MessageAttribute>",
    );
    expect(text).toContain("<DataType>Binary</DataType><BinaryValue>AAH/</BinaryValue>");
    expect(text).toContain("<Attribute><Name>ApproximateReceiveCount</Name><Value>1</Value></Attribute>");
    expect(fieldOf(text, "MD5OfMessageAttributes")).toBe(fieldOf(sent.text, "MD5OfMessageAttributes"));
    const [message] = await received(aws);
    expect(message?.MessageAttributes).toEqual({
      "a<": { DataType: "String", StringValue: "é & ü" },
      b: { DataType: "Binary", BinaryValue: new Uint8Array([0, 1, 255]) },
    });
  });

  test("a batch of ten keeps its order and tells which entries failed", async () => {
    const aws = await start();
    const entries = Array.from({ length: 10 }, (_, index) => [
      [`SendMessageBatchRequestEntry.${index + 1}.Id`, `id${index}`],
      [`SendMessageBatchRequestEntry.${index + 1}.MessageBody`, index === 3 ? "\u0001" : `m${index}`],
    ]);
    const { text } = await call(aws, "SendMessageBatch", Object.fromEntries(entries.flat()));
    expect(text.match(/<SendMessageBatchResultEntry>/g)).toHaveLength(9);
    expect(text).toMatch(
      /<BatchResultErrorEntry><Id>id3<\/Id><SenderFault>true<\/SenderFault><Code>InvalidMessageContents/,
    );
    expect((await received(aws)).map(({ Body }) => Body)).toEqual([
      "m0",
      "m1",
      "m2",
      "m4",
      "m5",
      "m6",
      "m7",
      "m8",
      "m9",
    ]);
  });

  test("a message is given back, hidden for longer and deleted", async () => {
    const aws = await start();
    await clientsOf(aws).sqs.send(
      new SendMessageCommand({ QueueUrl: aws.resources.jobsQueueUrl, MessageBody: "x" }),
    );
    const receive = async () => fieldOf((await call(aws, "ReceiveMessage")).text, "ReceiptHandle");
    const first = (await receive())!;
    const given = await call(aws, "ChangeMessageVisibility", {
      ReceiptHandle: first,
      VisibilityTimeout: "0",
    });
    expect(given.text).toMatch(/^<\?xml[^>]*\?><ChangeMessageVisibilityResponse [^>]*><ResponseMetadata>/);
    const second = (await receive())!;
    const changed = await call(aws, "ChangeMessageVisibilityBatch", {
      "ChangeMessageVisibilityBatchRequestEntry.1.Id": "a",
      "ChangeMessageVisibilityBatchRequestEntry.1.ReceiptHandle": second,
      "ChangeMessageVisibilityBatchRequestEntry.1.VisibilityTimeout": "60",
    });
    expect(changed.text).toContain("<ChangeMessageVisibilityBatchResultEntry><Id>a</Id>");
    const deleted = await call(aws, "DeleteMessageBatch", {
      "DeleteMessageBatchRequestEntry.1.Id": "a",
      "DeleteMessageBatchRequestEntry.1.ReceiptHandle": second,
    });
    expect(deleted.text).toContain("<DeleteMessageBatchResultEntry><Id>a</Id>");
    expect((await call(aws, "ReceiveMessage")).text).toContain(
      "<ReceiveMessageResult></ReceiveMessageResult>",
    );
    expect((await call(aws, "DeleteMessage", { ReceiptHandle: second })).status).toBe(200);
  });

  test("a queue is created, found, listed, changed, tagged, purged and deleted", async () => {
    const aws = await start();
    const created = await call(aws, "CreateQueue", {
      QueueName: "other",
      "Attribute.1.Name": "VisibilityTimeout",
      "Attribute.1.Value": "33",
      "Tag.1.Key": "team",
      "Tag.1.Value": "a",
    });
    const QueueUrl = fieldOf(created.text, "QueueUrl")!;
    expect(fieldOf((await call(aws, "GetQueueUrl", { QueueName: "other" })).text, "QueueUrl")).toBe(QueueUrl);
    expect((await call(aws, "ListQueues", { QueueNamePrefix: "oth" })).text).toContain(
      `<QueueUrl>${QueueUrl}</QueueUrl>`,
    );
    const visibility = async () =>
      (await call(aws, "GetQueueAttributes", { QueueUrl, "AttributeName.1": "VisibilityTimeout" })).text;
    expect(await visibility()).toContain(
      "<Attribute><Name>VisibilityTimeout</Name><Value>33</Value></Attribute>",
    );
    await call(aws, "SetQueueAttributes", {
      QueueUrl,
      "Attribute.1.Name": "VisibilityTimeout",
      "Attribute.1.Value": "44",
    });
    expect(await visibility()).toContain("<Value>44</Value>");
    await call(aws, "TagQueue", { QueueUrl, "Tag.1.Key": "b", "Tag.1.Value": "c" });
    await call(aws, "UntagQueue", { QueueUrl, "TagKey.1": "team" });
    const tags = await call(aws, "ListQueueTags", { QueueUrl });
    expect(tags.text).toContain(
      "<ListQueueTagsResult><Tag><Key>b</Key><Value>c</Value></Tag></ListQueueTagsResult>",
    );
    expect((await call(aws, "PurgeQueue", { QueueUrl })).status).toBe(200);
    expect((await call(aws, "DeleteQueue", { QueueUrl })).status).toBe(200);
    expect(fieldOf((await call(aws, "GetQueueUrl", { QueueName: "other" })).text, "Code")).toBe(
      "AWS.SimpleQueueService.NonExistentQueue",
    );
  });

  test("topics and identities at the same address are not disturbed", async () => {
    const aws = await start();
    expect((await post(aws, "/", { Action: "ListTopics", Version: "2010-03-31" })).text).toContain(
      "kamado-results",
    );
    const { text } = await post(aws, "/", { Action: "GetCallerIdentity", Version: "2011-06-15" });
    expect(text).toContain("<Account>000000000000</Account>");
  });
});

test("a receive that was given up takes no message", async () => {
  const aws = await start();
  const gone = new AbortController();
  const form = { Action: "ReceiveMessage", Version: "2012-11-05", WaitTimeSeconds: "20" };
  const poll = ask(aws, PATH, { method: "POST", body: new URLSearchParams(form), signal: gone.signal });
  // A round trip on another connection: then the poll has arrived. Another one: then its end has arrived.
  await call(aws, "ListQueues");
  gone.abort();
  await expect(poll).rejects.toThrow();
  await call(aws, "ListQueues");
  await call(aws, "SendMessage", { MessageBody: "for who is left" });
  const { text } = await call(aws, "ReceiveMessage", { WaitTimeSeconds: "5" });
  expect(fieldOf(text, "Body")).toBe("for who is left");
});

test("names that every object of JavaScript has are ordinary fields", async () => {
  const aws = await start();
  const names = { "__proto__.x": "1", constructor: "2", "toString.1": "3", "Attribute.__proto__": "4" };
  expect((await call(aws, "SendMessage", { MessageBody: "x", ...names })).status).toBe(200);
});

// A whole exchange with an SDK of that time, where somebody has installed one: KAMADO_TEST_OLD_BOTO3 names its Python.
const python = process.env.KAMADO_TEST_OLD_BOTO3;
const isThere = python !== undefined && existsSync(python);
test.skipIf(!isThere)(
  `boto3 before 1.28 works unchanged${isThere ? "" : " (KAMADO_TEST_OLD_BOTO3 names no Python that has it)"}`,
  async () => {
    const aws = await start();
    const script = `
import boto3, sys
sqs = boto3.client('sqs', endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='test', aws_secret_access_key='test')
assert sqs.meta.service_model.metadata['protocol'] == 'query'
url = sqs.get_queue_url(QueueName='kamado-jobs')['QueueUrl']
sqs.send_message(QueueUrl=url, MessageBody='a\\r\\nb', MessageAttributes={'x': {'DataType': 'Binary', 'BinaryValue': b'\\0\\xff'}})
message, = sqs.receive_message(QueueUrl=url, MessageAttributeNames=['All'])['Messages']
assert message['Body'] == 'a\\r\\nb' and message['MessageAttributes']['x']['BinaryValue'] == b'\\0\\xff', message
sqs.delete_message(QueueUrl=url, ReceiptHandle=message['ReceiptHandle'])
try: sqs.get_queue_url(QueueName='none')
except sqs.exceptions.QueueDoesNotExist: print('done')
`;
    // The server answers in this process, so the event loop must stay free: the script runs beside it.
    const { stdout } = await promisify(execFile)(python!, ["-c", script, aws.endpoint]);
    expect(stdout.trim()).toBe("done");
  },
);
