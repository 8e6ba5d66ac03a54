// What a page says about itself, wherever it says it.
import { describe, expect, test } from "vitest";
import { isoDate } from "../../worker/pages/metadata.ts";
import { readPage } from "../../worker/pages/read-page.ts";

const URL_READ = "https://news.example/2026/03/04/whale?utm_source=mail";
const BODY = `<article><h1>A whale</h1>${"<p>The ferry to the island of Lodsen left an hour late on Monday, because a whale had come into the harbour.</p>".repeat(6)}</article>`;
const page = (head: string, body = BODY) =>
  readPage(`<!doctype html><html><head>${head}</head><body>${body}</body></html>`, { url: URL_READ });
const jsonLd = (item: object) =>
  `<script type="application/ld+json">${JSON.stringify({ "@context": "https://schema.org", ...item })}</script>`;

test("what is known of a page without any of it is its address and the date in that", () => {
  expect(page("")).toMatchObject({
    url: URL_READ,
    canonicalUrl: URL_READ,
    byline: null,
    site: null,
    published: "2026-03-04",
    language: null,
    obstacle: null,
  });
});

describe("all of it in JSON-LD", () => {
  const item = {
    headline: "A whale in the harbour &#8211; again",
    author: [
      { "@type": "Person", name: "Ane Holm" },
      { "@type": "Person", name: "Bo Lind" },
    ],
    publisher: { "@type": "Organization", name: "The Lodsen Times" },
    datePublished: "2026-03-04T08:15:00+0100",
    inLanguage: "en_GB",
  };
  const known = {
    title: "A whale in the harbour – again",
    byline: "Ane Holm, Bo Lind",
    site: "The Lodsen Times",
    published: "2026-03-04T08:15:00+01:00",
    language: "en-GB",
  };

  test.for([
    ["as one item", jsonLd({ "@type": "NewsArticle", ...item })],
    [
      "in a graph",
      jsonLd({
        "@graph": [
          { "@type": "WebSite", name: "x" },
          { "@type": ["Article", "NewsArticle"], ...item },
        ],
      }),
    ],
    ["within its page", jsonLd({ "@type": "WebPage", mainEntity: { "@type": "BlogPosting", ...item } })],
    [
      "in a comment, with line breaks in its texts",
      `<script type="application/ld+json"><!-- ${JSON.stringify({ "@type": "Article", ...item }).replace("whale in", "whale\nin")} --></script>`,
    ],
    [
      "beside an item that is damaged",
      `<script type="application/ld+json">{"@type": "NewsArticle", "headline":</script>${jsonLd({ "@type": "NewsArticle", ...item })}`,
    ],
  ])("%s", ([, head]) => {
    expect(page(head!)).toMatchObject(known);
  });
});

test("all of it in meta elements", () => {
  const head = `<title>A whale | The Lodsen Times</title>
    <meta property="og:title" content="A whale in the harbour"><meta name=Author content="By Ane Holm">
    <meta property="og:site_name" content="The Lodsen Times"><meta property="article:published_time" content="2026-03-04T07:15:00Z">
    <meta property="og:locale" content="en_GB">`;
  expect(page(head)).toMatchObject({
    title: "A whale in the harbour",
    byline: "Ane Holm",
    site: "The Lodsen Times",
    published: "2026-03-04T07:15:00Z",
    language: "en-GB",
  });
});

describe("title", () => {
  test("without the name of the site", () => {
    expect(
      page(
        `<meta property="og:site_name" content="The Lodsen Times"><meta property="og:title" content="A whale – The Lodsen Times">`,
      ).title,
    ).toBe("A whale");
    expect(page(`<meta property="og:site_name" content="Whale"><title>The whale</title>`).title).toBe(
      "The whale",
    );
  });
});

describe("author", () => {
  test.for([
    [`<a rel=author href=/ane>Ane Holm</a>`, "Ane Holm"],
    [`<span itemprop=author itemscope><span itemprop=name>Ane Holm</span>, editor</span>`, "Ane Holm"],
    [`<p class=byline>By Ane Holm, March 4, 2026</p>`, "Ane Holm"],
    [`<p class=byline>文：井上花子 2026年3月4日</p>`, "井上花子"],
  ])("%s", ([shown, byline]) => {
    expect(page("", BODY.replace("</h1>", `</h1>${shown}`)).byline).toBe(byline);
  });

  test.for(["https://facebook.com/ane", "admin", "x".repeat(300)])("is nobody: %s", (content) => {
    expect(page(`<meta name=author content="${content}">`).byline).toBeNull();
  });
});

