// From what a search service calls a result to a hit: an absolute address, words without markup, a date. Owns which results count:
// no adverts, nothing that is not on the web, no address twice. Pure.
import { withoutReferences } from "../http/character-references.ts";
import type { SearchHit } from "../job/handler.ts";

/** Of any type: services leave fields out, or have null there. */
export type RawHit = {
  url: unknown;
  title: unknown;
  snippet: unknown;
  published?: unknown;
  isAdvert?: boolean;
};

const MAX_URL = 2_000;
const MAX_TITLE = 500;
const MAX_SNIPPET = 2_000;

/** In their order. `now`: for dates such as "3 days ago". */
export function cleanHits(raw: readonly RawHit[], now: number): SearchHit[] {
  const seen = new Set<string>();
  return raw.flatMap(({ url, title, snippet, published, isAdvert }) => {
    const address = addressOf(url);
    if (address === null || isAdvert || isAdvertAt(address) || seen.has(address.href)) return [];
    seen.add(address.href);
    return [
      {
        url: address.href,
        title: plain(title, MAX_TITLE) || address.hostname,
        snippet: plain(snippet, MAX_SNIPPET),
        published: dateOf(published, now),
      },
    ];
  });
}

/** Without its fragment: that is a place on the same page. Null for what nobody can read: relative, not http, with a password. */
function addressOf(value: unknown): URL | null {
  const text = typeof value === "string" ? value.trim() : "";
  if (text === "" || text.length > MAX_URL || !URL.canParse(text)) return null;
  const url = new URL(text);
  if (!/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") return null;
  url.hash = "";
  return url;
}

/** Addresses by which search engines count clicks on their adverts. */
const isAdvertAt = ({ hostname, pathname, search }: URL): boolean =>
  /(^|\.)(googleadservices\.com|doubleclick\.net|googlesyndication\.com)$/.test(hostname) ||
  (/(^|\.)(google\.[a-z.]+|bing\.com)$/.test(hostname) && /^\/(aclk|aclick)$/.test(pathname)) ||
  (/(^|\.)duckduckgo\.com$/.test(hostname) && pathname === "/y.js" && search.includes("ad_"));

/** With which services mark the words of the query. Other angle brackets may be the text itself, as in `List<string>`. */
const MARKUP =
  /<\/?(?:a|abbr|b|bdi|bdo|big|br|cite|code|em|font|hr|i|img|li|mark|nobr|ol|p|q|s|small|span|strong|sub|sup|u|ul|wbr)(?:\s[^<>]*)?\/?>/gi;

/** One line without markup, entities and invisible ends. */
function plain(value: unknown, max: number): string {
  const text = typeof value === "string" || typeof value === "number" ? String(value) : "";
  const marked = text
    .slice(0, 4 * max)
    .replaceAll(MARKUP, (tag) => (/^<\/?(?:br|hr|li|p)\b/i.test(tag) ? " " : ""));
  const line = withoutReferences(marked)
    .toWellFormed()
    .replaceAll(/[\s\p{Cc}]+/gu, " ")
    .trim();
  return line.length <= max ? line : `${line.slice(0, max - 1).replace(/[\ud800-\udbff]$/, "")}…`;
}

const MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split(" ");
const UNITS: [RegExp, number][] = [
  [/^(s|sec|second|秒)/, 1_000],
  [/^(min|minute|分)/, 60_000],
  [/^(h|hour|hr|時間)/, 3_600_000],
  [/^(d|day|日)/, 86_400_000],
  [/^(w|week|週)/, 7 * 86_400_000],
  [/^(mo|month|か月|ヶ月|カ月)/, 30 * 86_400_000],
  [/^(y|year|年)/, 365 * 86_400_000],
];

/** As ISO 8601, as exact as it was given; null for what says no date. */
function dateOf(value: unknown, now: number): string | null {
  const text = typeof value === "string" ? value.trim().slice(0, 100) : "";
  return isoOf(text) ?? namedOf(text) ?? agoOf(text, now);
}

/** `2024-03-05`, `2024/3/5`, `2024年3月5日`, each with a time behind it or not. */
function isoOf(text: string): string | null {
  const [, year, month, day, time = ""] =
    /^(\d{4})(?:-|\/|\.|年)(\d{1,2})(?:-|\/|\.|月)(\d{1,2})日?(?:[T ](\d{2}:\d{2}.*))?$/.exec(text) ?? [];
  const date = dayOf(Number(year), Number(month), Number(day));
  if (date === null || time === "") return date;
  const [, clock, zone = ""] =
    /^(\d{2}:\d{2}(?::\d{2})?)(?:\.\d+)?\s*(Z|[+-]\d{2}:?\d{2})?$/i.exec(time) ?? [];
  const whole = `${date}T${clock}${zone.toUpperCase().replace(/^([+-]\d{2})(\d{2})$/, "$1:$2")}`;
  return clock !== undefined && !Number.isNaN(Date.parse(whole)) ? whole : date;
}

/** `Mar 5, 2024`, `5 March 2024`, `Tue, 05 Mar 2024 10:00:00 GMT`. */
function namedOf(text: string): string | null {
  const [, before, word, after, year] =
    /^(?:[a-z]{3,9},? +)?(?:(\d{1,2}) +)?([a-z]{3,9})\.?(?: +(\d{1,2}))?,? +(\d{4})\b/i.exec(text) ?? [];
  const month = MONTHS.indexOf(word?.slice(0, 3).toLowerCase() ?? "") + 1;
  const date = dayOf(Number(year), month, Number(before ?? after));
  if (date === null || !/\d:\d{2}:\d{2} (GMT|UTC)$/.test(text)) return date;
  const at = Date.parse(text);
  return Number.isNaN(at) ? date : new Date(at).toISOString();
}

/** `3 days ago`, `3 日前`. */
function agoOf(text: string, now: number): string | null {
  const [, count, unit = ""] = /^(\d{1,3})\s*(.{1,10}?)s?(?:\s+ago|前)$/i.exec(text) ?? [];
  const ms = UNITS.find(([form]) => form.test(unit.toLowerCase()))?.[1];
  return ms === undefined ? null : new Date(now - Number(count) * ms).toISOString().slice(0, 10);
}

function dayOf(year: number, month: number, day: number): string | null {
  const date = new Date(Date.UTC(year, month - 1, day));
  const isReal =
    date.getUTCFullYear() === year && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  return isReal && year >= 1_000 ? date.toISOString().slice(0, 10) : null;
}
