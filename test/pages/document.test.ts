// Documents as they come from a server or a file: what their bytes are, and what can be read of them.
import { describe, expect, test } from "vitest";
import { createPages } from "../../worker/pages/article.ts";

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
