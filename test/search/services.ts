// The four search services as they answer, each in its own form, on a server of this machine.
import type { ServerResponse } from "node:http";
import { secret } from "../../worker/config/secret.ts";
import {
  type OpenSearch,
  openSearch,
  type SearchOptions,
  type SearchSettings,
} from "../../worker/search/search.ts";
import { JumpingClock } from "../fakes/clock.ts";
import { type Received, type Receiver, type Respond, startReceiver } from "../fakes/receiver.ts";

export type Result = { url: unknown; title: unknown; snippet: unknown; published?: unknown };

export type Service = {
  name: SearchSettings["provider"];
  title: string;
  key: string | undefined;
  /** An answer with these results. */
  results(all: readonly Result[]): object;
  nothing: object;
  /** With the HTTP status of each. */
  refusesKey: [status: number, body: object | string];
  busy: object | string;
  /** Undefined where there is no quota. */
  usedUp?: [status: number, body: object, headers?: Record<string, string>];
  /** What it was asked: the query, how many, in which language. */
  asked(received: Received): { query: unknown; count?: unknown; language?: unknown; key?: unknown };
};

/** Longer than what a service would take for a word, and with characters that an address escapes. */
const KEY = "k3y+of/the=owner";

const parametersOf = ({ path }: Received) => Object.fromEntries(new URL(path, "http://x").searchParams);

export const SERVICES: Record<SearchSettings["provider"], Service> = {
  searxng: {
    name: "searxng",
    title: "SearXNG",
    key: undefined,
    results: (all) => ({
      query: "q",
      number_of_results: 0,
      results: all.map(({ snippet, published = null, ...one }) => ({
        ...one,
        content: snippet,
        publishedDate: published,
        engine: "duckduckgo",
        engines: ["duckduckgo", "brave"],
        positions: [1, 3],
        score: 2.6,
        thumbnail: null,
        template: "default.html",
        parsed_url: ["https", "example.org", "/", "", "", ""],
        category: "general",
      })),
      answers: [],
      corrections: [],
      infoboxes: [],
      suggestions: ["another"],
      unresponsive_engines: [],
    }),
    nothing: { query: "q", results: [], answers: [], infoboxes: [], unresponsive_engines: [] },
    refusesKey: [403, "<!doctype html>\n<title>403 Forbidden</title>\n<h1>Forbidden</h1>"],
    busy: "<!doctype html>\n<title>429 Too Many Requests</title>\n<h1>Too Many Requests</h1>",
    asked: (received) => {
      const { q, language } = parametersOf(received);
      return { query: q, language };
    },
  },
  brave: {
    name: "brave",
    title: "Brave Search",
    key: KEY,
    results: (all) => ({
      type: "search",
      query: { original: "q", more_results_available: true },
      mixed: { type: "mixed", main: [{ type: "web", index: 0, all: false }] },
      web: {
        type: "search",
        results: all.map(({ snippet, published, ...one }) => ({
          ...one,
          is_source_local: false,
          description: snippet,
          page_age: published,
          age: "March 5, 2024",
          language: "en",
          family_friendly: true,
          type: "search_result",
          subtype: "generic",
          meta_url: { scheme: "https", hostname: "example.org", path: "" },
        })),
        family_friendly: true,
      },
    }),
    nothing: { type: "search", query: { original: "q", more_results_available: false } },
    refusesKey: [
      422,
      {
        type: "ErrorResponse",
        error: {
          id: "a1",
          status: 422,
          code: "SUBSCRIPTION_TOKEN_INVALID",
          detail: "The provided subscription token is invalid.",
          meta: { component: "authentication" },
        },
        time: 1_764_000_000,
      },
    ],
    busy: {
      type: "ErrorResponse",
      error: {
        id: "a1",
        status: 429,
        code: "RATE_LIMITED",
        detail: "Request rate limit exceeded for plan.",
        meta: { plan: "Free", rate_limit: 1, rate_current: 1, quota_limit: 2_000, quota_current: 7 },
      },
    },
    usedUp: [
      429,
      { type: "ErrorResponse", error: { code: "QUOTA_LIMITED", detail: "Request quota limit exceeded." } },
      {
        "x-ratelimit-limit": "1, 2000",
        "x-ratelimit-remaining": "1, 0",
        "x-ratelimit-reset": "1, 1419704",
      },
    ],
    asked: (received) => {
      const { q, count, search_lang: language } = parametersOf(received);
      return { query: q, count, language, key: received.headers["x-subscription-token"] };
    },
  },
  tavily: {
    name: "tavily",
    title: "Tavily",
    key: KEY,
    results: (all) => ({
      query: "q",
      follow_up_questions: null,
      answer: null,
      images: [],
      results: all.map(({ snippet, published, ...one }) => ({
        ...one,
        content: snippet,
        score: 0.81,
        raw_content: null,
        ...(published !== undefined && { published_date: published }),
      })),
      response_time: 1.09,
      request_id: "a1",
    }),
    nothing: { query: "q", answer: null, images: [], results: [], response_time: 0.4 },
    refusesKey: [401, { detail: { error: "Unauthorized: missing or invalid API key." } }],
    busy: { detail: { error: "Your request has been blocked due to excessive requests." } },
    usedUp: [432, { detail: { error: "This request exceeds your plan's set usage limit." } }],
    asked: ({ body, headers }) => {
      const { query, max_results: count, country: language } = JSON.parse(body);
      return { query, count, language, key: headers.authorization?.replace("Bearer ", "") };
    },
  },
  serpapi: {
    name: "serpapi",
    title: "SerpApi",
    key: KEY,
    results: (all) => ({
      search_metadata: { id: "a1", status: "Success" },
      search_parameters: { engine: "google", q: "q", hl: "en" },
      search_information: { organic_results_state: "Results for exact spelling" },
      ads: [{ position: 1, title: "Buy now", link: "https://shop.example/buy" }],
      organic_results: all.map(({ url, snippet, published, ...one }, index) => ({
        position: index + 1,
        ...one,
        link: url,
        redirect_link: "https://www.google.com/url?q=x",
        displayed_link: "example.org › a",
        snippet,
        snippet_highlighted_words: ["fair"],
        ...(published !== undefined && { date: published }),
        source: "Example",
      })),
    }),
    nothing: {
      search_metadata: { id: "a1", status: "Success" },
      search_information: { organic_results_state: "Fully empty" },
      error: "Google hasn't returned any results for this query.",
    },
    refusesKey: [
      401,
      { error: "Invalid API key. Your API key should be here: https://serpapi.com/manage-api-key" },
    ],
    busy: { error: "You are exceeding your hourly throughput limit." },
    usedUp: [429, { error: "Your account has run out of searches." }],
    asked: (received) => {
      const { q, hl: language, api_key: key } = parametersOf(received);
      return { query: q, language, key };
    },
  },
};