describe("date", () => {
  test.for([
    ["2026-03-04", "2026-03-04"],
    ["20260304", "2026-03-04"],
    ["2026-03-04 08:15", "2026-03-04T08:15:00"],
    ["2026-03-04T08:15:30.123Z", "2026-03-04T08:15:30Z"],
    ["2026-03-04T08:15:00+0900", "2026-03-04T08:15:00+09:00"],
    ["2026/3/4", "2026-03-04"],
    ["2026年3月4日 8時15分", "2026-03-04T08:15:00"],
    ["公開日：2026年3月4日", "2026-03-04"],
    ["March 4, 2026", "2026-03-04"],
    ["4 March 2026", "2026-03-04"],
    ["Published on Mar. 4th, 2026 at noon", "2026-03-04"],
    ["Wed, 04 Mar 2026 07:15:00 GMT", "2026-03-04T07:15:00Z"],
    ["1772608500", "2026-03-04T07:15:00Z"],
    ["2026-02-31", null],
    ["9999-01-01", null],
    ["0000-00-00", null],
    ["yesterday", null],
    ["Mayor 5 2026x", null],
    ["", null],
  ] as const)("%j is %j", ([text, date]) => {
    expect(isoDate(text)).toBe(date);
  });

  test.for([
    [`<meta name="citation_publication_date" content="2025/12/01">`, "", "2025-12-01"],
    ["", `<time datetime="2025-12-01T10:00">a while ago</time>`, "2025-12-01T10:00:00"],
    ["", `<p class=post-meta>Filed under whales, 1 December 2025</p>`, "2026-03-04"],
  ])("from %s%s", ([head, shown, date]) => {
    expect(page(head!, BODY.replace("</h1>", `</h1>${shown}`)).published).toBe(date);
  });

  test("a line that only people read counts where nothing else does", () => {
    const html = BODY.replace("</h1>", "</h1><p class=post-meta>Filed under whales, 1 December 2025</p>");
    expect(readPage(html).published).toBe("2025-12-01");
  });
});

describe("language", () => {
  const lang = (attributes: string, body = BODY) =>
    readPage(`<html ${attributes}><body>${body}</body></html>`).language;
  const japanese = "<p>この店は毎日四十個のパンを焼き、たいてい朝九時までに売り切れます。</p>".repeat(8);
  test("is a BCP 47 tag", () => {
    expect([
      lang("lang=EN"),
      lang("lang=ja_JP"),
      lang("xml:lang=pt-br"),
      lang("lang=''"),
      lang("lang='not a tag'"),
    ]).toEqual(["en", "ja-JP", "pt-BR", null, null]);
  });

  test("is that of the text where the template says another", () => {
    expect([lang("lang=en", japanese), lang("", japanese), lang("lang=ja-JP", japanese)]).toEqual([
      "ja",
      "ja",
      "ja-JP",
    ]);
  });
});

describe("the page's own address", () => {
  test.for([
    [`<link rel=canonical href="https://news.example/whale">`, "https://news.example/whale"],
    [`<link rel="alternate canonical" href="/whale#top">`, "https://news.example/whale"],
    [
      `<base href="https://cdn.example/deep/"><link rel=canonical href="whale">`,
      "https://cdn.example/deep/whale",
    ],
    [`<base href="/deep/"><link rel=canonical href="whale">`, "https://news.example/deep/whale"],
    [`<meta property="og:url" content="https://news.example/whale">`, "https://news.example/whale"],
    [`<link rel=canonical href="//news.example/whale">`, "https://news.example/whale"],
    [`<link rel=canonical href="">`, URL_READ],
    [`<link rel=canonical href="javascript:void(0)">`, URL_READ],
    [`<link rel=canonical href="http://[">`, URL_READ],
  ])("%s", ([head, canonicalUrl]) => {
    expect(page(head!).canonicalUrl).toBe(canonicalUrl);
  });

  test("is not the front page, which some sites name on each of their pages", () => {
    expect(page(`<link rel=canonical href="https://news.example/">`).canonicalUrl).toBe(URL_READ);
  });

  test("of a page that came from nowhere is known only where it says it in full", () => {
    expect(readPage(`<link rel=canonical href="/whale">${BODY}`).canonicalUrl).toBeNull();
    expect(readPage(`<link rel=canonical href="https://a.example/whale">${BODY}`).canonicalUrl).toBe(
      "https://a.example/whale",
    );
  });
});
