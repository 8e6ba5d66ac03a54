// The content of a page as Markdown: what each of its parts becomes, and that it reads back as the same text.
import { micromark } from "micromark";
import { gfm, gfmHtml } from "micromark-extension-gfm";
import { describe, expect, test } from "vitest";
import { parsePage } from "../../worker/pages/parse-page.ts";
import { textOf } from "../../worker/pages/plain-text.ts";
import { markdownOf } from "../../worker/pages/to-markdown.ts";
import fc from "../properties.ts";
import { growthOf } from "../steps.ts";

const url = "https://site.example/a/page.html";
const markdown = (html: string, title: string | null = null) =>
  markdownOf(parsePage(html).body, { url, title });

describe("a page as Markdown", () => {
  test.for([
    ["headings keep their level", "<h2>A</h2><h4>B <b>c</b></h4>", "## A\n\n#### B c"],
    ["a heading without its permalink", '<h2>A <a href="#a">¶</a></h2>', "## A"],
    ["a heading over two lines", "<h2>A<br>b</h2>", "## A b"],
    ["a heading that is none to HTML", "<div role=heading aria-level=3>A</div>", "### A"],
    ["line ends", "a<br>b<br><br>c<br>", "a  \nb\n\nc"],
    ["marks", "<b>a</b> <i>b</i> <del>c</del>", "**a** *b* ~~c~~"],
    ["marks with spaces at their ends", "a<b> b </b>c", "a **b** c"],
    ["marks within marks", "<b><strong>a</strong></b><b>b</b>", "**a**b"],
    ["marks around paragraphs", "<b><p>a<p>b</b>", "**a**\n\n**b**"],
    [
      "no mark that could not be read as one",
      "<b>「重要」</b>です。<b>重要</b>です。",
      "「重要」です。**重要**です。",
    ],
    ["code", "<code>a`b</code> <kbd>Ctrl</kbd>", "``a`b`` `Ctrl`"],
    ["links, absolute", '<a href="../b?c=1#d">x</a>', "[x](https://site.example/b?c=1#d)"],
    ["addresses that would end a link", '<a href="/a b(c)">x</a>', "[x](https://site.example/a%20b%28c%29)"],
    [
      "no links that lead nowhere",
      '<a href="javascript:a()">x</a> <a href="data:a">y</a> <a name=z>z</a>',
      "x y z",
    ],
    [
      "a card, linked once",
      '<a href="/c"><h3>Card</h3><p>Words.</p></a>',
      "### [Card](https://site.example/c)\n\nWords.",
    ],
    ["an exclamation before a link", 'Look!<a href="/c">x</a>', "Look\\![x](https://site.example/c)"],
    [
      "pictures that say something",
      '<img src="a.png" alt="A [pic]">',
      "![A \\[pic\\]](https://site.example/a/a.png)",
    ],
    [
      "pictures that load late",
      '<img src="data:image/gif;base64,xx" data-src="/b.png" alt="B">',
      "![B](https://site.example/b.png)",
    ],
    [
      "no other pictures",
      'a<img src="a.png"><img src="b.png" alt="b" width=1 height=1><img src="data:image/png;base64,xx" alt=c>',
      "a",
    ],
    ["small pictures that stand for a character", 'Well <img src="a.png" alt="😀"> done', "Well 😀 done"],
    [
      "captions in their place",
      "<figure><img src=a.png alt=A><figcaption>The <b>a</b></figcaption></figure>b",
      "![A](https://site.example/a/a.png)\n\n*The a*\n\nb",
    ],
    ["lists", "<ul><li>a<ul><li>b</ul><li>c</ul>", "- a\n  - b\n- c"],
    ["lists that start elsewhere", "<ol start=9><li>a<li>b<li value=20>c</ol>", "9. a\n10. b\n20. c"],
    ["lists that count down", "<ol reversed><li>a<li>b</ol>", "2. a\n1. b"],
    ["items of several paragraphs", "<ol><li><p>a<p>b<li>c</ol>", "1. a\n\n   b\n\n2. c"],
    ["lists in lists without an item", "<ul><li>a<ul><ul><li>b</ul></ul></ul>", "- a\n  - - b"],
    ["items without a list", "<li>a<li>b", "- a\n- b"],
    ["tasks", "<ul><li><input type=checkbox checked> a<li><input type=checkbox> b</ul>", "- [x] a\n- [ ] b"],
    [
      "terms and what they mean",
      "<dl><dt>A<dt>B<dd><p>One.</p><dt>C<dd>Two.<dd>Three.</dl>",
      "- **A**, **B**: One.\n- **C**:\n  - Two.\n  - Three.",
    ],
    [
      "terms in groups",
      "<dl><div><dt>A</dt><dd>One.</dd></div><div><dt>B</dt></div></dl>",
      "- **A**: One.\n- **B**",
    ],
    ["quotes", "<blockquote><p>a<p>b<ul><li>c</ul></blockquote>", "> a\n>\n> b\n>\n> - c"],
    [
      "tables",
      "<table><caption>T</caption><tr><th>A<th>B<tr><td>1|2<td>3<br>4<p>5</table>",
      "*T*\n\n| A | B |\n| --- | --- |\n| 1\\|2 | 3<br>4<br>5 |",
    ],
    [
      "tables without a header",
      "<table><tr><td>a<td>b<tr><td>c<td>d</table>",
      "|  |  |\n| --- | --- |\n| a | b |\n| c | d |",
    ],
    [
      "cells over several places",
      "<table><tr><th colspan=2>A<th>B<tr><td rowspan=2>1<td>2<td>3<tr><td>4<td>5</table>",
      "| A |  | B |\n| --- | --- | --- |\n| 1 | 2 | 3 |\n|  | 4 | 5 |",
    ],
    [
      "lists in cells",
      "<table><tr><th>A<th>B<tr><td><ul><li>a<li>b</ul><td>c</table>",
      "| A | B |\n| --- | --- |\n| • a<br>• b | c |",
    ],
    ["a table that only arranges", "<table><tr><td><h2>A</h2><p>b</table>", "## A\n\nb"],
    [
      "code with its language",
      '<pre><code class="hljs language-ts">a\n  b\n</code></pre>',
      "```ts\na\n  b\n```",
    ],
    ["code that holds a fence", "<pre>a\n```\nb\n````</pre>", "`````\na\n```\nb\n````\n`````"],
    ["code in an item", "<ul><li>a<pre>b\n\nc</pre></ul>", "- a\n\n  ```\n  b\n\n  c\n  ```"],
    ["code whose lines are elements", "<pre><div>a</div><div>b</div></pre>", "```\na\nb\n```"],
    [
      "code without the numbers beside it",
      "<table class=rouge-table><tr><td class='gutter'><pre class=lineno>1</pre><td class=rouge-code><pre>a</pre></table>",
      "```\na\n```",
    ],
    ["what can be unfolded", "<details><summary>More</summary><p>a</details>", "**More**\n\na"],
    ["a rule", "a<hr>b", "a\n\n---\n\nb"],
    ["raised numbers", "m<sup>2</sup> H<sub>2</sub>O 1<sup>st</sup> 10<sup>-6</sup>", "m² H₂O 1st 10⁻⁶"],
    [
      "footnotes",
      'a<sup><a href="#n" id=r>1</a></sup><ol><li id=n><p>N. <a href="#r">↩</a></ol>',
      "a[^1]\n\n[^1]: N.",
    ],
    [
      "formulas",
      '<math alttext="x^2"><mi>x</mi></math> <math><mi>y</mi><mo>=</mo><mn>1</mn></math>',
      "$x^2$ $y=1$",
    ],
    [
      "words without how they are read",
      "<ruby>東京<rp>(</rp><rt>とうきょう</rt><rp>)</rp></ruby>は",
      "東京は",
    ],
    ["words without hyphens that nobody sees", "mara&shy;thon", "marathon"],
  ])("%s", ([, html, expected]) => {
    expect(markdown(html!)).toBe(expected);
  });

  test("leaves out the heading that only repeats its title, once", () => {
    expect(markdown("<h1>Bread</h1>a<h2>Bread</h2>b", "Bread - Nonane News")).toBe("a\n\n## Bread\n\nb");
  });

  test("keeps relative addresses where its own is not known", () => {
    expect(markdownOf(parsePage('<a href="b.html">x</a> <a href="#y">y</a>').body)).toBe("[x](b.html) y");
  });
});

