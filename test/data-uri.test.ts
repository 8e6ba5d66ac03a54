// data: URIs as browsers, editors and mail programs write them.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeDataUri, isDataUri } from "../worker/data-uri.ts";
import { KamadoError } from "../worker/errors.ts";

const text = (uri: string) => Buffer.from(decodeDataUri(uri, 1_000)).toString();

test("every escape of a data: URI is the byte that it stands for, in both cases", async () => {
  const bytes = Array.from({ length: 128 }, (_, byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
  const all = String.fromCharCode(...Array(128).keys());
  expect(Buffer.from(decodeDataUri(`data:,${bytes}`, 1_000)).toString()).toBe(all);
  expect(Buffer.from(decodeDataUri(`data:,${bytes.toUpperCase()}`, 1_000)).toString()).toBe(all);
  expect([...decodeDataUri("data:,%ff%FF%fa", 10)]).toEqual([255, 255, 250]);
});

test("any bytes come back from a data: URI as they were", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const escaped = [...bytes].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
      const base64 = Buffer.from(bytes).toString("base64");
      for (const uri of [`data:,${escaped}`, `data:image/png;base64,${base64}`, `DATA:;Base64,${base64}`])
        expect([...decodeDataUri(uri, 1_000)]).toEqual([...bytes]);
    }),
  );
});

describe("every legal way to write the same bytes is read", () => {
  test.each([
    ["plainly", "data:text/plain;base64,aGk/aGk+"],
    ["with every special character escaped", "data:text/plain;base64,aGk%2FaGk%2B"],
    ["with lower-case escapes", "data:text/plain;base64,aGk%2faGk%2b"],
    ["with letters escaped too", "data:text/plain;base64,%61Gk%2F%61Gk%2B"],
    ["with escaped white space", "data:text/plain;base64,aGk%2F%0D%0A%20aGk%2B"],
    ["with line ends and a tab", "data:text/plain;base64,aGk/\r\n\taGk+\n"],
    ["in the alphabet for addresses", "data:text/plain;base64,aGk_aGk-"],
    ["without a media type", "data:;base64,aGk/aGk+"],
    ["with parameters", 'data:text/plain;charset=utf-8;name="a.b";base64,aGk/aGk+'],
    ["with a parameter behind", "data:text/plain;base64;charset=utf-8,aGk/aGk+"],
    ["in upper case", "DATA:TEXT/PLAIN;BASE64,aGk/aGk+"],
    ["with spaces around the word", "data:text/plain ; base64 ,aGk/aGk+"],
    ["with an escaped media type", "data:text%2Fplain%3Bbase64,aGk/aGk+"],
    ["with white space before it", " \n data:text/plain;base64,aGk/aGk+"],
    ["with a fragment", "data:text/plain;base64,aGk/aGk+#page=1"],
    ["without base64", "data:text/plain,hi?hi>"],
    ["without base64, escaped", "data:text/plain;charset=us-ascii,hi%3fhi%3E"],
    ["without anything but the bytes", "data:,hi?hi>"],
  ])("%s", (_, uri) => {
    expect(isDataUri(uri)).toBe(true);
    expect(text(uri)).toBe("hi?hi>");
  });

  test.each([
    ["padded", "aGk="],
    ["padded with escapes", "aGk%3D"],
    ["padded with lower-case escapes", "aGk%3d"],
    ["not padded", "aGk"],
  ])("%s", (_, data) => {
    expect(text(`data:;base64,${data}`)).toBe("hi");
  });
});

describe("what is none is refused", () => {
  test.each([
    ["data:text/plain", "comma"],
    ["data:;base64,%%%", "base64"],
    ["data:;base64,aGk%2", "base64"],
    ["data:;base64,a*k/", "base64"],
    ["data:;base64,AAAAA", "base64"],
    ["data:,100%", "escape"],
    [`data:${"x".repeat(5_000)},a`, "media type"],
  ])("%s", (uri, why) => {
    expect(() => decodeDataUri(uri, 1_000)).toThrow(why);
  });

  test.each([
    ["data:;base64,", "QUJD", 3],
    ["data:;base64,", "%51UJD", 3],
    ["data:,", "a", 1],
    ["data:,", "%61", 1],
  ])("%s%s and so on, over the limit", (head, piece, bytes) => {
    const limit = 3_000;
    const count = limit / bytes;
    expect(decodeDataUri(head + piece.repeat(count), limit)).toHaveLength(limit);
    const error = (() => {
      try {
        return decodeDataUri(head + piece.repeat(count + 1), limit - 2);
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(KamadoError);
    expect((error as KamadoError).code).toBe("input_too_large");
  });
});
