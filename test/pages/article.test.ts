// The article in a page, as a handler asks for it.
import { describe, expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import { createPages } from "../../worker/pages/article.ts";
import { bareText } from "../../worker/pages/plain-text.ts";
import { readPage } from "../../worker/pages/read-page.ts";
import fc from "../properties.ts";
import { growthOf } from "../steps.ts";

const pages = createPages();
const PARAGRAPH =
  "The bakery on the corner sells forty loaves a day, most of them before nine, and closes when they are gone.";

const PAGE = `<!doctype html><html><head><title>Bread &amp; salt</title><style>p{color:red}</style></head><body>
  <nav><a href="/">Home</a> <a href="/about">About us</a></nav>
  <article><h1>Bread &amp; salt</h1>
    ${Array.from({ length: 8 }, (_, index) => `<p>${index + 1}. ${PARAGRAPH}\n  It <b>is</b> well<br>known.</p>`).join("\n")}
  </article>
  <script>document.title = "hacked"</script>
  <footer>All rights reserved. <a href="/terms">Terms</a></footer></body></html>`;

describe("an article", () => {
  test("is its title and its paragraphs, each on a line of its own", async () => {
    const { title, text } = await pages.article(PAGE);
    expect(title).toBe("Bread & salt");
    expect(text.split("\n")).toContain(`1. ${PARAGRAPH} It is well`);
    expect(text).toContain("\nknown.\n");
  });

  test("comes without menus, scripts and styles", async () => {
    const { text } = await pages.article(PAGE);
    for (const noise of ["About us", "Terms", "hacked", "color"]) expect(text).not.toContain(noise);
  });

  test("in Japanese", async () => {
    const line = "この店は毎日四十個のパンを焼き、たいてい朝九時までに売り切れます。";
    const { text } = await pages.article(
      `<html><body><article>${`<p>${line}</p>`.repeat(12)}</article></body></html>`,
    );
    expect(text.split("\n")).toEqual(Array(12).fill(line));
  });
});

describe("a page without an article", () => {
  test.for([
    ["<p>Hello <b>you</b>.<p>Second<br>line", "Hello you.\nSecond\nline"],
    ["<table><tr><td>Eggs<td>2</tr><tr><td>Milk<td>1</tr></table>", "Eggs 2\nMilk 1"],
    ["<ul><li>one<li>two</ul>", "one\ntwo"],
    ["just words", "just words"],
    ["<div>a &lt; b &amp; c</div>", "a < b & c"],
    ["", ""],
  ])("gives its words: %j", ([html, text]) => {
    expect(readPage(html!).text).toBe(text);
  });

  test("still has its title", () => {
    expect(readPage("<title> My\n page </title><p>Hello.").title).toBe("My page");
    expect(readPage("<p>Hello.").title).toBeNull();
  });
});

describe("a page that is made to harm its reader", () => {
  test("too large a one is refused", async () => {
    const small = createPages({ maxBytes: 100 });
    const thrown = await small.article(PAGE).catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(KamadoError);
    expect(thrown).toMatchObject({ code: "input_too_large", message: expect.stringContaining("100") });
  });

  test("one that takes too long gives the text between its tags", async () => {
    const hurried = createPages({ timeoutMs: 1 });
    const { text } = await hurried.article(PAGE);
    expect(text).toContain(`1. ${PARAGRAPH}`);
    expect(text).not.toContain("hacked");
  });

  test.for([
    ["nested without end", `${"<div>".repeat(50_000)}deep`, "deep"],
    ["of more tags than anyone reads", `${"<b>".repeat(50_000)}many`, "many"],
    ["of scripts that never close", `<p>before${"<script>".repeat(100_000)}`, "before"],
  ])("one %s gives its bare text", async ([, html, text]) => {
    expect((await pages.article(html!)).text).toBe(text);
  });

  test("the text between the tags never contains tags or scripts", () => {
    const piece = fc.oneof(
      fc.constantFrom("<script>", "</script>", "<style >", "</STYLE>", "<", ">", "<p", "</", "evil()", " "),
      fc.string({ maxLength: 5 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        expect(bareText(`<p>${pieces.join("")}`)).not.toMatch(/<script>|<style >/i);
      }),
    );
    expect(bareText("<p>a</p><script>evil()</script><p>b</p>")).toBe("a\nb");
  });

  test.for([
    "<",
    "<a",
    "<p>",
    "</p>x",
    "<script>",
    "</script",
    "<style></style>",
    "< ",
    "<script >a</script>",
    " ",
    "\\0",
  ])("the bare text takes steps in proportion to the page: %j", (pattern) => {
    expect(growthOf(bareText, pattern)).toBeLessThan(5);
  });
});
