// What a page says about itself: title, author, site, date, language and its own address. Owns where each is looked for, the most
// trustworthy place first, and the form it is given in. Pure.
import type { Page } from "../job/handler.ts";
import { type Item, isOf, lineOrNull, textIn } from "./structured-data.ts";

export type Metadata = Pick<Page, "canonicalUrl" | "title" | "byline" | "site" | "published" | "language">;

const CONTENT =
  /Article$|^(?:BlogPosting|LiveBlogPosting|SocialMediaPosting|DiscussionForumPosting|Report|Review|Recipe|HowTo|Product|VideoObject|Question|QAPage)$/;
const SITE = /^(?:WebSite|Organization|NewsMediaOrganization|Corporation)$/;

/** What Readability has found, where it has found an article. */
export type Guesses = { title: string | null; byline: string | null; site: string | null };

/** What is read of the document now; the text and what Readability guesses, which takes the document apart, come later. */
export function metadataOf(
  document: Document,
  items: readonly Item[],
  url: string | undefined,
): (text: string, guesses: Guesses | null) => Metadata {
  const page = {
    document,
    meta: metaOf(document),
    items,
    item: items.find((one) => isOf(one, CONTENT)) ?? {},
  };
  const [titles, names] = [titlesOf(page), namesOf(page)];
  const [site, language] = [siteOf(page), languageOf(page)];
  const known = { canonicalUrl: canonicalOf(page, url), published: publishedOf(page, url) };
  return (text, guesses) => ({
    ...known,
    title: titleOf(titles, site ?? guesses?.site ?? null, guesses?.title ?? null),
    byline: bylineOf(names, guesses?.byline ?? null),
    site: site ?? guesses?.site ?? null,
    language: languageWritten(text, language),
  });
}

type Meta = (...names: string[]) => string | null;
type Known = { document: Document; meta: Meta; items: readonly Item[]; item: Item };

/** The content of the first of these `meta` elements that has some. Names and properties are written in any case. */
function metaOf(document: Document): Meta {
  const contents = new Map<string, string>();
  for (const element of document.querySelectorAll("meta")) {
    const content = lineOrNull(element.getAttribute("content"));
    if (content === null) continue;
    for (const attribute of ["property", "name", "itemprop", "http-equiv"])
      for (const name of (element.getAttribute(attribute) ?? "").toLowerCase().split(/\s+/))
        if (name !== "" && !contents.has(name)) contents.set(name, content);
  }
  return (...names) =>
    names.map((name) => contents.get(name)).find((content) => content !== undefined) ?? null;
}

// --- Title

type Titles = { said: string | null; shown: string | null };

function titlesOf({ document, meta, item }: Known): Titles {
  const said = textIn(item.headline) ?? meta("og:title", "twitter:title", "dc.title", "dcterms.title");
  const [title, heading] = ["title", "h1"].map((name) =>
    lineOrNull(document.querySelector(name)?.textContent),
  );
  return { said, shown: title ?? heading ?? null };
}

function titleOf({ said, shown }: Titles, site: string | null, guess: string | null): string | null {
  const title = said ?? guess ?? shown;
  return title === null ? null : withoutSite(title, site);
}

/** `A whale in the harbour | The Lodsen Times` is the title and the site. */
function withoutSite(title: string, site: string | null): string {
  if (site === null) return title;
  const same = (part: string) => part.trim().toLowerCase() === site.toLowerCase();
  const parts = /^(.+)\s[|\-–—·:»/]+\s(.+)$/.exec(title);
  return parts !== null && same(parts[2]!) ? parts[1]!.trim() : title;
}

// --- Author

const NO_NAME = /^(?:https?:)?\/\/|^@|^(?:admin|administrator|webmaster|editor|null|undefined)$/i;
const BY =
  /^(?:(?:\p{L}+\s)?by|von|par|por|di|door|av|af|written by|posted by|author|文|著者?|執筆者?|作者|筆者)(?:\s*[:：=＝/／]\s*|\s+)(?=\S)/iu;
/** What stands behind the name on the same line. */
const DATE_BEHIND =
  /[\s,|·•–—-]*(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s*)?(?:\d{1,2}\s+)?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\p{L}*\.?\s+\d.*$|[\s,|·•–—-]*(?:\d{4}[-/.年]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2}).*$/iu;
const MAX_NAMES = 200;
const AUTHORS = '[itemprop~="author"] [itemprop~="name"], [itemprop~="author"], a[rel~="author"]';

type Names = { said: (string | null)[]; shown: (string | null)[] };

const namesOf = ({ document, meta, item }: Known): Names => ({
  said: [
    textIn(item.author),
    meta("author", "article:author", "parsely-author", "dc.creator", "dcterms.creator", "sailthru.author"),
    meta("citation_author", "byl"),
  ],
  shown: [...document.querySelectorAll(AUTHORS)].map(({ textContent }) => textContent),
});

