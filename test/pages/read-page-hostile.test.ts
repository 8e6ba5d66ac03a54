// Damaged pages of every kind: none ends the reader, none takes long, and all of them give a page of the form that handlers expect.
// `HOSTILE_PAGES=10000` for a long look.
import { expect, test } from "vitest";
import { z } from "zod";
import { KamadoError } from "../../worker/errors.ts";
import { decodeText } from "../../worker/http/text-encoding.ts";
import { createPages, PAGE_LIMITS } from "../../worker/pages/article.ts";
import { isIntricate } from "../../worker/pages/plain-text.ts";
import { readPage } from "../../worker/pages/read-page.ts";
import fc from "../properties.ts";

const { HOSTILE_PAGES: asked } = process.env;
const PAGES = Number(asked ?? 100);
const LIMIT_MS = asked ? 3_600_000 : 120_000;
/** Of one core. */
const MAX_CPU_MS = 3_000;

const SENTENCE =
  "The ferry to the island of Lodsen left an hour late on Monday, because a whale had come into the harbour.";
const JAPANESE = "島への船は、港に鯨が入ったため、月曜日は一時間遅れて出た。";
const repeat = (count: number, make: (at: number) => string) =>
  Array.from({ length: count }, (_, at) => make(at)).join("");
const data = (item: object) => `<script type="application/ld+json">${JSON.stringify(item)}</script>`;

