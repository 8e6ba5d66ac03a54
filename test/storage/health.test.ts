// What the worker says when its bucket does not answer: each cause is put right in another place.
import { expect, onTestFinished, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { probeBucket, shownBucket } from "../../worker/storage/health.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";
import { awsServer } from "../fakes/aws-server.ts";
import { FakeBucket } from "../fakes/bucket.ts";

const CREDENTIALS = { accessKeyId: "a", secretAccessKey: "b" };

function bucketAt(endpoint: string) {
  const clients = makeAwsClients({ endpoint, region: "us-east-1", credentials: CREDENTIALS });
  onTestFinished(() => clients.destroy());
  return s3Bucket(clients.s3, "kamado");
}

test.each([
  ["a key that does not exist", 403, "InvalidAccessKeyId", "credentials", "credentials"],
  ["a missing right", 403, "AccessDenied", "forbidden", "s3:ListBucket"],
  ["a missing bucket", 404, "NoSuchBucket", "missing_bucket", "KAMADO_BUCKET"],
  ["too many calls", 429, "SlowDown", "throttled", "more slowly"],
  ["another failure", 400, "SomethingElse", "unknown", "the bucket"],
])("%s (%i %s) is told from other causes, with what to do", async (_, status, code, health, hint) => {
  await using server = await awsServer((_, response) => {
    response.writeHead(status, { "content-type": "application/xml" });
    response.end(`<Error><Code>${code}</Code><Message>said by the store</Message></Error>`);
  });
  const bucket = bucketAt(server.endpoint);
  const cause = await probeBucket(bucket);
  expect(shownBucket(bucket, cause)).toEqual({
    name: "kamado",
    answers: false,
    health,
    hint: expect.stringContaining(hint),
  });
});

test("a bucket that answers is asked with six calls and has no hint", async () => {
  let calls = 0;
  await using server = await awsServer((_, response) => {
    calls += 1;
    response
      .writeHead(200, { "content-type": "application/xml" })
      .end("<ListBucketResult><Name>kamado</Name></ListBucketResult>");
  });
  const bucket = bucketAt(server.endpoint);
  expect(shownBucket(bucket, await probeBucket(bucket))).toEqual({
    name: "kamado",
    answers: true,
    health: "ok",
  });
  expect(calls).toBe(6);
});

test("a bucket that two workers ask at the same moment answers both, although one removes what the other has written", async () => {
  class Shared extends FakeBucket {
    override async get(...[key, how]: Parameters<FakeBucket["get"]>) {
      await this.remove([key]);
      return super.get(key, how);
    }
  }
  expect(await probeBucket(new Shared())).toBeNull();
});

test("one that can be read and not written does not answer, and the hint names the rights", async () => {
  await using server = await awsServer((request, response) => {
    const [status, body] =
      request.method === "GET"
        ? [200, "<ListBucketResult><Name>kamado</Name></ListBucketResult>"]
        : [403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>"];
    response.writeHead(status as number, { "content-type": "application/xml" }).end(body);
  });
  const bucket = bucketAt(server.endpoint);
  expect(shownBucket(bucket, await probeBucket(bucket))).toMatchObject({
    answers: false,
    health: "forbidden",
    hint: expect.stringContaining("s3:PutObject"),
  });
});
