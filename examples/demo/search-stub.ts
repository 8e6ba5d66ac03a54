// A search engine over a folder of pages on this machine, with SearXNG's API: for the demo and for tests, which must not ask the web.
// It also serves the pages that it finds. Pages are ranked by how many of the query's words they have, and how rare these are.
import { readdirSync, readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { SERVE_OPTIONS } from "../../worker/http/server-limits.ts";
import { createPages } from "../../worker/pages/article.ts";

/** `published`: as the page says it. */
type KnownPage = { name: string; html: Uint8Array; title: string; text: string; published: string | null };

export type SearchStub = AsyncDisposable & {
  /** `http://127.0.0.1:port`; for KAMADO_SEARCH_URL. */
  url: string;
  /** The address of a page, by the name of its file. */
  pageUrl(name: string): string;
  /** The queries, in the order in which they came. */
  queries: string[];
  /** The pages that were read, by the names of their files. */
  read: string[];
  close(): Promise<void>;
};

export type SearchStubOptions = {
  /** Of HTML pages. */
  folder: string;
  /** [any that is free] */
  port?: number;
  /** In place of the stub's own answer to a request, such as a 429 or a page that never comes; undefined: its own. */
  instead?(
    request: Request,
    asked: { query?: string; page?: string },
  ): Response | Promise<Response> | undefined;
};

/** As many as SearXNG has on a page. */
const ON_PAGE = 20;
const SNIPPET = 200;

export async function startSearchStub({ folder, port = 0, instead }: SearchStubOptions): Promise<SearchStub> {
  const pages = await readPages(folder);
  const queries: string[] = [];
  const read: string[] = [];
  let origin = "";
  const app = new Hono();
  app.get("/search", async ({ req, json, text }) => {
    const { q: query = "", format, pageno = "1" } = req.query();
    if (format !== "json") return text("Forbidden", 403);
    if (query === "") return json({ error: "No query" }, 400);
    queries.push(query);
    const other = await instead?.(req.raw, { query });
    if (other) return other;
    const from = (Number(pageno) - 1) * ON_PAGE;
    const results = ranked(pages, query)
      .slice(from, from + ON_PAGE)
      .map((page) => resultOf(page, origin));
    return json({
      query,
      number_of_results: results.length,
      results,
      answers: [],
      corrections: [],
      infoboxes: [],
      suggestions: [],
      unresponsive_engines: [],
    });
  });
  app.get("/pages/:name", async ({ req, notFound }) => {
    const name = req.param("name");
    read.push(name);
    const other = await instead?.(req.raw, { page: name });
    if (other) return other;
    const page = pages.find((one) => one.name === name);
    if (!page) return notFound();
    return new Response(page.html as Uint8Array<ArrayBuffer>, { headers: { "content-type": "text/html" } });
  });
  const { promise: listening, resolve } = Promise.withResolvers<AddressInfo>();
  const server = serve({ ...SERVE_OPTIONS, fetch: app.fetch, hostname: "127.0.0.1", port }, resolve);
  origin = `http://127.0.0.1:${(await listening).port}`;
  const close = () =>
    new Promise<void>((done) => {
      server.close(() => done());
      if ("closeAllConnections" in server) server.closeAllConnections();
    });
  const pageUrl = (name: string) => `${origin}/pages/${encodeURIComponent(name)}`;
  return { url: origin, pageUrl, queries, read, close, [Symbol.asyncDispose]: close };
}

function readPages(folder: string): Promise<KnownPage[]> {
  const names = readdirSync(folder).filter((name) => /\.x?html?$/.test(name));
  const reader = createPages();
  return Promise.all(
    names.toSorted().map(async (name) => {
      const html = readFileSync(join(folder, name));
      const { title, text, published } = await reader.article(html.toString());
      return { name, html, title: title ?? name, text, published };
    }),
  );
}

const resultOf = ({ name, title, text, published }: KnownPage, origin: string) => ({
  url: `${origin}/pages/${encodeURIComponent(name)}`,
  title,
  content: text.slice(0, SNIPPET).toWellFormed(),
  publishedDate: published,
  engine: "local",
  engines: ["local"],
  category: "general",
  template: "default.html",
});

/** Those with none of the words are not found. Equals keep the order of their names. */
function ranked(pages: readonly KnownPage[], query: string): KnownPage[] {
  const asked = new Set(wordsIn(query));
  const all = pages.map((page) => ({ page, words: new Set(wordsIn(`${page.title} ${page.text}`)) }));
  const rarity = (word: string) =>
    Math.log(1 + pages.length / Math.max(1, all.filter(({ words }) => words.has(word)).length));
  const score = (words: ReadonlySet<string>) =>
    [...asked].filter((word) => words.has(word)).reduce((sum, word) => sum + rarity(word), 0);
  return all
    .map(({ page, words }) => ({ page, score: score(words) }))
    .filter((one) => one.score > 0)
    .toSorted((one, other) => other.score - one.score)
    .map(({ page }) => page);
}

const SEGMENTER = new Intl.Segmenter("ja", { granularity: "word" });
/** Words that say nothing of what a page is about. */
const SMALL =
  /^(a|an|and|are|as|at|be|by|did|do|does|for|from|had|has|have|how|in|is|it|its|many|much|of|on|or|that|the|to|was|were|what|when|where|which|who|why|with)$/;

/** Also of Japanese, which has no spaces. `visitors` and `visitor` are the same. */
const wordsIn = (text: string): string[] =>
  [...SEGMENTER.segment(text.toLowerCase().normalize("NFKC"))]
    .filter(({ segment, isWordLike }) => isWordLike && !SMALL.test(segment))
    .map(({ segment }) => (/^[a-z]{4,}s$/.test(segment) ? segment.slice(0, -1) : segment));
