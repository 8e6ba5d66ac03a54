// Requests of S3 clients that differ from those of the SDK for JavaScript: an object is stored as it was sent, or its sender gets an error.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { request } from "node:http";
import { crc32 } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";

let aws: LocalAws;
beforeAll(async () => {
  aws = await startLocalAws({ port: 0 });
});
afterAll(() => aws.stop());

type Answer = { status: number; headers: Record<string, string>; text: string };

/** `PORT` in the host is the server's. */
async function ask(
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body = "",
): Promise<Answer> {
  const { port, hostname } = new URL(aws.endpoint);
  const host = headers.host?.replace("PORT", port);
  const all = { ...headers, ...(host && { host }), "content-length": String(Buffer.byteLength(body)) };
  const asked = request({ port, hostname, path, method, headers: all });
  asked.end(body);
  const [response] = await once(asked, "response");
  return {
    status: response.statusCode,
    headers: response.headers,
    text: (await response.toArray()).join(""),
  };
}

const codeIn = ({ text }: Answer) => /<Code>(\w+)</.exec(text)?.[1];
const md5 = (text: string) => createHash("md5").update(text).digest("base64");
function crc(text: string): string {
  const value = Buffer.alloc(4);
  value.writeUInt32BE(crc32(text));
  return value.toString("base64");
}

const CHUNKS = "4;chunk-signature=ab\r\neggs\r\n0;chunk-signature=cd\r\n\r\n";
const STREAMED = { "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" };

describe("an object that comes in chunks is stored without them", () => {
  test.for([
    ["by minio, which names them in another header", { ...STREAMED, "x-amz-decoded-content-length": "4" }],
    ["packed", { ...STREAMED, "content-encoding": "gzip" }],
    ["by the SDKs, which name them", { ...STREAMED, "content-encoding": "aws-chunked" }],
  ] as const)("%s", async ([, headers]) => {
    expect((await ask("PUT", "/kamado/in/a", headers, CHUNKS)).status).toBe(200);
    const { text, headers: given } = await ask("GET", "/kamado/in/a");
    expect(text).toBe("eggs");
    expect(given["content-encoding"]).toBe(
      "content-encoding" in headers && headers["content-encoding"] === "gzip" ? "gzip" : undefined,
    );
  });

  test("one of which a part is missing is refused", async () => {
    const headers = { ...STREAMED, "x-amz-decoded-content-length": "9" };
    expect(codeIn(await ask("PUT", "/kamado/in/cut", headers, CHUNKS))).toBe("IncompleteBody");
    expect((await ask("GET", "/kamado/in/cut")).status).toBe(404);
  });
});

describe("an object that is not what its sender says of it is refused", () => {
  test.for([
    ["content-md5", md5("eggs")],
    ["x-amz-checksum-crc32", crc("eggs")],
    ["x-amz-checksum-sha1", createHash("sha1").update("eggs").digest("base64")],
    ["x-amz-checksum-sha256", createHash("sha256").update("eggs").digest("base64")],
  ] as const)("by %s", async ([name, value]) => {
    expect(codeIn(await ask("PUT", "/kamado/in/hashed", { [name]: value }, "eggz"))).toBe("BadDigest");
    expect((await ask("GET", "/kamado/in/hashed")).status).toBe(404);
    expect((await ask("PUT", "/kamado/in/right", { [name]: value }, "eggs")).status).toBe(200);
  });

  test("by what stands behind the chunks", async () => {
    const headers = {
      ...STREAMED,
      "content-encoding": "aws-chunked",
      "x-amz-trailer": "x-amz-checksum-crc32",
    };
    const body = (value: string) => `4\r\neggs\r\n0\r\nx-amz-checksum-crc32:${value}\r\n\r\n`;
    expect(codeIn(await ask("PUT", "/kamado/in/trailed", headers, body("AAAAAA==")))).toBe("BadDigest");
    expect((await ask("PUT", "/kamado/in/trailed", headers, body(crc("eggs")))).status).toBe(200);
  });
});

