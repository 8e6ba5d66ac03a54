// What the S3 adapter does with answers that no emulator gives: wrong lengths, silence in the middle, refusals.
import type { ServerResponse } from "node:http";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, onTestFinished, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { KamadoError } from "../../worker/errors.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";
import { awsServer, blackHole } from "../fakes/aws-server.ts";

const CREDENTIALS = { accessKeyId: "a", secretAccessKey: "b" };
const limits = (ms: number) => ({ connectionTimeout: ms, requestTimeout: ms, socketTimeout: ms });
/** For servers that are silent. One that answers gets long, because the machine may be busy. */
const SHORT = limits(200);
const LONG = limits(20_000);
const KEY = "in/x";

function bucketAt(endpoint: string, timeouts = LONG) {
  const clients = makeAwsClients({ endpoint, region: "us-east-1", credentials: CREDENTIALS }, timeouts);
  onTestFinished(() => clients.destroy());
  return s3Bucket(clients.s3, "kamado");
}

const closed = (response: ServerResponse) => new Promise((resolve) => response.once("close", resolve));

describe("an object that is too long", () => {
  test("with an announced length is refused before its body is read, and the connection is closed", async () => {
    const gone = Promise.withResolvers();
    await using server = await awsServer((_, response) => {
      void closed(response).then(gone.resolve);
      response.writeHead(200, { "content-length": 50_000_000 });
      response.flushHeaders();
    });
    const reading = bucketAt(server.endpoint).get(KEY, { maxBytes: 20_000_000 });
    await expect(reading).rejects.toMatchObject({ code: "input_too_large" });
    await gone.promise;
  });

  test("without an announced length is read up to the limit only", async () => {
    const gone = Promise.withResolvers();
    await using server = await awsServer((_, response) => {
      void closed(response).then(gone.resolve);
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(64 * 1024)));
      };
      response.on("drain", more);
      more();
    });
    const reading = bucketAt(server.endpoint).get(KEY, { maxBytes: 1_000_000 });
    await expect(reading).rejects.toMatchObject({ code: "input_too_large" });
    await gone.promise;
  });
});

describe("a write on a condition", () => {
  test.each([
    ["NotImplemented", 501, { detail: { supportsConditions: false } }],
    ["InvalidArgument", 400, { detail: { supportsConditions: false } }],
    ["ExpiredToken", 400, { detail: { awsFailure: "credentials" } }],
    ["RequestTimeout", 400, { detail: { awsFailure: "network" } }],
  ])("that a store refuses as %s (%i)", async (code, status, error) => {
    await using server = await awsServer((_, response) => {
      response
        .writeHead(status, { "content-type": "application/xml" })
        .end(`<Error><Code>${code}</Code></Error>`);
    });
    const writing = bucketAt(server.endpoint).putIf(KEY, "{}", "absent");
    await expect(writing).rejects.toMatchObject({ code: "storage_unavailable", ...error });
  });
});

describe("no call hangs", () => {
  test("a bucket and a topic, which have no long polls, time out sooner than a queue", async () => {
    const clients = makeAwsClients({ region: "us-east-1", credentials: CREDENTIALS });
    onTestFinished(() => clients.destroy());
    // A handler reads its limits at its first call.
    const limitOf = async (handler: unknown) => {
      const { configProvider } = handler as { configProvider: Promise<{ requestTimeout: number }> };
      return (await configProvider).requestTimeout;
    };
    const { sqs, s3, sns } = clients;
    expect(await limitOf(sqs.config.requestHandler)).toBeGreaterThan(20_000);
    expect(await limitOf(s3.config.requestHandler)).toBeLessThan(15_000);
    expect(await limitOf(sns.config.requestHandler)).toBeLessThan(15_000);
  });

  test("a store that never answers is unavailable", async () => {
    await using server = await blackHole();
    const bucket = bucketAt(server.endpoint, SHORT);
    const unavailable = { code: "storage_unavailable" };
    await expect(bucket.get(KEY, { maxBytes: 10 })).rejects.toMatchObject(unavailable);
    await expect(bucket.put(KEY, "x", { contentType: "text/plain" })).rejects.toMatchObject(unavailable);
    await expect(bucket.exists(KEY)).rejects.toMatchObject(unavailable);
  });

  test("a store that stops sending in the middle of an object is unavailable", async () => {
    await using server = await awsServer((_, response) => {
      response.writeHead(200, { "content-length": 1_000 });
      response.write("only this");
    });
    const reading = bucketAt(server.endpoint, SHORT).get(KEY, { maxBytes: 10_000 });
    await expect(reading).rejects.toMatchObject({ code: "storage_unavailable" });
  });

  test("a store that closes the connection in the middle of an object is unavailable", async () => {
    await using server = await awsServer((_, response) => {
      response.writeHead(200, { "content-length": 1_000 });
      response.write("only this", () => response.destroy());
    });
    const reading = bucketAt(server.endpoint).get(KEY, { maxBytes: 10_000 });
    await expect(reading).rejects.toMatchObject({ code: "storage_unavailable" });
  });

  test("a signal that fires in the middle of an object ends the read with its reason", async () => {
    const cut = new AbortController();
    const reason = new KamadoError("lease_lost", "Another worker holds the job now.");
    await using server = await awsServer((_, response) => {
      response.writeHead(200, { "content-length": 1_000 });
      response.write("only this", () => cut.abort(reason));
    });
    const reading = bucketAt(server.endpoint).get(KEY, { maxBytes: 10_000, signal: cut.signal });
    await expect(reading).rejects.toBe(reason);
  });
});

