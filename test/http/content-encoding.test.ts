// How bodies from outside are unpacked, and up to where.
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { unpack, unpackByContent } from "../../worker/http/content-encoding.ts";

const how = (maxBytes = 1_000_000) => ({
  maxBytes,
  tooLarge: () => new Error("too large"),
  broken: (why: string) => new Error(why),
});
const body = Buffer.from("two eggs ".repeat(100));
const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString();

describe("what the header says is undone", () => {
  test.each([
    ["gzip", gzipSync(body)],
    ["X-GZIP", gzipSync(body)],
    ["br", brotliCompressSync(body)],
    ["zstd", zstdCompressSync(body)],
    ["deflate", deflateSync(body)],
    ["deflate", deflateRawSync(body)],
    ["gzip, br", brotliCompressSync(gzipSync(body))],
    ["gzip,gzip", gzipSync(gzipSync(body))],
    ["aws-chunked, gzip", gzipSync(body)],
    ["gzip,aws-chunked", gzipSync(body)],
    ["identity", body],
    ["", body],
  ])("%s", async (encoding, bytes) => {
    expect(textOf(await unpack(bytes, encoding, how()))).toBe(body.toString());
  });

  test.each(["gzip", "zstd", "utf-8", "UTF8", "base64", "binary", "none", "7bit"])(
    "%s on a body that is not packed leaves it as it is",
    async (encoding) => {
      expect(textOf(await unpack(body, encoding, how()))).toBe(body.toString());
    },
  );

  test.each([
    ["compress", body, "has the unknown content-encoding compress"],
    ["br", Buffer.from([0xff, 0xff]), "is not valid br"],
    ["gzip", gzipSync(body).subarray(0, 20), "is not valid gzip"],
    ["gzip, gzip, gzip, gzip, gzip", body, "has 5 content-encodings"],
  ])("%s that cannot be undone is an error", async (encoding, bytes, why) => {
    await expect(unpack(bytes, encoding, how())).rejects.toThrow(why);
  });
});

describe("what only the bytes show is undone", () => {
  test.each([gzipSync(body), zstdCompressSync(body), gzipSync(gzipSync(body)), body, Buffer.alloc(0)])(
    "case %#",
    async (bytes) => {
      const unpacked = textOf(await unpackByContent(bytes, how()));
      expect(unpacked).toBe(bytes.length === 0 ? "" : body.toString());
    },
  );
});

describe("nothing is unpacked beyond the limit", () => {
  const zeros = Buffer.alloc(2_000_000);
  test.each([
    ["gzip", gzipSync(zeros)],
    ["br", brotliCompressSync(zeros)],
    ["zstd", zstdCompressSync(zeros)],
    ["deflate", deflateSync(zeros)],
    ["gzip, gzip", gzipSync(gzipSync(zeros))],
  ])("%s", async (encoding, bytes) => {
    await expect(unpack(bytes, encoding, how())).rejects.toThrow("too large");
  });

  test("without a header", async () => {
    await expect(unpackByContent(gzipSync(gzipSync(zeros)), how())).rejects.toThrow("too large");
  });
});