const SOURCES = [
  // An article.
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A whale | Lodsen Times</title><base href="/news/"><link rel="canonical" href="whale"><meta property="og:site_name" content="Lodsen Times">${data({ "@type": "NewsArticle", headline: "A whale", author: [{ name: "Ane" }], datePublished: "2026-03-04T08:15:00+01:00", wordCount: 200, hasPart: { cssSelector: ".part" } })}</head><body><nav><ul><li><a href="/">Home</a></li></ul></nav><main><article class="post"><header><h1>A whale</h1><p class="byline">By Ane, March 4, 2026</p></header><div class="article-body">${repeat(6, () => `<p>${SENTENCE}</p>`)}<figure><img src="a.jpg" alt="A whale"><figcaption>Photo: Bo</figcaption></figure><div class="social-share"><a href="#">Share</a></div><blockquote>${SENTENCE}</blockquote><pre><code class="language-js">const a = "&lt;b&gt;";</code></pre></div></article></main><aside>Related</aside><footer>Imprint</footer></body></html>`,
  // A thread.
  `<html><head><title>Ferry</title>${data({ "@graph": [{ "@type": "DiscussionForumPosting" }] })}</head><body><div id="content">${repeat(6, (at) => `<table class="post" id="p${at}"><tr><td><b>user${at}</b></td><td>${SENTENCE}<br>- ${at}</td></tr></table>`)}</div></body></html>`,
  // A product.
  `<html><head><meta property="og:type" content="product"></head><body><div itemscope itemtype="https://schema.org/Product"><h1 itemprop="name">Lamp</h1><span itemprop="price" content="48">€ 48</span><form action="/cart"><select><option>1</option></select><button>Buy</button></form><table><tr><th>Height<td>32 cm<tr><th>Weight<td>1 kg</table><dl><dt>Made<dd>here</dl></div></body></html>`,
  // Documentation.
  `<html><head><meta name="generator" content="Sphinx"></head><body><div class="sidebar"><ul>${repeat(9, (at) => `<li><a href="${at}">Part ${at}</a>`)}</ul></div><div role="main"><h1>Settings</h1><aside class="note"><p>Note.</p></aside>${repeat(4, (at) => `<section><h2>s${at}</h2><p>${SENTENCE}</p><ol><li>one<ul><li>two</ul></ol><hr></section>`)}</div></body></html>`,
  // A Japanese page with readings.
  `<html lang="ja"><head><meta charset="shift_jis"><title>鯨</title></head><body><article>${repeat(8, () => `<p><ruby>鯨<rp>(</rp><rt>くじら</rt><rp>)</rp></ruby>が来た。${JAPANESE}</p>`)}</article></body></html>`,
  // What stands in the way.
  `<html><head><title>Before you continue</title></head><body><div id="onetrust-consent-sdk"><p>We and our 800 partners use cookies.</p><button>Accept all</button></div><noscript>Please enable JavaScript.</noscript><div id="root"></div></body></html>`,
  `<html><head><title>404 Not Found</title></head><body class="error404"><h1>Not found</h1><div class="paywall" hidden>Subscribe to continue reading</div></body></html>`,
  // XHTML, frames, a shadow root, a feed.
  `<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>X</title><script src="a.js"/></head><body><p><![CDATA[a < b]]></p><svg><title>t</title><path d="M0"/></svg><math><mi>x</mi></math></body></html>`,
  `<html><frameset><frame src="a"><noframes><body><p>${SENTENCE}</p></body></noframes></frameset></html>`,
  `<my-story><template shadowrootmode="open"><slot name="a"></slot><p>${SENTENCE}</p></template><p slot="a">b</p></my-story>`,
  `<rss><channel><title>Feed</title><item><title>One</title><description>&lt;p&gt;${SENTENCE}&lt;/p&gt;</description></item></channel></rss>`,
];

/** What has broken readers of pages, here or elsewhere. */
const SNIPPETS = [
  "<",
  ">",
  "</",
  "<!--",
  "-->",
  "<!",
  "<?",
  "]]>",
  "<![CDATA[",
  "\0",
  "\u0001",
  "\ufeff",
  "\ud800",
  "&#0;",
  "&#x110000;",
  "&amp",
  "'",
  '"',
  "=",
  "<plaintext>",
  "<xmp>",
  "<script>",
  "</script>",
  "<style>",
  "<textarea>",
  "<title>",
  "<template>",
  "<template shadowrootmode=open>",
  "</template>",
  "<noscript>",
  "<iframe srcdoc='<p>'>",
  "<svg><foreignObject><p>",
  "<math><mtext><table><mglyph><style>",
  "<table><tr><td><table>",
  "<select><option><select>",
  "<form><form>",
  "<a href=x><a href=y>",
  "<b><p></b>",
  "<frameset>",
  "<body class=error404>",
  "<html lang=xx-yy-zz>",
  "<base href='http://['>",
  "<base href='//x.y/'>",
  "<link rel=canonical href='%%%'>",
  "<time datetime='9999-99-99'>",
  "<meta http-equiv=refresh content='0;url=javascript:1'>",
  "<img src=data:x srcset=',,,' alt>",
  "<p style='display:none",
  "<p hidden aria-hidden=true class='ad share nav'>",
  "<div id=__proto__ class='constructor toString'>",
  "<meta name=constructor content=x>",
  "<meta name=__proto__ content=x>",
  `<script type="application/ld+json">[[[[{"@type":[1,null,{"@type":"Article"}],"author":{"name":{"name":[]}},"headline":7}]]]]</script>`,
  `<script type="application/ld+json">{"@type":"Article","wordCount":"x","hasPart":[{"cssSelector":"::["},{"cssSelector":"*"}],"isAccessibleForFree":false}</script>`,
  `<script type="application/ld+json">{"@type":"Article","__proto__":{"a":1},"datePublished":{"@value":["2026"]}}</script>`,
];

type Change = (page: string) => string;
const place = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const at = (part: number, page: string) => Math.floor(part * page.length);
const ordered = fc
  .tuple(place, place)
  .map(([one, other]) => (one < other ? [one, other] : [other, one]) as [number, number]);
const TAG = /<\/?[a-z][^<>]*>/gi;

const cut = place.map(
  (part): Change =>
    (page) =>
      page.slice(0, at(part, page)),
);
const removed = ordered.map(
  ([from, to]): Change =>
    (page) =>
      page.slice(0, at(from, page)) + page.slice(at(to, page)),
);
const inserted = fc
  .tuple(place, fc.oneof(fc.constantFrom(...SNIPPETS), fc.string({ unit: "binary", maxLength: 12 })))
  .map(
    ([part, text]): Change =>
      (page) =>
        page.slice(0, at(part, page)) + text + page.slice(at(part, page)),
  );
const repeated = fc.tuple(ordered, fc.nat({ max: 40 })).map(
  ([[from, to], times]): Change =>
    (page) => {
      const part = page.slice(at(from, page), Math.min(at(to, page), at(from, page) + 2_000));
      return page.slice(0, at(to, page)) + part.repeat(times) + page.slice(at(to, page));
    },
);
const tagsChanged = (change: (tags: string[], one: number, other: number) => void) =>
  fc.tuple(place, place).map(
    ([one, other]): Change =>
      (page) => {
        const tags = page.match(TAG) ?? [];
        if (tags.length === 0) return page;
        const changed = [...tags];
        change(changed, Math.floor(one * tags.length), Math.floor(other * tags.length));
        let index = 0;
        return page.replaceAll(TAG, () => changed[index++]!);
      },
  );
const swapped = tagsChanged((tags, one, other) => {
  [tags[one], tags[other]] = [tags[other]!, tags[one]!];
});
const unclosed = tagsChanged((tags, one) => {
  tags[one] = "";
});
const nested = fc
  .tuple(
    tagsChanged(() => {}),
    place,
    fc.constantFrom(2, 20, 240, 600),
  )
  .map(
    ([, part, times]): Change =>
      (page) => {
        const tags = page.match(TAG) ?? ["<div>"];
        const tag = tags[Math.floor(part * tags.length)]!;
        return page.replace(tag, () => tag.repeat(times));
      },
  );
const attributesRepeated = tagsChanged((tags, one, other) => {
  const attributes = /\s[^<>]*?(?=\/?>$)/.exec(tags[other]!)?.[0] ?? " class=a";
  tags[one] = tags[one]!.replace(/\/?>$/, (end) => attributes.repeat(3) + end);
});
const change = fc.oneof(
  cut,
  removed,
  { weight: 4, arbitrary: inserted },
  repeated,
  { weight: 2, arbitrary: swapped },
  unclosed,
  nested,
  attributesRepeated,
);

/** The bytes, or others: in another character set than they say, or damaged. */
const encoded = fc.oneof(
  { weight: 4, arbitrary: fc.constant((page: string) => Buffer.from(page)) },
  fc
    .constantFrom<BufferEncoding>("utf16le", "latin1")
    .map((name) => (page: string) => Buffer.from(page, name)),
  fc
    .array(fc.tuple(place, fc.nat({ max: 255 })), { minLength: 1, maxLength: 30 })
    .map((bytes) => (page: string) => {
      const damaged = Buffer.from(page);
      for (const [part, byte] of bytes)
        if (damaged.length > 0) damaged[Math.floor(part * damaged.length)] = byte;
      return damaged;
    }),
);

const damagedPages = fc
  .tuple(fc.constantFrom(...SOURCES), fc.array(change, { minLength: 1, maxLength: 4 }), encoded)
  .map(([source, changes, encode]) => encode(changes.reduce((page, one) => one(page), source)));

const text = z.string().nullable();
const PAGE = z.strictObject({
  url: z.literal("https://lodsen.example/news/whale"),
  canonicalUrl: z.url(),
  title: text,
  byline: text,
  site: text,
  published: z.union([z.null(), z.iso.date(), z.iso.datetime({ offset: true, local: true })]),
  language: z.union([z.null(), z.string().regex(/^[A-Za-z]{2,3}(-[A-Za-z\d]+)*$/)]),
  text: z.string(),
  markdown: z.string(),
  obstacle: z.enum(["javascript", "consent", "paywall", "error"]).nullable(),
});

/** The parser's own limits: such a page gives the text between its tags. */
const LIMITS = /^The page (has too many elements|is nested too deep)\.$/;

test(
  `${PAGES} damaged pages are read, and none takes longer than ${MAX_CPU_MS} ms`,
  () => {
    const { maxTags, maxDepth } = PAGE_LIMITS;
    const counts: Record<string, number> = {};
    const count = (what: string) => {
      counts[what] = (counts[what] ?? 0) + 1;
    };
    let longest = 0;
    const look = (bytes: Buffer) => {
      const html = decodeText(bytes);
      if (html === null) return count("no text");
      if (isIntricate(html, { maxTags, maxDepth })) return count("intricate");
      const before = process.cpuUsage();
      try {
        const page = readPage(html, { url: "https://lodsen.example/news/whale" });
        expect(PAGE.safeParse(page).error).toBeUndefined();
        count(page.obstacle ?? (page.text === "" ? "empty" : "read"));
      } catch (thrown) {
        if (!LIMITS.test((thrown as Error).message)) throw thrown;
        count("beyond a limit");
      }
      const { user, system } = process.cpuUsage(before);
      longest = Math.max(longest, (user + system) / 1_000);
    };
    fc.assert(fc.property(damagedPages, look), { numRuns: PAGES, endOnFailure: true });
    if (asked) console.log(JSON.stringify({ ...counts, longestMs: Math.round(longest) }));
    expect(longest).toBeLessThan(MAX_CPU_MS);
    expect(counts.read).toBeGreaterThan(PAGES / 3);
  },
  LIMIT_MS,
);

test("in the thread, a damaged page is read or refused with a code", async () => {
  const pages = createPages();
  const codes = ["page_without_text", "document_unreadable"];
  await fc.assert(
    fc.asyncProperty(damagedPages, async (bytes) => {
      const page = await pages
        .document({ bytes, contentType: "text/html", url: "https://lodsen.example/" })
        .catch((thrown) => {
          expect(thrown).toBeInstanceOf(KamadoError);
          expect(codes).toContain(thrown.code);
        });
      if (page) expect(page.text).not.toBe("");
    }),
    { numRuns: Math.min(20, PAGES), endOnFailure: true },
  );
});