describe("the code says why an object cannot be read", () => {
  test.each([
    [403, "AccessDenied", "object_forbidden"],
    [403, "InvalidObjectState", "object_forbidden"],
    [403, "ExpiredToken", "storage_unavailable"],
    [400, "ExpiredToken", "storage_unavailable"],
    [403, "InvalidAccessKeyId", "storage_unavailable"],
    [403, "RequestTimeTooSkewed", "storage_unavailable"],
    [400, "AuthorizationHeaderMalformed", "storage_unavailable"],
    [400, "RequestTimeout", "storage_unavailable"],
    [429, "TooManyRequests", "storage_unavailable"],
    [400, "InvalidRequest", "object_unreadable"],
    [400, "KeyTooLongError", "object_unreadable"],
    [400, "InvalidURI", "object_unreadable"],
    [405, "MethodNotAllowed", "object_unreadable"],
    [404, "NoSuchKey", "object_not_found"],
    [404, "NoSuchBucket", "object_not_found"],
    [503, "SlowDown", "storage_unavailable"],
    [500, "InternalError", "storage_unavailable"],
  ])("%i %s is %s", async (status, code, expected) => {
    await using server = await awsServer((_, response) => {
      const xml = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`;
      response.writeHead(status, { "content-type": "application/xml" }).end(xml);
    });
    const reading = bucketAt(server.endpoint).get(KEY, { maxBytes: 10 });
    await expect(reading).rejects.toMatchObject({ code: expected });
  });

  test("a key that cannot even be written as an address is the job's trouble", async () => {
    await using server = await blackHole();
    const reading = bucketAt(server.endpoint).get("in/\ud800", { maxBytes: 10 });
    await expect(reading).rejects.toMatchObject({ code: "object_unreadable", retry: false });
  });

  test.each([
    [400, "InvalidRequest"],
    [404, "NoSuchBucket"],
    [503, "SlowDown"],
  ])("what Kamado itself writes or looks for is not to blame: %i %s is unavailable", async (status, code) => {
    await using server = await awsServer((_, response) => {
      const xml = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`;
      response.writeHead(status, { "content-type": "application/xml" }).end(xml);
    });
    const bucket = bucketAt(server.endpoint);
    const unavailable = { code: "storage_unavailable" };
    await expect(bucket.put(KEY, "x", { contentType: "text/plain" })).rejects.toMatchObject(unavailable);
    await expect(bucket.list("in/")).rejects.toMatchObject(unavailable);
    await expect(bucket.remove([KEY])).rejects.toMatchObject(unavailable);
  });

  test("checking whether an object exists without the right to do so is forbidden, not absent", async () => {
    await using server = await awsServer((_, response) => void response.writeHead(403).end());
    await expect(bucketAt(server.endpoint).exists(KEY)).rejects.toMatchObject({
      code: "object_forbidden",
    });
  });
});

describe("an object that was stored packed", () => {
  const stored = (encoding: string, bytes: Uint8Array) =>
    awsServer((_, response) => {
      response.writeHead(200, { "content-encoding": encoding, "content-length": bytes.length }).end(bytes);
    });

  test.each([
    ["gzip", gzipSync("eggs")],
    ["br", brotliCompressSync("eggs")],
    ["deflate", deflateSync("eggs")],
    ["zstd", zstdCompressSync("eggs")],
    ["aws-chunked,gzip", gzipSync("eggs")],
    ["utf-8", Buffer.from("eggs")],
  ])("is unpacked as over https: %s", async (encoding, bytes) => {
    await using server = await stored(encoding, bytes);
    const { bytes: read } = await bucketAt(server.endpoint).get(KEY, { maxBytes: 1_000 });
    expect(Buffer.from(read).toString()).toBe("eggs");
  });

  test("is unpacked up to the limit only, and one that is damaged is unreadable", async () => {
    await using bomb = await stored("gzip", gzipSync(Buffer.alloc(2_000_000)));
    const reading = bucketAt(bomb.endpoint).get(KEY, { maxBytes: 1_000_000 });
    await expect(reading).rejects.toMatchObject({ code: "input_too_large" });
    await using damaged = await stored("br", Buffer.from([0xff, 0xff]));
    await expect(bucketAt(damaged.endpoint).get(KEY, { maxBytes: 1_000 })).rejects.toMatchObject({
      code: "object_unreadable",
      message: expect.stringContaining("is not valid br"),
    });
  });
});
