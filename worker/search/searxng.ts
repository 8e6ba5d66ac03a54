// SearXNG: a search engine of one's own that asks others. It has no key and no quota; the engines behind it block whoever asks too
// often. https://docs.searxng.org/dev/search_api.html
import { addressAt, fieldsOf, objectsIn, type Provider, type Refusal, type Said } from "./provider.ts";

const FORMATS =
  "In its settings.yml, list json beside html in `search: formats:`, and restart it (docs/research.md has the lines).";
const LIMITER =
  "Its limiter takes Kamado for a bot. For an instance that only you use, set `server: limiter: false` in its settings.yml; else list the worker's address in `botdetection: ip_lists: pass_ip` of its limiter.toml.";
const ADDRESS = "Correct KAMADO_SEARCH_URL: it is the address at which a browser shows SearXNG's own page.";

export const searxng: Provider = {
  name: "searxng",
  title: "SearXNG",
  url: undefined,
  needsKey: false,
  // Each request makes it ask several engines.
  atOnce: 1,
  gapMs: 1_000,
  pages: 2,
  request: ({ query, language, page }, { base }) => ({
    method: "GET",
    url: addressAt(rootOf(base), "/search", {
      q: withoutCommands(query),
      format: "json",
      ...(language !== undefined && { language: tagOf(language) }),
      ...(page > 0 && { pageno: `${page + 1}` }),
    }),
    headers: { accept: "application/json" },
  }),
  hits(json) {
    const { results } = fieldsOf(json);
    if (!Array.isArray(results)) return null;
    return objectsIn(results).map(({ url, title, content, publishedDate, pubdate, template }) => ({
      url,
      title,
      snippet: content,
      published: publishedDate ?? pubdate,
      isAdvert: template === "ads.html",
    }));
  },
  refusal: (said) => refusalOf(said) ?? silentEngines(said),
  look: {
    // Without a query it says 400, or 403 where JSON is not allowed, and asks no engine.
    request: ({ base }) => ({
      method: "GET",
      url: addressAt(rootOf(base), "/search", { format: "json" }),
      headers: { accept: "application/json" },
    }),
    read(said) {
      const refusal = refusalOf(said);
      if (refusal) return { is: "bad", refusal };
      const isItself = said.status === 400 && /no query/i.test(said.text);
      return isItself || searxng.hits(said.json)
        ? { is: "ok", found: "answers, and gives JSON" }
        : { is: "unclear", found: `answers ${said.status}, which SearXNG does not` };
    },
  },
};

/** People copy the address of a page of results. */
const rootOf = (base: string): string => base.replace(/[?#].*$/s, "").replace(/\/(search|config)?\/*$/, "");

/** `ja`, `pt-BR`, `zh-TW`. */
const tagOf = (language: string): string =>
  language.replace(/-([a-z]{2})$/, (_, region: string) => `-${region.toUpperCase()}`);

/** It takes words that begin with ! : ? or < for its own commands: another engine, another language, a redirect. */
const withoutCommands = (query: string): string =>
  query.replaceAll(/(^|\s)[!:?<]+(?=\S)/g, "$1").trim() || query;

function refusalOf({ status, text, json }: Said): Refusal | null {
  if (status === 403)
    return { is: "rejected", why: "it answers 403: it is not set to give JSON", hint: FORMATS };
  const isPage = json === undefined && /^\s*<(!doctype|html)/i.test(text);
  if (status === 429) return isPage || /limit|bot/i.test(text) ? limiter(text) : { is: "wait" };
  if (status === 200 && isPage)
    return {
      is: "rejected",
      why: "it answers a page where JSON was asked for",
      hint: `${ADDRESS} ${FORMATS}`,
    };
  if (status === 404) return { is: "rejected", why: "it answers 404 for /search", hint: ADDRESS };
  return null;
}

/** Its limiter refuses what does not look like a browser for good; other refusals pass. */
const limiter = (text: string): Refusal =>
  /bot|limiter/i.test(text)
    ? { is: "rejected", why: "it answers 429: its bot detection refuses Kamado", hint: LIMITER }
    : { is: "wait" };

/** No results because the engines behind it refuse to answer is not the same as nothing found. */
function silentEngines({ status, json }: Said): Refusal | null {
  const { results, unresponsive_engines: silent } = fieldsOf(json);
  if (status !== 200 || !Array.isArray(results) || results.length > 0) return null;
  if (!Array.isArray(silent) || silent.length === 0) return null;
  const named = silent.slice(0, 5).map((one) => [one].flat(1).slice(0, 2).map(String).join(": "));
  return { is: "failed", why: `the engines that it asks do not answer (${named.join("; ")})` };
}
