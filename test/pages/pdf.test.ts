// PDF documents as pages: their text in the order of reading, and what is said of those that cannot be read.
import { deflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { createPages } from "../../worker/pages/article.ts";
import { readPdf } from "../../worker/pages/pdf.ts";
import { type PdfLine, type PdfOptions, pdfOf } from "./pdf-file.ts";

const line = (text: string, y: number, more: Partial<PdfLine> = {}): PdfLine => ({ text, x: 72, y, ...more });
const read = (pages: readonly (readonly PdfLine[])[], options: PdfOptions = {}) =>
  readPdf(pdfOf(pages, options), { maxPages: 10 });

describe("a PDF", () => {
  test("is its paragraphs, joined over the ends of lines and pages, its hyphens undone", async () => {
    const { text } = await read([
      [
        line("The bakery on the corner of the market sells forty loa-", 700),
        line("ves a day. Most of them are gone before nine, and the", 686),
        line("shop closes then. It is a well-known place in Nonane.", 672),
        line("A second paragraph begins behind a wider gap, and the well-", 640),
        line("known baker begins his work when it is dark, and he", 626),
      ],
      [line("goes home at ten. Nobody else works there.", 760)],
    ]);
    expect(text.split("\n")).toEqual([
      "The bakery on the corner of the market sells forty loaves a day. Most of them are gone before nine, and the shop closes then. It is a well-known place in Nonane.",
      "A second paragraph begins behind a wider gap, and the well-known baker begins his work when it is dark, and he goes home at ten. Nobody else works there.",
    ]);
  });

  test("has headings by their size, and lists", async () => {
    const { title, markdown } = await read([
      [
        line("Bread", 780, { size: 24, font: "F2" }),
        line("Prices", 740, { size: 16, font: "F2" }),
        line("All breads of the shop cost the same on every day but", 710),
        line("Sunday, when it is closed.", 696),
        line("\u0095 brown", 670),
        line("\u0095 white", 656),
      ],
    ]);
    expect(title).toBe("Bread");
    expect(markdown).toBe(
      "## Prices\n\nAll breads of the shop cost the same on every day but Sunday, when it is closed.\n\n- brown\n- white",
    );
  });

  test("says what its metadata knows", async () => {
    const found = await read([[line("Some words.", 700)]], {
      info: { Title: "パンの本", Author: "A. Baker", CreationDate: "D:20260401120000+09'00'" },
      language: "ja-JP",
    });
    expect(found).toMatchObject({
      title: "パンの本",
      byline: "A. Baker",
      published: "2026-04-01T12:00:00+09:00",
      language: "ja-JP",
      format: "pdf",
    });
  });

  test("in Japanese is read although its font is not in the file, without spaces between its lines", async () => {
    const { text } = await read([
      [
        line("この店は毎日四十個のパンを焼き、たいてい朝", 700, { font: "F3" }),
        line("九時までに売り切れます。", 686, { font: "F3" }),
      ],
    ]);
    expect(text).toBe("この店は毎日四十個のパンを焼き、たいてい朝九時までに売り切れます。");
  });

  test("comes without the heads and numbers of its pages", async () => {
    const page = (number: number, words: string) => [
      line("The Book of Bread", 810, { size: 8 }),
      line(words, 700),
      line(`${number}`, 30, { size: 8 }),
    ];
    const { text } = await read([page(1, "First words."), page(2, "Second words."), page(3, "Third words.")]);
    expect(text).toBe("First words.\nSecond words.\nThird words.");
  });
});

describe("a PDF that cannot be read says why", () => {
  const words = [[line("Some words.", 700)]];
  const key = `<${"41".repeat(32)}>`;
  const encrypt = `/Encrypt << /Filter /Standard /V 1 /R 2 /O ${key} /U ${key} /P -4 >> /ID [<00> <00>]`;

  test.for<[string, Uint8Array, RegExp]>([
    ["one with a password", pdfOf(words, { trailer: encrypt }), /password/],
    ["a damaged one", pdfOf(words).subarray(0, 60), /damaged/],
    ["a scanned one", pdfOf([[], []]), /2 pages have no text.*OCR/],
  ])("%s", async ([, bytes, why]) => {
    const thrown = await readPdf(bytes, { maxPages: 10 }).catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code: "document_unreadable", message: expect.stringMatching(why) });
  });

  test("one of more pages than the limit", async () => {
    const thrown = await readPdf(pdfOf([[], [], []]), { maxPages: 2 }).catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code: "input_too_large", message: expect.stringContaining("3 pages") });
  });

  test("in the thread too, where it takes neither the bytes nor the time of the worker", async () => {
    const bytes = pdfOf(words);
    const found = await createPages().document({
      bytes,
      contentType: "application/octet-stream",
      url: "https://e.example/a",
    });
    expect(found).toMatchObject({ format: "pdf", text: "Some words.", url: "https://e.example/a" });
    expect(bytes.length).toBeGreaterThan(0);
    await expect(createPages({ pdfTimeoutMs: 1 }).document({ bytes })).rejects.toMatchObject({
      code: "document_unreadable",
    });
  });

  test("one of a few bytes that become many", async () => {
    const bytes = packedPdf(deflateSync(Buffer.alloc(60_000_000, " ")));
    expect(bytes.length).toBeLessThan(100_000);
    await expect(createPages({ maxPdfMemoryMb: 40 }).document({ bytes })).rejects.toMatchObject({
      code: "document_unreadable",
      message: expect.stringContaining("40 MB of memory"),
    });
  });
});

function packedPdf(content: Buffer): Uint8Array {
  const head = `%PDF-1.7
1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj
2 0 obj << /Type /Pages /Kids [3 0 R] /Count 1 >> endobj
3 0 obj << /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R >> endobj
4 0 obj << /Length ${content.length} /Filter /FlateDecode >>
stream
`;
  const end = "\nendstream\nendobj\ntrailer << /Root 1 0 R /Size 5 >>\n%%EOF";
  return Uint8Array.from(Buffer.concat([Buffer.from(head), content, Buffer.from(end)]));
}