const bylineOf = ({ said, shown }: Names, guess: string | null): string | null =>
  [...said, guess, ...shown].map(nameIn).find((name) => name !== null) ?? null;

function nameIn(text: string | null | undefined): string | null {
  const name =
    lineOrNull(text)
      ?.replace(DATE_BEHIND, "")
      .replace(BY, "")
      .replaceAll(/^[\s,;|·•-]+|[\s,;|·•-]+$/g, "") ?? "";
  return name === "" || name.length > MAX_NAMES || NO_NAME.test(name) ? null : name;
}

// --- Site

function siteOf({ meta, items, item }: Known): string | null {
  const named = meta("og:site_name", "application-name", "apple-mobile-web-app-title");
  const site = items.find((one) => isOf(one, SITE) && textIn(one.name) !== null);
  const name = named ?? textIn(item.publisher) ?? (site ? textIn(site.name) : null);
  // Some give their address as their name.
  return name !== null && /^https?:\/\//.test(name) ? (URL.parse(name)?.hostname ?? null) : name;
}

// --- Address

function canonicalOf({ document, meta }: Known, url: string | undefined): string | null {
  const base = baseOf(document, url);
  const link = [...document.querySelectorAll("link[rel][href]")].find((one) =>
    /(?:^|\s)canonical(?:\s|$)/i.test(one.getAttribute("rel") ?? ""),
  );
  const named = [link?.getAttribute("href"), meta("og:url")]
    .map((href) => addressIn(href, base))
    .find((address) => address !== null && !isFrontPageOfAll(address, url));
  return named ?? url ?? null;
}

/** What the page's links are relative to. */
export function baseOf(document: Document, url: string | undefined): string | undefined {
  const href = document.querySelector("base[href]")?.getAttribute("href");
  return (href ? URL.parse(href, url)?.href : undefined) ?? url;
}

function addressIn(href: string | null | undefined, base: string | undefined): string | null {
  const address = href?.trim() ? URL.parse(href.trim(), base) : null;
  if (address === null || !/^https?:$/.test(address.protocol)) return null;
  address.hash = "";
  return address.href;
}

/** Some sites name their front page on each of their pages. Then all of them would seem to be one. */
const isFrontPageOfAll = (address: string, url: string | undefined): boolean =>
  url !== undefined && new URL(address).pathname === "/" && (URL.parse(url)?.pathname ?? "/") !== "/";

// --- Date

const DATES = [
  ["article:published_time", "og:published_time", "og:article:published_time", "datepublished"],
  ["dc.date.issued", "dcterms.issued", "dc.date", "dcterms.date", "dcterms.created", "dc.date.created"],
  [
    "parsely-pub-date",
    "sailthru.date",
    "citation_publication_date",
    "citation_date",
    "cxenseparse:recs:publishtime",
  ],
  [
    "publish-date",
    "publish_date",
    "publication_date",
    "pubdate",
    "date",
    "created",
    "originalpublicationdate",
  ],
];
const TIMES = [
  "time[pubdate]",
  '[itemprop~="datePublished"]',
  "time.published",
  "time.entry-date",
  ".dt-published",
  "abbr.published",
  "article header time[datetime]",
  "article time[datetime]",
  "main time[datetime]",
  "time[datetime]",
];
/** Shown to people only. */
const DATE_LINES =
  ".date, .published, .publish-date, .post-date, .entry-date, .article-date, .pubdate, .posted-on, .submitted, .dateline, .timestamp, .post-meta, .entry-meta, .article-meta, .byline";

function publishedOf({ document, meta, item }: Known, url: string | undefined): string | null {
  const said = [item.datePublished, item.uploadDate, item.dateCreated].map(textIn);
  const path = URL.parse(url ?? "")?.pathname ?? "";
  return (
    firstDate([...said, ...DATES.map((names) => meta(...names))]) ??
    firstDate(TIMES.flatMap((selector) => timesIn(document.querySelector(selector)))) ??
    firstDate([/\/((?:19|20)\d\d\/[01]?\d\/[0-3]?\d)(?:\/|$)/.exec(path)?.[1]]) ??
    firstDate([...document.querySelectorAll(DATE_LINES)].slice(0, 20).map(({ textContent }) => textContent))
  );
}

const firstDate = (texts: readonly (string | null | undefined)[]): string | null =>
  texts.map(isoDate).find((date) => date !== null) ?? null;

const timesIn = (element: Element | null) =>
  element === null
    ? []
    : [...["datetime", "content", "title"].map((name) => element.getAttribute(name)), element.textContent];

const ISO =
  /^(\d{4})-?(\d\d)-?(\d\d)(?:[T\s]+(\d\d):?(\d\d)(?::?(\d\d)(?:\.\d+)?)?\s*(Z|UTC|GMT|[+-]\d\d:?\d\d)?)?/i;
