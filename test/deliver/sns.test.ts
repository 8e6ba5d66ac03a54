import { describe, expect, onTestFinished, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { createSns, snsTopic } from "../../worker/deliver/sns.ts";
import { blackHole } from "../fakes/aws-server.ts";
import { FakeTopic } from "../fakes/topic.ts";
import { delivery, errorOf, FAILED } from "./deliveries.ts";

const ARN = "arn:aws:sns:us-east-1:000000000000:kamado-results";

function fake(arn = ARN) {
  const topic = new FakeTopic();
  topic.create(arn);
  return { sns: createSns(topic), inbox: topic.subscribe(arn) };
}

test("the result is the message, with attributes to filter on", async () => {
  const { sns, inbox } = fake();
  const one = delivery({ sns: ARN });
  await sns(one, ARN);
  expect(JSON.parse(inbox[0]!.message)).toEqual(one.result);
  expect(inbox[0]!.attributes).toEqual({ kind: "image.check", status: "succeeded", answer: "y" });
});

test("a failure is published with its status and no answer", async () => {
  const { sns, inbox } = fake();
  await sns(delivery({ sns: ARN }, { result: FAILED }), ARN);
  expect(inbox[0]!.attributes).toEqual({ kind: "image.check", status: "failed" });
});

test("on a FIFO topic a result that is delivered twice arrives once", async () => {
  const { sns, inbox } = fake(`${ARN}.fifo`);
  const one = delivery({ sns: `${ARN}.fifo` });
  await sns(one, `${ARN}.fifo`);
  await sns(one, `${ARN}.fifo`);
  expect(inbox).toHaveLength(1);
});

describe("an error of SNS", () => {
  const failing = (name: string) =>
    snsTopic({ send: () => Promise.reject(Object.assign(new Error("said AWS"), { name })) } as never);

  test.each([
    ["NotFoundException", "delivery_rejected"],
    ["NotFound", "delivery_rejected"],
    ["InvalidParameterException", "delivery_rejected"],
    ["InvalidParameter", "delivery_rejected"],
    ["AuthorizationErrorException", "delivery_failed"],
    ["ExpiredTokenException", "delivery_failed"],
    ["CredentialsProviderError", "delivery_failed"],
    ["ThrottledException", "delivery_failed"],
    ["InternalErrorException", "delivery_failed"],
    ["ECONNREFUSED", "delivery_failed"],
    ["TimeoutError", "delivery_failed"],
  ])("named %s is %s", async (name, code) => {
    const error = await errorOf(failing(name).publish(ARN, "x", {}));
    expect(error).toMatchObject({ code, message: `${ARN}: said AWS` });
  });
});

test("an answer that refuses the request itself is final, under whatever name", async () => {
  const refusing = (httpStatusCode: number) =>
    snsTopic({
      send: () => Promise.reject(Object.assign(new Error("no"), { $metadata: { httpStatusCode } })),
    } as never);
  expect((await errorOf(refusing(400).publish(ARN, "x", {}))).code).toBe("delivery_rejected");
  expect((await errorOf(refusing(500).publish(ARN, "x", {}))).code).toBe("delivery_failed");
});

test("publishing to a topic that never answers fails and may be tried again", async () => {
  await using server = await blackHole();
  const timeouts = { connectionTimeout: 200, requestTimeout: 200, socketTimeout: 200 };
  const credentials = { accessKeyId: "a", secretAccessKey: "b" };
  const clients = makeAwsClients({ endpoint: server.endpoint, region: "us-east-1", credentials }, timeouts);
  onTestFinished(() => clients.destroy());
  const published = snsTopic(clients.sns).publish("arn:aws:sns:us-east-1:000000000000:t", "x", {});
  await expect(published).rejects.toMatchObject({ code: "delivery_failed", retry: true });
});
