// What the embedded AWS does not do is refused in AWS's own form: nothing is answered with success and forgotten.

import { once } from "node:events";
import { request } from "node:http";
import {
  GetBucketLocationCommand,
  GetObjectCommand,
  PutBucketNotificationConfigurationCommand,
} from "@aws-sdk/client-s3";
import { SubscribeCommand } from "@aws-sdk/client-sns";
import { describe, expect, onTestFinished, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { queueArn } from "../../worker/aws/resources.ts";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";

async function start() {
  const aws = await startLocalAws({ port: 0 });
  const clients = makeAwsClients(aws);
  onTestFinished(async () => {
    clients.destroy();
    await aws.stop();
  });
  return { aws, ...clients };
}

/** Headers exactly as given, as curl sends them: fetch would add a type. */
async function ask(
  { endpoint }: LocalAws,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body = "",
) {
  const { port, hostname } = new URL(endpoint);
  const host = headers.host?.replace("PORT", port);
  const asked = request({
    port,
    hostname,
    path,
    method,
    headers: { ...headers, ...(host && { host }), "content-length": String(Buffer.byteLength(body)) },
  });
  asked.end(body);
  const [response] = await once(asked, "response");
  return {
    status: response.statusCode as number,
    type: String(response.headers["content-type"]),
    text: (await response.toArray()).join("") as string,
  };
}

describe("an object is stored as it comes", () => {
  test.for([
    ["of no bytes and no type", {}, ""],
    ["of no bytes", { "content-type": "text/plain" }, ""],
    ["without a type", {}, "a=b"],
    ["that curl calls a form", { "content-type": "application/x-www-form-urlencoded" }, "a=b&c=%41"],
    ["that is JSON of AWS", { "content-type": "application/x-amz-json-1.0" }, "not even JSON"],
    ["with an empty type", { "content-type": "" }, "x"],
    ["with a type that is none", { "content-type": "bad type; x" }, "x"],
    [
      "in the bucket that the host names",
      { host: "kamado.localhost:PORT", "content-type": "application/x-www-form-urlencoded" },
      "v",
    ],
  ] as const)("%s", async ([, headers, body]) => {
    const { aws } = await start();
    const path = "host" in headers ? "/in/folder/" : "/kamado/in/folder/";
    expect((await ask(aws, "PUT", path, headers, body)).status).toBe(200);
    expect(await ask(aws, "GET", "/kamado/in/folder/")).toMatchObject({ status: 200, text: body });
  });
});

test.each([
  ["br", "br"],
  ["gzip,aws-chunked", "gzip"],
  ["aws-chunked, gzip", "gzip"],
  ["aws-chunked", undefined],
])("an object that is sent as %s is given back as %s", async (sent, given) => {
  const { aws, s3 } = await start();
  const isChunked = sent.includes("aws-chunked");
  const headers = { "content-encoding": sent, "content-type": "text/plain" };
  await ask(aws, "PUT", "/kamado/in/x", headers, isChunked ? "4\r\neggs\r\n0\r\n\r\n" : "eggs");
  // Another request between them: each has its own.
  await ask(aws, "PUT", "/kamado/in/y", {}, "plain");
  const { ContentEncoding, Body } = await s3.send(new GetObjectCommand({ Bucket: "kamado", Key: "in/x" }));
  expect([ContentEncoding, await Body!.transformToString()]).toEqual([given, "eggs"]);
  const other = await s3.send(new GetObjectCommand({ Bucket: "kamado", Key: "in/y" }));
  expect(other.ContentEncoding).toBeUndefined();
});

describe("what it does not do is refused, with what to do instead", () => {
  test.each(["http", "https", "email", "email-json", "sms", "lambda", "firehose", "application"])(
    "a subscription by %s",
    async (Protocol) => {
      const { aws, sns } = await start();
      const command = new SubscribeCommand({
        TopicArn: aws.resources.topicArn,
        Protocol,
        Endpoint: "https://a.example/",
      });
      await expect(sns.send(command)).rejects.toMatchObject({
        name: "InvalidParameterException",
        message: expect.stringContaining("callback"),
      });
    },
  );

  test("a subscription of a queue is accepted", async () => {
    const { aws, sns } = await start();
    const command = new SubscribeCommand({
      TopicArn: aws.resources.topicArn,
      Protocol: "sqs",
      Endpoint: queueArn("kamado-jobs"),
    });
    expect((await sns.send(command)).SubscriptionArn).toContain("kamado-results");
  });

  test("events of the bucket", async () => {
    const { s3 } = await start();
    const NotificationConfiguration = {
      QueueConfigurations: [{ QueueArn: queueArn("kamado-jobs"), Events: ["s3:ObjectCreated:*" as const] }],
    };
    const command = new PutBucketNotificationConfigurationCommand({
      Bucket: "kamado",
      NotificationConfiguration,
    });
    await expect(s3.send(command)).rejects.toMatchObject({
      name: "NotImplemented",
      message: expect.stringContaining("SendMessage"),
    });
  });

  test.for([
    ["PUT", "/kamado?policy", {}, 501, "NotImplemented"],
    ["GET", "/kamado/?versioning", {}, 501, "NotImplemented"],
    ["GET", "/kamado/in/x?tagging", {}, 501, "NotImplemented"],
    ["PUT", "/kamado/in/x?acl", {}, 501, "NotImplemented"],
    ["POST", "/kamado", { "content-type": "application/xml" }, 405, "MethodNotAllowed"],
    ["POST", "/kamado/in/x", {}, 405, "MethodNotAllowed"],
    ["PATCH", "/kamado/in/x", {}, 405, "MethodNotAllowed"],
    ["GET", "/nobody/in/x", {}, 404, "NoSuchBucket"],
    ["GET", "/in/x", { host: "nobody.localhost" }, 404, "NoSuchBucket"],
    ["GET", "/in/x", { host: "kamado.s3.amazonaws.com" }, 403, "AccessDenied"],
    ["POST", "/", { "content-type": "application/json" }, 400, "UnknownOperationException"],
    ["POST", "/", { "content-type": "application/x-www-form-urlencoded" }, 400, "MissingAction"],
  ] as const)("%s %s %j", async ([method, path, headers, status, code]) => {
    const { aws } = await start();
    const answer = await ask(aws, method, path, headers, method === "GET" ? "" : "x");
    expect(answer).toMatchObject({ status, type: expect.stringContaining("xml") });
    expect(answer.text).toContain(`<Code>${code}</Code>`);
  });

  test.for([
    ["AmazonSQS.Nothing", "{}", "InvalidAction"],
    ["DynamoDB_20120810.ListTables", "{}", "InvalidAction"],
    ["AmazonSQS.SendMessage", "{", "InvalidRequest"],
  ])("%s with %s, in JSON", async ([target, body, code]) => {
    const { aws } = await start();
    const headers = { "x-amz-target": target!, "content-type": "application/x-amz-json-1.0" };
    const { status, text } = await ask(aws, "POST", "/", headers, body);
    expect([status, JSON.parse(text).__type]).toEqual([400, expect.stringContaining(code!)]);
  });
});

test("a client that asks where the bucket is gets an answer that it understands", async () => {
  const { s3 } = await start();
  const { LocationConstraint } = await s3.send(new GetBucketLocationCommand({ Bucket: "kamado" }));
  expect(LocationConstraint ?? "").toBe("");
});
