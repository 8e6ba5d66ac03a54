// Documents as they come from a server or a file: what their bytes are, and what can be read of them.
import { describe, expect, test } from "vitest";
import { createPages } from "../../worker/pages/article.ts";
import { shiftJis } from "./pdf-file.ts";

const pages = createPages();
const bytes = (text: string) => new TextEncoder().encode(text);

describe("what a document is shows in its bytes, whatever the server says", () => {
  const page = "<!doctype html><title>Bread</title><p>A loaf of <b>bread</b>.";
  test.for([
    ["a page", page, "text/html", "html"],
    ["a page sent as text", page, "text/plain; charset=utf-8", "html"],
    ["a page sent as bytes", page, "application/octet-stream", "html"],
    ["a page without any type", `<div><p>A loaf of <b>bread</b>.</div>`, undefined, "html"],
    [
      "a feed sent as a page",
      "<rss><channel><item><title>Bread</title></item></channel></rss>",
      "text/html",
      "feed",
    ],
    ["Markdown", "A loaf of **bread**.", "text/markdown", "markdown"],
    ["a text", "A loaf of <b>bread.", "text/plain", "text"],
    ["a text sent as a page", "A loaf of bread < 500 g.", "text/html", "text"],
  ])("%s", async ([, text, contentType, format]) => {
    const found = await pages.document({ bytes: bytes(text!), contentType });
    expect(found).toMatchObject({ format, text: expect.stringMatching(/bread/i) });
  });
});

describe("text is decoded by its bytes", () => {
  const words = "パンは毎朝四十個焼きます。昼までに売り切れます。店は水曜日が休みです。";
  const utf16 = Uint8Array.from([0xff, 0xfe, ...Buffer.from(words, "utf16le")]);
  const utf8 = Uint8Array.from([0xef, 0xbb, 0xbf, ...bytes(words)]);
  test.for<[string, Uint8Array, string?]>([
    ["UTF-16", utf16],
    ["UTF-8 with a mark", utf8, "text/plain; charset=shift_jis"],
    ["Shift_JIS without a word of it", Uint8Array.from(Buffer.from(shiftJis(words), "hex")), "text/plain"],
  ])("%s", async ([, given, contentType]) => {
    expect(await pages.document({ bytes: given, contentType })).toMatchObject({
      text: words,
      markdown: words,
    });
  });
});

describe("a document that cannot be read says what it looks like", () => {
  const binary = (start: string) => Uint8Array.from(Buffer.from(start.padEnd(400, "\0"), "latin1"));
  test.for([
    ["\x89PNG\r\n\x1a\n", /a picture/],
    ["RIFF\x10\0\0\0WEBPVP8 ", /a picture/],
    ["ID3\x04", /a sound recording/],
    ["\0\0\0\x18ftypmp42", /a video/],
    ["PK\x03\x04....word/document.xml", /a Word document/],
    ["PK\x03\x04....mimetypeapplication/epub+zip", /an EPUB book/],
    ["PK\x03\x04", /a ZIP archive/],
    ["\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", /older Office/],
    ["\x1f\x8b\x08", /compressed/],
    ["<svg xmlns='http://www.w3.org/2000/svg'><text>a</text></svg>", /a drawing/],
    ["\x01\x02\x03\xff\xfe\xfd", /no text in a known character set \(sent as application\/octet-stream\)/],
  ] as const)("%j", async ([start, what]) => {
    const given = start.startsWith("<") ? bytes(start) : binary(start);
    const thrown = await pages
      .document({ bytes: given, contentType: "application/octet-stream" })
      .catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code: "document_unreadable", message: expect.stringMatching(what) });
  });

  test.for(["ID3 tags are in every file.", "The big WAVE came.", "BM25 ranks pages.", "II. The second part"])(
    "but a text is a text: %j",
    async (text) => {
      expect(await pages.document({ bytes: bytes(text) })).toMatchObject({ format: "text", text });
    },
  );

  test("an empty one, and one that is too large", async () => {
    await expect(pages.document({ bytes: new Uint8Array() })).rejects.toMatchObject({
      code: "document_unreadable",
    });
    await expect(
      createPages({ maxDocumentBytes: 3 }).document({ bytes: bytes("four") }),
    ).rejects.toMatchObject({
      code: "input_too_large",
    });
  });
});

describe("Markdown", () => {
  const source = `---
title: "The bread: a book"
author: A. Baker
date: 2026-04-01
lang: en
---

# Bread

A loaf of **good** [bread](https://e.example/b) costs
\`300\` yen.

- brown
- white

| a | b |
| --- | --- |
| 1 | 2 |
`;
  test("gives what its front matter says, and its words as text", async () => {
    const found = await pages.document({ bytes: bytes(source), url: "https://e.example/bread.md" });
    expect(found).toMatchObject({
      format: "markdown",
      title: "The bread: a book",
      byline: "A. Baker",
      published: "2026-04-01",
      language: "en",
      text: "Bread\nA loaf of good bread costs 300 yen.\nbrown\nwhite\na b\n1 2",
      url: "https://e.example/bread.md",
    });
    expect(found.markdown).toMatch(/^# Bread\n\nA loaf of \*\*good\*\*/);
  });

  test("has its first heading as title where no front matter names one", async () => {
    const found = await pages.document({
      bytes: bytes("# My *bread*\n\nWords."),
      contentType: "text/markdown",
    });
    expect(found.title).toBe("My bread");
  });
});

test("a JSON feed is read like other feeds, with links to its entries", async () => {
  const feed = {
    version: "https://jsonfeed.org/version/1.1",
    title: "Bread",
    items: [{ title: "Rye", url: "https://e.example/rye", content_html: "<p>Dark & <b>sour</b>.</p>" }],
  };
  const found = await pages.document({
    bytes: bytes(JSON.stringify(feed)),
    contentType: "application/feed+json",
  });
  expect(found).toMatchObject({ format: "feed", title: "Bread" });
  expect(found.markdown).toBe("## [Rye](https://e.example/rye)\n\nDark & **sour**.");
});