const SLASHES = /^(\d{4})[/.年]\s*(\d{1,2})[/.月]\s*(\d{1,2})(?:日|\b)(?:.{0,8}?(\d{1,2})[:時](\d\d))?/;
const FIRST_YEAR = 1900;

/** As ISO 8601: a date, or a date and time with the zone that was said. `null` for what is no date, or none of this world. */
export function isoDate(text: string | null | undefined): string | null {
  const plain =
    lineOrNull(text)?.replace(/^(?:published|posted|updated|on|公開日?|更新日?|配信)[\s:：]*/i, "") ?? "";
  if (/^\d{10}(?:\d{3})?$/.test(plain)) return plausible(new Date(Number(plain.padEnd(13, "0"))));
  const iso = ISO.exec(plain) ?? SLASHES.exec(plain);
  if (iso !== null) return fromParts(iso.slice(1));
  return inWords(plain);
}

function fromParts([year, month, day, hour, minute, second, zone]: (string | undefined)[]): string | null {
  const pad = (part: string | undefined) => (part ?? "0").padStart(2, "0");
  const date = `${year}-${pad(month)}-${pad(day)}`;
  if (!isDay(date)) return null;
  if (hour === undefined) return date;
  const time = `${date}T${pad(hour)}:${pad(minute)}:${pad(second)}`;
  if (Number.isNaN(Date.parse(`${time}Z`))) return date;
  const offset = zone?.replace(/^(?:utc|gmt|z)$/i, "Z").replace(/(\d\d)(\d\d)$/, "$1:$2") ?? "";
  return time + offset;
}

function isDay(date: string): boolean {
  const time = new Date(`${date}T00:00:00Z`);
  // The 31st of February would be another day.
  return plausible(time) !== null && time.toISOString().startsWith(date);
}

const WORDS =
  /(?:(\d{1,2})(?:st|nd|rd|th)?\.?\s+(\p{L}{3,9})\.?,?|(\p{L}{3,9})\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?)\s+(\d{4})\b/u;
const MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split(" ");
const ZONED = /\d{1,2}:\d\d.*(?:GMT|UTC|[+-]\d{4})/;

/** `19 November 2019`, `Nov. 19, 2019`, and what mails write. */
function inWords(text: string): string | null {
  const parts = WORDS.exec(text);
  const month = MONTHS.indexOf((parts?.[2] ?? parts?.[3] ?? "").slice(0, 3).toLowerCase()) + 1;
  if (parts === null || month === 0) return null;
  if (ZONED.test(text)) {
    const exact = plausible(new Date(text));
    if (exact !== null) return exact;
  }
  return fromParts([parts[5], String(month), parts[1] ?? parts[4]]);
}

function plausible(date: Date): string | null {
  const year = date.getUTCFullYear();
  const isOfThisWorld = year >= FIRST_YEAR && year <= new Date().getUTCFullYear() + 1;
  return isOfThisWorld ? date.toISOString().replace(".000Z", "Z") : null;
}

// --- Language

const KANA = /[\u3041-\u3096\u30a1-\u30fa]/g;
const HANGUL = /[\uac00-\ud7a3]/g;
const LETTERS = /\p{L}/gu;
const SAMPLE = 5_000;
/** Of the letters. A Japanese text has three times as many kana; a page in English about Japan, fewer. */
const PLAINLY = 0.15;

function languageOf({ document, meta, item }: Known): string | null {
  const { documentElement: root, body } = document;
  const said = [root.getAttribute("lang"), root.getAttribute("xml:lang"), body.getAttribute("lang")];
  const candidates = [
    ...said,
    meta("content-language", "language", "dc.language"),
    textIn(item.inLanguage),
    meta("og:locale"),
  ];
  return candidates.map(languageTag).find((tag) => tag !== null) ?? null;
}

function languageWritten(text: string, said: string | null): string | null {
  const written = writtenIn(text);
  return written !== null && !said?.startsWith(written) ? written : said;
}

function languageTag(text: string | null | undefined): string | null {
  const [first = ""] = (text ?? "").split(/[,;]/);
  const tag = first
    .trim()
    .replaceAll("_", "-")
    .replace(/\.utf-?8$/i, "");
  if (!/^[a-z]{2,3}(?:-[a-z\d]{2,8})*$/i.test(tag)) return null;
  try {
    return Intl.getCanonicalLocales(tag)[0] ?? null;
  } catch {
    return null;
  }
}

/** Templates come with a language that their users forget to change. Two languages have letters of their own. */
function writtenIn(text: string): string | null {
  const sample = text.slice(0, SAMPLE);
  const letters = sample.match(LETTERS)?.length ?? 0;
  const share = (pattern: RegExp) => (sample.match(pattern)?.length ?? 0) / letters;
  if (share(KANA) > PLAINLY) return "ja";
  return share(HANGUL) > PLAINLY ? "ko" : null;
}