describe("the keys that a list names are deleted, and no others", () => {
  const XML = { "content-type": "application/xml" };
  const remove = (keys: string, headers: Record<string, string> = {}, path = "/kamado?delete") =>
    ask("POST", path, { ...XML, ...headers }, `<Delete>${keys}</Delete>`);

  test.for([
    ["in/a&lt;b", "in/a&amp;lt;b", "a%26lt%3Bb"],
    ["in/line\r\nend", "in/line&#13;&#xA;end", "line%0D%0Aend"],
    ["in/'\"", "in/&#39;&quot;", "'%22"],
    ["in/日 本", "in/&#26085; 本", "%E6%97%A5%20%E6%9C%AC"],
  ] as const)("%j", async ([, written, path]) => {
    await ask("PUT", `/kamado/in/${path}`, {}, "x");
    const { text, status } = await remove(`<Object><Key>${written}</Key></Object>`);
    expect([status, text.match(/<Deleted>/g)?.length]).toEqual([200, 1]);
    expect((await ask("GET", `/kamado/in/${path}`)).status).toBe(404);
  });

  test("at the bucket's own host", async () => {
    await ask("PUT", "/kamado/in/hosted", {}, "x");
    await remove("<Object><Key>in/hosted</Key></Object>", { host: "kamado.localhost:PORT" }, "/?delete");
    expect((await ask("GET", "/kamado/in/hosted")).status).toBe(404);
  });

  test("a version of one that has none stays, and the answer says so", async () => {
    await ask("PUT", "/kamado/in/kept", {}, "x");
    const versioned = "<Object><Key>in/kept</Key><VersionId>v1</VersionId></Object>";
    const { text } = await remove(
      `${versioned}<Object><Key>in/none</Key><VersionId>null</VersionId></Object>`,
    );
    expect(text).toContain("<Error><Key>in/kept</Key><Code>NoSuchVersion</Code>");
    expect(text).toContain("<Deleted><Key>in/none</Key></Deleted>");
    expect((await ask("GET", "/kamado/in/kept")).text).toBe("x");
  });

  test.each(["", "<Object/>", "<Object><Key></Key></Object>"])(
    "a list of none is refused: %j",
    async (keys) => {
      expect(codeIn(await remove(keys))).toBe("MalformedXML");
    },
  );
});

describe("what would be another thing than was asked for is refused", () => {
  test.for([
    ["GET", "/kamado/in/v?versionId=abc", {}, "InvalidArgument"],
    ["DELETE", "/kamado/in/v?versionId=abc", {}, "InvalidArgument"],
    ["PUT", "/kamado/in/v?partNumber=1", {}, "InvalidArgument"],
    ["PUT", "/kamado/in/v?uploadId=1", {}, "InvalidArgument"],
    ["PUT", "/kamado/in/v", { "x-amz-write-offset-bytes": "1" }, "NotImplemented"],
    ["PUT", "/kamado/in/v", { "x-amz-server-side-encryption-customer-key": "k" }, "NotImplemented"],
    ["PUT", "/kamado/in/v", { "x-amz-object-lock-mode": "GOVERNANCE" }, "NotImplemented"],
    ["PUT", "/kamado?lifecycle", {}, "NotImplemented"],
    ["PUT", "/kamado/in/v", { "x-amz-copy-source": "kamado/in/100%" }, "InvalidRequest"],
    ["DELETE", "/kamado/in/v", { "if-match": '"other"' }, "PreconditionFailed"],
  ] as const)("%s %s %j", async ([method, path, headers, code]) => {
    await ask("PUT", "/kamado/in/v", {}, "x");
    expect(codeIn(await ask(method, path, headers, method === "PUT" ? "y" : ""))).toBe(code);
    expect((await ask("GET", "/kamado/in/v?versionId=null")).text).toBe("x");
  });
});

test.for([
  ["bytes=1-2", 206, "gg"],
  ["bytes=-2", 206, "gs"],
  ["bytes=2-", 206, "gs"],
  ["bytes=-100", 200, "eggs"],
  ["bytes=0-0,2-3", 200, "eggs"],
  ["lines=1", 200, "eggs"],
  ["bytes=9-", 416, undefined],
] as const)("the range %s of four bytes is %i", async ([range, status, text]) => {
  await ask("PUT", "/kamado/in/ranged", {}, "eggs");
  const answer = await ask("GET", "/kamado/in/ranged", { range });
  expect([answer.status, text && answer.text]).toEqual([status, text]);
});

test("an upload in parts whose etags are written as Go writes them is put together", async () => {
  const path = "/kamado/in/parts";
  const id = /<UploadId>(.*?)</.exec((await ask("POST", `${path}?uploads`)).text)![1];
  const part = await ask("PUT", `${path}?partNumber=1&uploadId=${id}`, {}, "eggs");
  const etag = part.headers.etag!.replaceAll('"', "&#34;");
  const list = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${etag}</ETag></Part></CompleteMultipartUpload>`;
  expect(
    (await ask("POST", `${path}?uploadId=${id}`, { "content-type": "application/xml" }, list)).status,
  ).toBe(200);
  expect((await ask("GET", path)).text).toBe("eggs");
});

test("a form whose boundary stands in quotes is read", async () => {
  const field = (head: string, value: string) =>
    `--q\r\nContent-Disposition: form-data; ${head}\r\n\r\n${value}\r\n`;
  const body = `${field('name="key"', "in/form")}${field('name="file"; filename="a.txt"', "eggs")}--q--\r\n`;
  await ask("POST", "/kamado", { "content-type": 'multipart/form-data; boundary="q"' }, body);
  expect((await ask("GET", "/kamado/in/form")).text).toBe("eggs");
});
