// SerpApi: the results of Google. Its key stands in the address, so no address of it may be shown. A plan has searches for a month and
// a rate for each hour; 429 means either of them, and the account says which. https://serpapi.com/search-api
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

/** Results on one page of Google. */
const ON_PAGE = 10;

export const serpapi: Provider = {
  name: "serpapi",
  title: "SerpApi",
  url: "https://serpapi.com",
  needsKey: true,
  atOnce: 4,
  gapMs: 250,
  pages: 2,
  request: ({ query, language, page }, { base, key }) => ({
    method: "GET",
    url: addressAt(base, "/search.json", {
      engine: "google",
      q: query,
      ...(language !== undefined && languageOf(language)),
      start: page === 0 ? undefined : `${page * ON_PAGE}`,
      api_key: key,
    }),
    headers: { accept: "application/json" },
  }),
  hits(json) {
    const { organic_results: results, search_metadata: metadata, error } = fieldsOf(json);
    if (Array.isArray(results))
      return objectsIn(results).map(({ link, title, snippet, date }) => ({
        url: link,
        title,
        snippet,
        published: date,
      }));
    return metadata !== undefined || isNothingFound(error) ? [] : null;
  },
  refusal: refusalOf,
  account: {
    request: accountRequest,
    read(json) {
      const account = fieldsOf(json);
      const renews = account.plan_renewal_date;
      return {
        ...defined("hourly", numberOf(account.account_rate_limit_per_hour)),
        ...defined("usedThisHour", numberOf(account.this_hour_searches)),
        ...defined("left", numberOf(account.total_searches_left)),
        ...defined("renews", typeof renews === "string" ? renews.slice(0, 10) : undefined),
      };
    },
  },
  look: {
    request: accountRequest,
    read(said) {
      const refusal = refusalOf(said);
      if (refusal && refusal.is !== "wait") return { is: "bad", refusal };
      if (said.status !== 200)
        return { is: "unclear", found: `answers ${said.status}; whether it takes the key is not known` };
      const { left, hourly } = serpapi.account!.read(said.json);
      if (left === 0) return { is: "bad", refusal: usedUp(serpapi.account!.read(said.json).renews) };
      if (left === undefined) return { is: "ok", found: "takes the key" };
      const rate = hourly === undefined ? "" : `, ${hourly} an hour`;
      return { is: "ok", found: `takes the key; ${left} searches are left${rate}` };
    },
  },
};

function accountRequest({ base, key }: { base: string; key: string }) {
  const url = addressAt(base, "/account.json", { api_key: key });
  return { method: "GET" as const, url, headers: { accept: "application/json" } };
}

const defined = <K extends string, V>(name: K, value: V | undefined) =>
  (value === undefined ? {} : { [name]: value }) as { [_ in K]?: V };

/** `hl` is the language of the page of results, `lr` that of the pages found. */
function languageOf(language: string): Record<string, string> {
  const [name = "", region] = language.split("-");
  if (name === "zh") {
    const form = region === "tw" || region === "hk" || region === "hant" ? "zh-tw" : "zh-cn";
    return { hl: form, lr: `lang_${form.replace("tw", "TW").replace("cn", "CN")}` };
  }
  const country =
    region !== undefined && /^[a-z]{2}$/.test(region) ? { gl: region === "gb" ? "uk" : region } : {};
  return { hl: language === "pt-br" ? "pt-br" : name, lr: `lang_${name}`, ...country };
}

/** It answers 200 with an error where Google finds nothing. */
const isNothingFound = (error: unknown): boolean => /hasn't returned any results/i.test(String(error ?? ""));

export const usedUp = (renews?: string): Refusal => ({
  is: "rejected",
  why: `the searches of the plan are used up${renews === undefined ? "" : `; they are renewed on ${renews}`}`,
  hint: USED_UP,
});

function refusalOf({ status, json }: Said): Refusal | null {
  const { error, account_status: account } = fieldsOf(json);
  const said = typeof error === "string" ? error : "";
  if (/run out of searches|searches? .*run out/i.test(said)) return usedUp();
  if (status === 401 || status === 403 || /invalid api key/i.test(said))
    return { is: "rejected", why: `it refuses the key (${status})`, hint: WRONG_KEY };
  if (typeof account === "string" && !/^active$/i.test(account))
    return { is: "rejected", why: `the account is not active (${account})`, hint: WRONG_KEY };
  if (status === 429) return { is: "wait" };
  // Google refused it; the next search may work.
  if (status === 200 && said !== "" && !isNothingFound(said)) return { is: "failed", why: said };
  return null;
}
