import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { readCut, readStart, readWhole } from "../../worker/http/bounded-body.ts";

const bodyOf = (...chunks: string[]) => Readable.from(chunks.map((chunk) => Buffer.from(chunk)));
const limit = (maxBytes: number, announced?: number | string) => ({
  maxBytes,
  announced,
  tooLarge: (bytes: number) => new Error(`${bytes} bytes or more`),
});

describe("the whole body", () => {
  test("is read up to the very limit", async () => {
    expect((await readWhole(bodyOf("abc", "de"), limit(5))).toString()).toBe("abcde");
  });

  test("is not kept past the limit, whatever length was announced, and the connection is closed", async () => {
    for (const announced of [undefined, "", "2", 2]) {
      const body = bodyOf("abc", "def", "ghi");
      await expect(readWhole(body, limit(5, announced))).rejects.toThrow("6 bytes or more");
      expect(body.destroyed).toBe(true);
    }
  });

  test("is not read at all when it is announced to be too long", async () => {
    const body = bodyOf("abc");
    await expect(readWhole(body, limit(5, "6"))).rejects.toThrow("6 bytes or more");
    expect([body.destroyed, body.readableDidRead]).toEqual([true, false]);
  });

  test("fails with the connection", async () => {
    const body = bodyOf("abc");
    body.destroy(new Error("ECONNRESET"));
    await expect(readWhole(body, limit(5))).rejects.toThrow("ECONNRESET");
  });
});

describe("a body that may be cut", () => {
  test("is whole, or ends at the limit and closes the connection", async () => {
    expect((await readCut(bodyOf("abc", "de"), 6)).toString()).toBe("abcde");
    const body = bodyOf("abc", "def", "ghi");
    expect((await readCut(body, 5)).toString()).toBe("abcde");
    expect(body.destroyed).toBe(true);
  });

  test("fails with the connection, because nobody would know what is missing", async () => {
    const body = new Readable({ read() {} });
    body.push("abc");
    const read = readCut(body, 5);
    body.destroy(new Error("ECONNRESET"));
    await expect(read).rejects.toThrow("ECONNRESET");
  });
});

describe("the start of a body", () => {
  test("ends at the limit and closes the connection", async () => {
    const body = bodyOf("abc", "def", "ghi");
    expect((await readStart(body, 5, 1_000)).toString()).toBe("abcde");
    expect(body.destroyed).toBe(true);
  });

  test("is what has arrived when the sender takes too long", async () => {
    const body = new Readable({ read() {} });
    body.push("abc");
    expect((await readStart(body, 5, 20)).toString()).toBe("abc");
  });

  test("is what has arrived when the connection breaks", async () => {
    const body = new Readable({ read() {} });
    body.push("abc");
    setTimeout(() => body.destroy(new Error("ECONNRESET")), 10);
    expect((await readStart(body, 5, 1_000)).toString()).toBe("abc");
  });
});
