// RSS and Atom where a page is expected, as blogs, newspapers and video sites write them.
import { describe, expect, test } from "vitest";
import { createPages } from "../../worker/pages/article.ts";
import { feedAsPage } from "../../worker/pages/feed.ts";
import { growthOf } from "../steps.ts";

const pages = createPages();
const prolog = '<?xml version="1.0" encoding="UTF-8"?>\n<?xml-stylesheet href="/f.xsl" type="text/xsl"?>\n';
const rss = (items: string, head = "<title>The corner</title><link>https://x.y/</link>") =>
  `${prolog}<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel>${head}${items}</channel></rss>`;
const atom = (entries: string) =>
  `${prolog}<feed xmlns="http://www.w3.org/2005/Atom"><title type="text">The corner</title><id>urn:1</id>${entries}</feed>`;

describe("a feed is the text of its entries, without the XML around them", () => {
  test.each([
    [
      "escaped HTML",
      rss(
        "<item><title>Bread</title><pubDate>Mon, 06 Jan 2025 08:00:00 GMT</pubDate><guid>https://x.y/1</guid><description>&lt;p&gt;Forty &lt;b&gt;loaves&lt;/b&gt; &amp;amp; more.&lt;/p&gt;</description></item>",
      ),
      "Bread\nMon, 06 Jan 2025 08:00:00 GMT\nForty loaves & more.",
    ],
    [
      "CDATA, the whole text before its summary",
      rss(
        "<item><title><![CDATA[Bread & salt <new>]]></title><description>short</description><content:encoded><![CDATA[<p>Forty <item> loaves.</p><p>And salt.</p>]]></content:encoded></item>",
      ),
      "Bread & salt <new>\nForty loaves.\nAnd salt.",
    ],
    [
      "several entries, one of them without a text",
      rss("<item><title>One</title></item><item><title>Two</title><description>b</description></item>"),
      "One\nTwo\nb",
    ],
    [
      "a title that is escaped twice",
      rss("<item><title>It&amp;#8217;s &amp;amp; bread</title></item>"),
      "It’s & bread",
    ],
    [
      "RSS 1.0, whose entries stand beside the channel",
      `<rdf:RDF xmlns:rdf="x" xmlns="http://purl.org/rss/1.0/"><channel rdf:about="x"><title>The corner</title><items><rdf:Seq><rdf:li resource="a"/></rdf:Seq></items></channel><item rdf:about="a"><title>パン</title><description>四十個</description><dc:date>2025-01-06</dc:date></item></rdf:RDF>`,
      "パン\n2025-01-06\n四十個",
    ],
    [
      "no title, as short notes have none",
      rss("<item><description>Just forty loaves.</description></item>"),
      "Just forty loaves.",
    ],
    [
      "Atom with HTML",
      atom(
        '<entry><title type="html">Bread &amp;amp; salt</title><updated>2025-01-06T08:00:00Z</updated><summary>s</summary><content type="html">&lt;p&gt;Forty.&lt;/p&gt;</content></entry>',
      ),
      "Bread & salt\n2025-01-06T08:00:00Z\nForty.",
    ],
    [
      "Atom with XHTML",
      atom(
        '<entry><title>Bread</title><content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>Forty<br/>loaves.</p></div></content></entry>',
      ),
      "Bread\nForty\nloaves.",
    ],
    [
      "Atom with text",
      atom("<entry><title>Bread</title><summary>a &lt;b&gt; c</summary></entry>"),
      "Bread\na <b> c",
    ],
    [
      "a video site's",
      atom(
        "<entry><title>Bread</title><media:group><media:title>Bread</media:title><media:description>Forty loaves.</media:description></media:group></entry>",
      ),
      "Bread\nForty loaves.",
    ],
    [
      "XML that is not well-formed",
      rss("<item><title>Bread & salt</title><description>Forty &nbsp; loaves<br>here</description><link>x"),
      "Bread & salt\nForty loaves\nhere",
    ],
  ])("%s", async (_, feed, text) => {
    expect(await pages.article(feed)).toMatchObject({ title: "The corner", text: text });
  });

  test("one with more tags than are parsed still has no tags in its text", async () => {
    const many = createPages({ maxTags: 10 });
    const item =
      "<item><title>Bread</title><description>&lt;p&gt;Forty loaves.&lt;/p&gt;</description></item>";
    const { text } = await many.article(rss(item.repeat(20)));
    expect(text.split("\n").slice(0, 2)).toEqual(["Bread", "Forty loaves."]);
    expect(text).not.toMatch(/&lt;|[<>]/);
  });

  test("one without entries is an error, never its channel's addresses", async () => {
    await expect(pages.article(rss(""))).rejects.toMatchObject({ code: "page_without_text" });
  });
});

test.each([
  ["a page", "<!doctype html><html><body><item>x</item></body></html>"],
  ["XHTML", `${prolog}<html xmlns="http://www.w3.org/1999/xhtml"><body>x</body></html>`],
  ["an article about feeds", "<p>A feed begins with &lt;rss&gt;.</p>"],
  ["words", "rss and feed"],
])("%s is no feed", (_, page) => {
  expect(feedAsPage(page)).toBeNull();
});

test.each([
  "<item>",
  "<item><title>",
  "<title>x</title>",
  "<!-- ",
  "&lt;",
  "<item><![CDATA[",
  "</item>",
  "<item ",
])("takes time in proportion to the feed, whatever it contains: %s", (pattern) => {
  expect(growthOf((text) => feedAsPage(`<rss >${text}`), pattern)).toBeLessThan(5);
});
