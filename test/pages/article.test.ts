// The article in a page, as a handler asks for it.
import { describe, expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import { createPages } from "../../worker/pages/article.ts";
import { bareText, isIntricate } from "../../worker/pages/plain-text.ts";
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

  test("has the address it was read from, and everything else that is known of it", async () => {
    const html = PAGE.replace("<html>", "<html lang=en>").replace(
      "<head>",
      "<head><link rel=canonical href=/bread>",
    );
    expect(await pages.article(html, { url: "https://x.y/2026/03/04/bread?from=mail" })).toMatchObject({
      url: "https://x.y/2026/03/04/bread?from=mail",
      canonicalUrl: "https://x.y/bread",
      published: "2026-03-04",
      language: "en",
      format: "html",
      obstacle: null,
    });
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

const STORY = "<p>A marathon was run in Nonane.<p>All of it took place on 4 July.";
const TOLD = "A marathon was run in Nonane.\nAll of it took place on 4 July.";

describe("a page whose tags are left out, repeated or in a wrong place is read as a browser reads it", () => {
  test.for([
    [
      "without head and body",
      `<!doctype html><html lang=en><meta charset=utf-8><title>T</title>${STORY}</html>`,
    ],
    ["without body, its head closed", `<html><head><title>T</title></head>${STORY}</html>`],
    ["without html, its body open", `<!DOCTYPE HTML><title>T</title><body>${STORY}`],
    ["without head, its title in the body", `<html><body><title>T</title>${STORY}</body></html>`],
    ["with html in a comment before it", `<!-- an <html> page with a <body> --><title>T</title>${STORY}`],
    ["with a conditional comment", `<!--[if IE]><html class=ie><![endif]--><html><title>T</title>${STORY}`],
    [
      "with a doctype and names in upper case",
      `<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN"><HTML><HEAD><TITLE>T</TITLE></HEAD><BODY>${STORY}</BODY></HTML>`,
    ],
    [
      "with several bodies",
      `<html><head><title>T</title><body><p>A marathon was run in Nonane.</body><body><p>All of it took place on 4 July.</body></html>`,
    ],
    [
      "with text after its end",
      `<html><title>T</title><body><p>A marathon was run in Nonane.</body></html><p>All of it took place on 4 July.`,
    ],
    [
      "with a body in a script and in an attribute",
      `<html><head><title>T</title><script>var a = "<body>no</body>"</script></head><body data-x="<body>">${STORY}</body></html>`,
    ],
    [
      "with templates and noscript",
      `<title>T</title><template><p>no</template><noscript><p>no</noscript>${STORY}`,
    ],
    [
      "with a shadow root where none can be",
      `<title>T</title><template shadowrootmode=open><slot name=a></slot><p>no</template>${STORY}`,
    ],
    [
      "as XHTML with its text in CDATA",
      `<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>T</title></head><body><p><![CDATA[A marathon was run in Nonane.]]></p><p>All of it took place on <![CDATA[4 July.]]></p></body></html>`,
    ],
    [
      "as XHTML",
      `<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd"><html xmlns="http://www.w3.org/1999/xhtml"><head><title>T</title><script src="a.js"/><style type="text/css" /></head><body><a id="top"/><p>A marathon was run in Nonane.</p><p>All of it took place on 4 July.</p></body></html>`,
    ],
    [
      "of frames",
      `<html><head><title>No</title></head><frameset cols="1,2"><frame src=a><frame src=b><noframes><title>T</title><body>${STORY}</body></noframes></frameset></html>`,
    ],
    [
      "with a title in its picture before its own",
      `<body><svg><title>no</title></svg>${STORY}<title>T</title>`,
    ],
    [
      "as XHTML without its first line",
      `<!DOCTYPE html><html lang="en" xmlns="http://www.w3.org/1999/xhtml"><head><title>T</title><script src="a.js"/></head><body><iframe src="b"/>${STORY}</body></html>`,
    ],
    [
      "as XHTML behind a comment",
      `<!-- saved --><?xml version="1.0"?><html><head><title>T</title><script src="a.js"/></head><body>${STORY}</body></html>`,
    ],
    [
      "with its text in a shadow root",
      `<title>T</title><my-story><template shadowrootmode="open"><style>p {}</style>${STORY}</template></my-story>`,
    ],
    [
      "with its text in the slots of a shadow root",
      `<title>T</title><my-story><p slot=end>All of it took place on 4 July.</p><p>A marathon was run in Nonane.</p><template shadowrootmode="open"><slot>no</slot><slot name=end>no</slot><slot name=none></slot></template></my-story>`,
    ],
    [
      "with shadow roots in one another",
      `<title>T</title><a-a><template shadowrootmode=closed><b-b><template shadowroot=open>${STORY}</template>no</b-b></template></a-a>`,
    ],
    [
      "as a mail of Word",
      `<html xmlns:o="urn:schemas-microsoft-com:office:office"><head><title>T</title><!--[if gte mso 9]><xml><w:View>no</w:View></xml><![endif]--></head><body><xml><w:View>no</w:View></xml><div class=WordSection1><p class=MsoNormal>A marathon was run in <st1:City w:st="on">Nonane</st1:City>.<o:p></o:p></p><p>All of it took place on 4&nbsp;July.<o:p>&nbsp;</o:p></p></div></body></html>`,
    ],
    [
      "with hyphens that nobody sees",
      `<title>T</title>${STORY.replace("marathon", "mara&shy;thon").replace("Nonane", "No&#8203;nane")}`,
    ],
  ])("%s", ([, html]) => {
    expect(readPage(html!)).toMatchObject({ title: "T", text: TOLD });
  });

  test.for([
    ["text before html stays", "Before. <html><body><p>After.", "Before.\nAfter."],
    ["cells and rows without ends", "<table><tr><td>Eggs<td>2<tr><td>Milk<td>1</table>", "Eggs 2\nMilk 1"],
    ["terms without ends", "<dl><dt>Bread<dd>baked<dt>Salt<dd>dug</dl>", "Bread\nbaked\nSalt\ndug"],
    ["list items that hold lists", "<ul><li>one<ul><li>inner</ul><li>two</ul>", "one\ninner\ntwo"],
    ["text in a table before its rows", "<table>Prices<tr><td>1</table>", "Prices\n1"],
    [
      "old blocks",
      "<center>one</center><center>two</center><menu><li>a<li>b</menu><dir><li>c</dir>",
      "one\ntwo\na\nb\nc",
    ],
    [
      "the parts of a form",
      "<fieldset><legend>Bread</legend>brown<dialog open>or white</dialog></fieldset>",
      "Bread\nbrown\nor white",
    ],
    ["elements of one's own", "<x-p>one</x-p><x-p>two <x-b>three</x-b>, four</x-p>", "one\ntwo three, four"],
    ["elements of another language", "<doc><para>one</para><para>two</para></doc>", "one\ntwo"],
    ["text that holds tags", "<xmp>a <b> c</xmp><p>d<plaintext>e <i>", "a <b> c\nd\ne <i>"],
    ["tags that close in the wrong order", "<p><b>one <i>two</b> three</i> four", "one two three four"],
  ])("%s", ([, html, text]) => {
    expect(readPage(html!).text).toBe(text);
  });
});

describe("how a word is read", () => {
  const rest = "は大きい。";
  test.for([
    "<ruby>東京<rt>とうきょう</rt></ruby>",
    "<ruby>東京<rp>(</rp><rt>とうきょう</rt><rp>)</rp></ruby>",
    "<ruby>東<rt>とう<rt>x</rt>京<rt>きょう</ruby>",
    "<ruby>東京<rp>(<rt>とうきょう<rp>)</ruby>",
    "<ruby><rb>東</rb><rb>京</rb><rt>とう</rt><rt>きょう</rt></ruby>",
    "<ruby>東京<rtc><rt>とうきょう</rt></rtc><rtc>Tokyo</rtc></ruby>",
    "<ruby><ruby>東京<rt>とうきょう</rt></ruby><rt>Tokyo</rt></ruby>",
  ])("does not run into the words: %s", (word) => {
    expect(readPage(`<article><p>${word}${rest}</p></article>`).text).toBe(`東京${rest}`);
    expect(readPage(`<article>${`<p>${word}${rest}</p>`.repeat(30)}</article>`).text).toContain(
      `東京${rest}`,
    );
  });

  test("nor in the text between the tags", () => {
    expect(bareText(`<p><ruby>東京<rp>(<rt>とうきょう<rp>)</ruby>${rest}<p>b`)).toBe(`東京${rest}\nb`);
  });
});

describe("a page without words of its own gives what it has instead", () => {
  test.for([
    [
      "the article in its data",
      `<div id=app></div><script type="application/ld+json">{"@graph":[{"@type":"NewsArticle","articleBody":"One.\\nTwo."}]}</script>`,
      "One.\nTwo.",
    ],
    [
      "what is said of its pictures",
      `<p><img src=a alt="A marathon."><img src=b><map><area alt="To the start"></map>`,
      "A marathon.\nTo the start",
    ],
    ["its forms", "<form><textarea>All of it.</textarea><button>Send</button></form>", "All of it.\nSend"],
    ["its drawing", "<svg><title>Map</title><text>Nonane</text><text>4 km</text></svg>", "Map\nNonane\n4 km"],
  ])("%s", ([, html, text]) => {
    expect(readPage(html!).text).toBe(text);
  });

  test.each([
    "<iframe src=a>Your browser shows no frames.</iframe>",
    "<video src=a>Your browser plays no films.</video>",
    "<canvas>Your browser draws nothing.</canvas>",
    '<script type="application/ld+json">{"articleBody":</script>',
  ])("but not what is meant for browsers that cannot show it: %s", (html) => {
    expect(readPage(html).text).toBe("");
  });
});

describe("the text between the tags", () => {
  test.for([
    ["<p>Fish &amp chips &lt 5 &#x65E5;&#26412; &bogus;", "Fish & chips < 5 日本 &bogus;"],
    ["<p>a<!-- b --!><p>c<!--><p>d", "a\nc\nd"],
    ["<p>mara\0thon<iframe>no</iframe><noembed>no</noembed><xml>no</xml>", "marathon"],
    ["<p>mara&shy;thon &lt;script&gt;", "marathon <script>"],
  ])("is what a browser would read: %j", ([html, text]) => {
    expect(bareText(html!)).toBe(text);
  });
});

describe("a page without text", () => {
  test.for([
    "<!doctype html><html><head><title>Shop</title></head><body><div id=root></div><script src=a.js></script></body></html>",
    "<title>T</title>",
    "<body><noscript>Turn on JavaScript.</noscript>",
    "<frameset><frame src=a></frameset>",
    "<!-- nothing -->",
  ])("is an error of its own, never an empty article: %s", async (html) => {
    await expect(pages.article(html)).rejects.toMatchObject({ code: "page_without_text" });
  });

  test("says that it needs JavaScript where it does", async () => {
    const html =
      "<title>Shop</title><noscript>You need to enable JavaScript to run this app.</noscript><div id=root></div><script src=a.js></script>";
    await expect(pages.article(html)).rejects.toThrow("has no text: it needs JavaScript to show any.");
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

  test("one that cannot be read at all is refused with a code, and ends nothing else", async () => {
    const hurried = createPages({ timeoutMs: 1, bareTimeoutMs: 1 });
    const markdown = PARAGRAPH.repeat(1_000);
    const ways = [() => hurried.article(PAGE), () => hurried.chunks({ title: null, markdown })];
    for (const read of ways) await expect(read()).rejects.toMatchObject({ code: "document_unreadable" });
  });

  test.for([
    ["nested without end", `${"<div>".repeat(50_000)}deep`, "deep"],
    ["of more tags than anyone reads", `${"<b>".repeat(50_000)}many`, "many"],
    ["nested without end behind end tags of nothing", `${"<div></i>".repeat(15_000)}deep`, "deep"],
    [
      "that makes each paragraph repeat many tags",
      `${Array.from({ length: 200 }, (_, n) => `<b id=${n}>`).join("")}${"<p>x".repeat(30_000)}`,
      Array(30_000).fill("x").join("\n"),
    ],
    [
      "of a tag with attributes without end",
      `<p ${Array.from({ length: 50_000 }, (_, n) => `a${n}`).join(" ")}>many`,
      "many",
    ],
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
    "<!--",
    "<rt>",
    "<ruby>a<rt>b</ruby>",
    " ",
    "\\0",
  ])("the bare text takes steps in proportion to the page: %j", (pattern) => {
    expect(growthOf(bareText, pattern)).toBeLessThan(5);
  });

  test.for(['<a b="', "<a\"'", "<a b='<a b=\"", "<p a", "<a =", '<p x="1"'])(
    "whether a page may be parsed takes steps in proportion to it: %j",
    (pattern) => {
      const look = (html: string) => isIntricate(html, { maxTags: 1e9, maxDepth: 1e9 });
      expect(growthOf(look, pattern)).toBeLessThan(5);
    },
  );
});
