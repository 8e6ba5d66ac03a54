// Which text bytes from outside are.
import { describe, expect, test } from "vitest";
import { decodeText } from "../../worker/http/text-encoding.ts";
import { ENCODED, TEXTS } from "../fakes/encoded-texts.ts";

const utf16 = (text: string, isBig = false) => {
  const bytes = Buffer.from(text, "utf16le");
  return isBig ? bytes.swap16() : bytes;
};
const pageOf = (bytes: Uint8Array, charset: string) =>
  Buffer.concat([Buffer.from(`<!doctype html><html><head><meta charset="${charset}"><p>`), bytes]);

describe.each(ENCODED)("%s in %s", (text, charset, bytes) => {
  test.each([
    ["that the header names", `text/plain; charset=${charset}`],
    ["that the header names in quotes and capitals", `text/html;Charset="${charset.toUpperCase()}"; x=y`],
    ["that nobody names", null],
    ["under a type without one", "text/html"],
    ["under a name that is none", "text/html; charset=nonsense"],
    ["that is said to be UTF-8", "text/html; charset=utf-8"],
  ])("is read: %s", (_, contentType) => {
    expect(decodeText(bytes, contentType)).toBe(text);
  });

  test("is read in a page that names it, whatever the server sends for all of its pages", () => {
    for (const contentType of [
      null,
      "text/html",
      "text/html; charset=ISO-8859-1",
      "text/html; charset=utf-8",
    ])
      expect(decodeText(pageOf(bytes, charset), contentType)?.split("<p>")[1]).toBe(text);
  });

  test("is read in a page that names it late, behind scripts and comments", () => {
    const page = pageOf(bytes, charset)
      .toString("latin1")
      .replace("<head>", `<head><!--${"x".repeat(5_000)}-->`);
    expect(decodeText(Buffer.from(page, "latin1"), "text/html; charset=ISO-8859-1")?.split("<p>")[1]).toBe(
      text,
    );
  });

  test("is read in XML that names it", () => {
    const xml = Buffer.concat([Buffer.from(`<?xml version="1.0" encoding="${charset}"?><p>`), bytes]);
    expect(decodeText(xml)?.split("<p>")[1]).toBe(text);
  });

  test("is never read with a character in place of what is damaged", () => {
    for (const cut of [1, 3, 7]) expect(decodeText(bytes.subarray(0, -cut)) ?? "").not.toContain("\ufffd");
  });
});

describe("the Unicode forms", () => {
  test.each(Object.entries(TEXTS))("of %s", (_, text) => {
    for (const declared of [
      null,
      "text/html; charset=iso-8859-1",
      "text/html; charset=Shift_JIS",
      "text/plain; charset=gbk",
    ]) {
      expect(decodeText(Buffer.from(text), declared)).toBe(text);
      expect(decodeText(Buffer.from(`\ufeff${text}`), declared)).toBe(text);
      expect(decodeText(utf16(`\ufeff${text}`), declared)).toBe(text);
      expect(decodeText(utf16(`\ufeff${text}`, true), declared)).toBe(text);
    }
  });

  test.each([TEXTS.ja, TEXTS.ko, TEXTS.zh, TEXTS.fr, TEXTS.ru, "plain"])(
    "UTF-16 without a mark: %s",
    (text) => {
      for (const isBig of [false, true]) {
        expect(decodeText(utf16(text, isBig))).toBe(text);
        expect(decodeText(utf16(text, isBig), "text/plain; charset=utf-8")).toBe(text);
      }
    },
  );

  test("a few letters that could be UTF-8 by accident are what their sender says", () => {
    const gbk = Buffer.from([0xc1, 0xaa, 0xcd, 0xa8]);
    expect(decodeText(gbk, "text/plain; charset=gbk")).toBe("联通");
    expect(decodeText(Buffer.from("é"), "text/plain; charset=windows-1252")).toBe("é");
  });

  test("an empty text, ASCII, and a � that the sender wrote", () => {
    for (const text of ["", "plain", "\ufffd as written"]) {
      expect(decodeText(Buffer.from(text))).toBe(text);
      expect(decodeText(Buffer.from(text), "text/plain; charset=shift_jis")).toBe(text);
    }
  });
});

describe("what is no text", () => {
  test.each([
    ["a picture", Buffer.from("89504e470d0a1a0a0000000d4948445200000100", "hex")],
    ["UTF-8 that was cut in a character", Buffer.from(TEXTS.fr).subarray(0, -2)],
    ["Japanese UTF-8 that was cut", Buffer.from(TEXTS.ja).subarray(0, -1)],
    ["Korean in an encoding of mails that browsers do not know", Buffer.from("\x1b$)C\x0e!!")],
    ["UTF-32, which browsers do not know", Buffer.from("fffe00006100000062000000", "hex")],
    ["UTF-32 with its other mark", Buffer.from("0000feff0000006100000062", "hex")],
    ["UTF-16 with half of a pair", utf16("\ufeffa\ud800")],
    [
      "bytes without order",
      Buffer.from(Array.from({ length: 600 }, (_, index) => (index * 7_919 + ((index * index) >> 3)) & 255)),
    ],
  ])("%s", (_, bytes) => {
    expect(decodeText(bytes)).toBeNull();
  });
});