/** What a reader of the Markdown sees. */
const readBack = (source: string): string => {
  const html = micromark(source, {
    extensions: [gfm()],
    htmlExtensions: [gfmHtml()],
    allowDangerousHtml: true,
  });
  return textOf(parsePage(html).body);
};

describe("the Markdown reads back as the same text", () => {
  test.for([
    "*a* _b_ **c** `d` ~e~ ~~f~~ \\g \\* a*b*c a_b_c 2 * 3 _ x",
    "# a",
    "## ",
    "- a",
    "+ a",
    "* a",
    "> a",
    "1. a",
    "2) a",
    "---",
    "***",
    "___",
    "===",
    "```",
    "~~~",
    "| a |",
    "a | b",
    "[a](b)",
    "[a]: b",
    "![a](b)",
    "[^1]",
    "[x] a",
    "[ ] a",
    "a [b] (c)",
    "<b>a</b>",
    "<!-- a -->",
    "a < b > c",
    "a<b",
    "&amp; &copy; &#65; & a",
    "https://a.example/b_c_d?e=*f*",
    "www.a.example",
    "a@b.example",
    "a\\",
    "!",
    "1986. A year",
    "#tag",
    "C# and F#",
    "a  b",
    ":::",
    "$x$",
    "1.",
  ])("%j", (text) => {
    const paragraph = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
    expect(readBack(markdown(`<p>${paragraph}</p>`))).toBe(text.replaceAll(/\s+/g, " ").trim());
    expect(readBack(markdown(`<ul><li>${paragraph}</li></ul>`))).toBe(text.replaceAll(/\s+/g, " ").trim());
  });

  const words = fc.constantFrom(
    "a",
    "b ",
    " c",
    "日本",
    "。",
    "「",
    "*",
    "_",
    "`",
    "~",
    "[",
    "]",
    "(",
    ")",
    "#",
    "-",
    "+",
    "1.",
    "&amp;",
    "&lt;",
    "!",
    "|",
    "\\",
    " ",
    "=",
    ">",
    ":",
    "<br>",
  );
  const inline = fc.oneof(
    words,
    fc
      .tuple(fc.constantFrom("b", "i", "del", "span", "strong"), fc.array(words, { maxLength: 4 }))
      .map(([tag, inner]) => `<${tag}>${inner.join("")}</${tag}>`),
    // Of a heading, a link with only this sign is its permalink.
    fc
      .array(words, { maxLength: 3 })
      .map((inner) => `<a href="/x">${inner.join("").replaceAll("#", "x")}</a>`),
  );
  const block = fc
    .tuple(
      fc.constantFrom("p", "h2", "blockquote", "ul><li", "table><tr><td>x<td", "div"),
      fc.array(inline, { maxLength: 8 }),
    )
    .map(([tag, inner]) => `<${tag}>${inner.join("")}</${tag.split(">")[0]}>`);

  test("whatever marks stand in it", () => {
    const tight = (text: string) => text.replaceAll(/\s+/g, "");
    fc.assert(
      fc.property(fc.array(block, { maxLength: 4 }), (blocks) => {
        const html = blocks.join("");
        expect(tight(readBack(markdown(html)))).toBe(tight(textOf(parsePage(html).body)));
      }),
      { numRuns: 150 },
    );
  });
});

describe("a page that is made to harm its reader", () => {
  test("one of nested quotes and lists does not grow", () => {
    const html = `${"<blockquote><ul><li>".repeat(80)}deep${"<p>x".repeat(200)}`;
    expect(markdown(html).length).toBeLessThan(50_000);
  });

  test("nor one of cells that span millions of places", () => {
    const cell = "<td colspan=1000000 rowspan=65534>a";
    expect(markdown(`<table>${`<tr>${cell.repeat(20)}`.repeat(20)}</table>`).length).toBeLessThan(1_000_000);
  });

  test("nor does one of code with rows of spaces without end take long", () => {
    const html = `<pre>a${" ".repeat(100_000)}b\n  c</pre>`;
    expect(markdown(html)).toBe(`\`\`\`\na${" ".repeat(1_000)}b\n  c\n\`\`\``);
  });

  test.for([
    "<p>a",
    "a<br>",
    "<b>a</b> ",
    "<ul><li>a</ul>",
    "<tr><td>a<td>b",
    "<li>a",
    '<a href="#a">1</a>',
    "<dt>a<dd>b",
  ])("it takes steps in proportion to the page: %j", (pattern) => {
    expect(growthOf(markdown, pattern)).toBeLessThan(6);
  });
});
