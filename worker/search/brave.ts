// Brave Search's API. Its answers say how many requests a second and a month are left; only successful ones count.
// https://api-dashboard.search.brave.com/app/documentation/web-search
import {
  addressAt,
  type Fields,
  fieldsOf,
  numberOf,
  objectsIn,
  type Provider,
  type Refusal,
  type Said,
  USED_UP,
  WRONG_KEY,
} from "./provider.ts";

const PATH = "/res/v1/web/search";
const MOST = 20;
/** Both are its own limits. */
const MAX_CHARACTERS = 400;
const MAX_WORDS = 50;
/** Its codes for the languages that it knows, where they are not those of BCP 47. It refuses any other. */
const LANGUAGES =
  "ar eu bn bg ca hr cs da nl en en-gb et fi fr gl de gu he hi hu is it kn ko lv lt ms ml mr nb pl pt-br pt-pt pa ro ru sr sk sl es sv ta te th tr uk vi zh-hans zh-hant".split(
    " ",
  );
const CALLED: Record<string, string> = {
  ja: "jp",
  zh: "zh-hans",
  "zh-cn": "zh-hans",
  "zh-sg": "zh-hans",
  "zh-tw": "zh-hant",
  "zh-hk": "zh-hant",
  pt: "pt-pt",
  no: "nb",
};

export const brave: Provider = {
  name: "brave",
  title: "Brave Search",
  url: "https://api.search.brave.com",
  needsKey: true,
  atOnce: 4,
  // Its smallest plans allow one a second; its answers say more.
  gapMs: 1_100,
  pages: 1,
  request: ({ query, count, language }, { base, key }) => ({
    method: "GET",
    url: addressAt(base, PATH, {
      q: shortened(query),
      count: `${Math.min(count, MOST)}`,
      search_lang: language && languageOf(language),
      result_filter: "web",
      text_decorations: "false",
    }),
    headers: headers(key),
  }),
  hits(json) {
    const { type, web } = fieldsOf(json);
    // Where it finds nothing, there is no `web`.
    if (web === undefined || web === null) return type === "search" ? [] : null;
    return objectsIn(fieldsOf(web).results).map(({ url, title, description, page_age, subtype }) => ({
      url,
      title,
      snippet: description,
      published: page_age,
      isAdvert: subtype === "ad",
    }));
  },
  refusal: refusalOf,
  gapFrom(said) {
    const perSecond = limitsIn(said["x-ratelimit-limit"])[0];
    return perSecond === undefined || perSecond <= 0 ? undefined : Math.ceil(1_100 / perSecond);
  },
  look: {
    // Without a query it refuses the request, and such requests are not counted; a wrong key it refuses by another code.
    request: ({ base, key }) => ({ method: "GET", url: addressAt(base, PATH), headers: headers(key) }),
    read(said) {
      const refusal = refusalOf({
        ...said,
        status: said.status === 422 && !isOfKey(said) ? 200 : said.status,
      });
      if (refusal && refusal.is !== "wait") return { is: "bad", refusal };
      const left = monthOf(said.headers);
      const quota = left === undefined ? "" : `; ${left.left} of ${left.limit} searches are left this month`;
      if (said.status === 422 || said.status === 400) return { is: "ok", found: `takes the key${quota}` };
      return { is: "unclear", found: `answers ${said.status}; whether it takes the key is not known` };
    },
  },
};

const headers = (key: string) => ({ accept: "application/json", "x-subscription-token": key });

const shortened = (query: string): string =>
  query.split(" ").slice(0, MAX_WORDS).join(" ").slice(0, MAX_CHARACTERS).toWellFormed();

function languageOf(language: string): string | undefined {
  const forms = [language, language.replace(/-.*$/, "")];
  return forms.map((form) => CALLED[form] ?? form).find((form) => form === "jp" || LANGUAGES.includes(form));
}

/** `1, 15000`: in the shortest window and in the longest one. */
const limitsIn = (header = ""): (number | undefined)[] => header.split(",").map(numberOf);

/** Undefined where the plan has no limit a month, or says none. */
function monthOf(said: Record<string, string>): { left: number; limit: number; resetMs: number } | undefined {
  const [limit, left, reset] = ["limit", "remaining", "reset"].map((name) =>
    limitsIn(said[`x-ratelimit-${name}`]).at(-1),
  );
  const hasTwo = (said["x-ratelimit-limit"] ?? "").includes(",");
  if (!hasTwo || !limit || left === undefined) return undefined;
  return { left, limit, resetMs: (reset ?? 0) * 1_000 };
}

const errorOf = ({ json }: Said): Fields => fieldsOf(fieldsOf(json).error);

const isOfKey = (said: Said): boolean => /TOKEN/i.test(String(errorOf(said).code ?? ""));

function refusalOf(said: Said): Refusal | null {
  const { status, headers: all } = said;
  if (status === 401 || status === 403 || (status === 422 && isOfKey(said)))
    return { is: "rejected", why: `it refuses the key (${status})`, hint: WRONG_KEY };
  const month = monthOf(all);
  const isUsedUp = status === 402 || (status === 429 && month?.left === 0);
  if (isUsedUp || /QUOTA/i.test(String(errorOf(said).code ?? "")))
    return {
      is: "rejected",
      why: `the searches of this month are used up${month && month.resetMs > 0 ? `; it renews them in ${daysIn(month.resetMs)}` : ""}`,
      hint: USED_UP,
    };
  if (status !== 429) return null;
  const seconds = limitsIn(all["x-ratelimit-reset"])[0];
  return { is: "wait", ms: seconds === undefined ? undefined : seconds * 1_000 };
}

const daysIn = (ms: number): string => {
  const days = Math.ceil(ms / 86_400_000);
  return days === 1 ? "a day" : `${days} days`;
};
