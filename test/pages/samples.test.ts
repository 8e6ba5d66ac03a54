// Whole pages as sites send them, with all that stands around their text. Each has beside it the exact Markdown that a reader would want.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Page } from "../../worker/job/handler.ts";
import { createPages } from "../../worker/pages/article.ts";

const SAMPLES = join(import.meta.dirname, "samples");
const pages = createPages();
const read = (file: string) =>
  pages.document({ bytes: readFileSync(join(SAMPLES, file)), url: "https://site.example/a/page.html" });

describe("a sample page becomes exactly the Markdown beside it", () => {
  test.for<[string, Partial<Page>]>([
    ["news.html", { title: "Old swing bridge to open to walkers again", byline: "Mara Ellwood" }],
    ["blog.html", { byline: "Ines Park", published: "2025-11-02" }],
    ["docs.html", { canonicalUrl: "https://linewise.example/docs/reading.html" }],
    ["forum.html", { title: "Kettle clicks off before it boils", byline: "tessa" }],
    ["shop.html", { language: "en" }],
    ["japanese-news.html", { language: "ja", site: "野那根新報" }],
    ["library-shift-jis.html", { title: "図書館だより 六月号" }],
    ["library-euc-jp.html", { title: "図書館だより 六月号" }],
    ["report.pdf", { title: "Report on the Water of 2025", byline: "Nonane Waterworks", format: "pdf" }],
    ["notice-ja.pdf", { title: "断水のお知らせ", language: "ja", format: "pdf" }],
  ])("%s", async ([file, known]) => {
    const page = await read(file);
    expect(page).toMatchObject(known);
    expect(`${page.markdown}\n`).toBe(readFileSync(join(SAMPLES, file.replace(/\.\w+$/, ".md")), "utf8"));
  });
});
