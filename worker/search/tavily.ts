// Tavily's API. Each search costs one credit of a plan; its usage can be asked for.
// https://docs.tavily.com/documentation/api-reference/endpoint/search
import {
  addressAt,
  fieldsOf,
  numberOf,
  objectsIn,
  type Provider,
  type Refusal,
  type Said,
  USED_UP,
  WRONG_KEY,
} from "./provider.ts";

const MOST = 20;
const MAX_CHARACTERS = 400;
/** It knows no languages, but it prefers pages of a country: those of the countries where nearly all speak a language count for it. */
const COUNTRIES: Record<string, string> = {
  ja: "japan",
  ko: "south korea",
  de: "germany",
  fr: "france",
  it: "italy",
  nl: "netherlands",
  pl: "poland",
  sv: "sweden",
  da: "denmark",
  fi: "finland",
  nb: "norway",
  no: "norway",
  cs: "czech republic",
  el: "greece",
  hu: "hungary",
  tr: "turkey",
  uk: "ukraine",
  vi: "vietnam",
  th: "thailand",
  id: "indonesia",
  "pt-br": "brazil",
  "pt-pt": "portugal",
  "en-us": "united states",
  "en-gb": "united kingdom",
  "es-es": "spain",
  "es-mx": "mexico",
};

export const tavily: Provider = {
  name: "tavily",
  title: "Tavily",
  url: "https://api.tavily.com",
  needsKey: true,
  atOnce: 4,
  // A key for development may do 100 requests a minute.
  gapMs: 650,
  pages: 1,
  request: ({ query, count, language = "" }, { base, key }) => ({
    method: "POST",
    url: addressAt(base, "/search"),
    headers: { ...headers(key), "content-type": "application/json" },
    body: JSON.stringify({
      query: query.slice(0, MAX_CHARACTERS).toWellFormed(),
      max_results: Math.min(count, MOST),
      // The only depth that costs one credit and no more.
      search_depth: "basic",
      country: COUNTRIES[language] ?? COUNTRIES[language.replace(/-.*$/, "")],
    }),
  }),
  hits(json) {
    const { results } = fieldsOf(json);
    if (!Array.isArray(results)) return null;
    return objectsIn(results).map(({ url, title, content, published_date }) => ({
      url,
      title,
      snippet: content,
      published: published_date,
    }));
  },
  refusal: refusalOf,
  look: {
    request: ({ base, key }) => ({ method: "GET", url: addressAt(base, "/usage"), headers: headers(key) }),
    read(said) {
      const refusal = refusalOf(said);
      if (refusal && refusal.is !== "wait") return { is: "bad", refusal };
      const { account, key } = fieldsOf(said.json);
      const [plan, own] = [fieldsOf(account), fieldsOf(key)];
      const [used, limit] = [numberOf(plan.plan_usage ?? own.usage), numberOf(plan.plan_limit ?? own.limit)];
      if (said.status !== 200)
        return { is: "unclear", found: `answers ${said.status}; whether it takes the key is not known` };
      if (used === undefined || limit === undefined) return { is: "ok", found: "takes the key" };
      if (used >= limit && !numberOf(plan.paygo_limit)) return { is: "bad", refusal: usedUp() };
      return { is: "ok", found: `takes the key; ${Math.max(0, limit - used)} of ${limit} credits are left` };
    },
  },
};

const headers = (key: string) => ({ accept: "application/json", authorization: `Bearer ${key}` });

const usedUp = (): Refusal => ({
  is: "rejected",
  why: "the credits of the plan are used up",
  hint: USED_UP,
});

/** 432 and 433 are its own: the limit of the plan, and that of pay as you go. */
function refusalOf({ status }: Said): Refusal | null {
  if (status === 401 || status === 403)
    return { is: "rejected", why: `it refuses the key (${status})`, hint: WRONG_KEY };
  if (status === 402 || status === 432 || status === 433) return usedUp();
  return status === 429 ? { is: "wait" } : null;
}