/** The account of SerpApi, which costs no search. */
export const account = (more: object = {}): object => ({
  account_id: "5ac5",
  api_key: KEY,
  account_email: "owner@example.org",
  account_status: "Active",
  plan_renewal_date: "2026-12-17",
  searches_per_month: 250,
  total_searches_left: 200,
  this_hour_searches: 0,
  account_rate_limit_per_hour: 50,
  ...more,
});

export const json = (response: ServerResponse, status: number, body: object | string, headers = {}): void => {
  const isPage = typeof body === "string" && body.startsWith("<");
  const type = isPage ? "text/html" : "application/json";
  response.writeHead(status, { "content-type": type, ...headers });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
};

export type Served = AsyncDisposable & {
  service: Service;
  search: OpenSearch;
  /** Another one of the same service. */
  open(how: Pick<SearchOptions, "timeoutMs" | "maxWaitMs">): OpenSearch;
  clock: JumpingClock;
  /** How searches are answered: each with the next, the last one again and again. */
  answer(...how: Respond[]): void;
  /** What came as a search. */
  searches: Received[];
  /** How many times the account was asked for. */
  looks(): number;
  /** What the account says from now on. */
  setAccount(more: object): void;
  stub: Receiver;
};

export async function serveService(
  name: SearchSettings["provider"],
  more: Partial<SearchSettings> & Pick<SearchOptions, "timeoutMs" | "maxWaitMs"> = {},
): Promise<Served> {
  const service = SERVICES[name];
  const { timeoutMs, maxWaitMs, ...settings } = more;
  const searches: Received[] = [];
  let answers: Respond[] = [];
  let own = account();
  let looks = 0;
  const stub = await startReceiver((received, response, request) => {
    if (received.path.startsWith("/account.json")) {
      looks += 1;
      return json(response, 200, own);
    }
    searches.push(received);
    const respond = answers.length > 1 ? answers.shift()! : answers[0]!;
    respond(received, response, request);
  });
  const clock = new JumpingClock();
  const key = service.key === undefined ? undefined : secret(service.key);
  const opened: OpenSearch[] = [];
  const open = (how: Pick<SearchOptions, "timeoutMs" | "maxWaitMs">): OpenSearch => {
    const own = { provider: name, url: stub.url, key, perMinute: 6_000, ...settings };
    const search = openSearch(own, { destinations: [], clock, ...how });
    opened.push(search);
    return search;
  };
  const how = {
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(maxWaitMs !== undefined && { maxWaitMs }),
  };
  return {
    service,
    search: open(how),
    open,
    clock,
    answer: (...respond) => {
      answers = respond;
    },
    searches,
    looks: () => looks,
    setAccount: (changes) => {
      own = account(changes);
    },
    stub,
    async [Symbol.asyncDispose]() {
      await Promise.all(opened.map((one) => one.close()));
      await stub.close();
    },
  };
}
