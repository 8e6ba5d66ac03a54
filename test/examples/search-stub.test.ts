// The search engine over local pages, asked as a job asks a SearXNG.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type SearchStub, startSearchStub } from "../../examples/demo/search-stub.ts";
import { type OpenSearch, openSearch } from "../../worker/search/search.ts";
import { JumpingClock } from "../fakes/clock.ts";

const page = (title: string, text: string) =>
  `<!doctype html><html><head><title>${title}</title></head><body><article><h1>${title}</h1><p>${text}</p><p>${"The rest of the page says little. ".repeat(20)}</p></article></body></html>`;

const PAGES = {
  "fair.html": page("The town fair", "About 400 visitors came to the fair on Saturday &amp; Sunday."),
  "bridge.html": page("A new bridge", "The bridge over the river was opened in May for 3 million euros."),
  "umbrella.html": page("傘の修理", "町の修理店では一年に五百本の傘を直しています。"),
  "notes.txt": "visitors visitors visitors",
};

let folder: string;
let stub: SearchStub;
let search: OpenSearch;
let late: (() => Response | undefined) | undefined;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "kamado-pages-"));
  for (const [name, html] of Object.entries(PAGES)) writeFileSync(join(folder, name), html);
  stub = await startSearchStub({ folder, instead: () => late?.() });
  const settings = { provider: "searxng", url: stub.url, key: undefined, perMinute: 6_000 } as const;
  search = openSearch(settings, { destinations: [], clock: new JumpingClock() });
});
afterAll(async () => {
  await search.close();
  await stub.close();
  rmSync(folder, { recursive: true });
});

test("it finds the pages that have the words, the best one first", async () => {
  const hits = await search.web("how many visitors came to the fair?");
  expect(hits[0]).toMatchObject({ url: stub.pageUrl("fair.html"), title: "The town fair" });
  expect(hits[0]?.snippet).toContain("400 visitors came to the fair on Saturday & Sunday");
  expect((await search.web("river bridge cost")).map(({ url }) => url)).toEqual([
    stub.pageUrl("bridge.html"),
  ]);
  expect(await search.web("zebra")).toEqual([]);
});

test("it finds pages without spaces between their words", async () => {
  expect((await search.web("傘 修理店", { language: "ja" }))[0]?.url).toBe(stub.pageUrl("umbrella.html"));
});

test("it serves the pages that it finds, and notes what it was asked", async () => {
  const answer = await fetch(stub.pageUrl("fair.html"));
  expect(await answer.text()).toBe(PAGES["fair.html"]);
  expect((await fetch(stub.pageUrl("none.html"))).status).toBe(404);
  expect(stub.read).toEqual(["fair.html", "none.html"]);
  expect(stub.queries).toContain("river bridge cost");
});

test("a test can have it answer otherwise", async () => {
  let left = 1;
  late = () => (left-- > 0 ? new Response("slow down", { status: 429 }) : undefined);
  expect(await search.web("bridge")).toHaveLength(1);
  expect(stub.queries.slice(-2)).toEqual(["bridge", "bridge"]);
  late = undefined;
});

test("`kamado doctor` finds that it works", async () => {
  expect(await search.look()).toEqual({ is: "ok", found: "answers, and gives JSON" });
});
