// `kamado research`: what went wrong is in the report, and a run that was killed goes on where it was.
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type SearchStub, startSearchStub } from "../../examples/demo/search-stub.ts";
import type { Report } from "../../worker/job/research/report.ts";
import { kamado, runKamado, SCRIPTED, served } from "./process.ts";

const QUESTION = "How many visitors came to the town fair?";
const folder = mkdtempSync(join(tmpdir(), "kamado-research-"));
const pages = join(folder, "pages");
const record = join(folder, "record.jsonl");

const article = (title: string, ...paragraphs: string[]) =>
  `<!doctype html><html lang="en"><title>${title}</title><body><article><h1>${title}</h1>${paragraphs.map((one) => `<p>${one}</p>`).join("")}</article></body></html>`;
const filler = (about: string) =>
  `${about} has been part of the life of the town for many years, and whoever lives there knows it well. `.repeat(
    6,
  );

const PAGES = {
  "fair.html": article(
    "The town fair",
    filler("The fair"),
    "The mayor counted 5,200 visitors on the first day of the town fair.",
  ),
  "diary.html": article(
    "A day at the fair",
    filler("The market"),
    "The organisers of the town fair wrote that 4,100 visitors came on Friday.",
  ),
  "weather.html": article(
    "Weather",
    filler("The rain"),
    "Visitors of the town fair had sun from morning to evening, without any clouds.",
  ),
  "slow.html": article("Slow", filler("The slow page"), "Visitors of the town fair waited."),
  "broken.html": article("Broken", filler("The broken page"), "Visitors of the town fair were broken."),
};

/** The model of these tests: what it says to each prompt. The prompt of a part ends in its question. */
const script = (more: object[] = []) =>
  JSON.stringify({
    record,
    rules: [
      {
        when: "\nKeywords:",
        answer: { keywords: [" town fair visitors", " visitors Friday", " fair mayor counted"] },
      },
      {
        when: "\nAnswer:",
        answer: { sentences: [{ text: "The mayor counted 5,200 visitors.", claims: [1, 2] }] },
      },
      { when: "\nA: ", logprobs: { different: 0.95 } },
      ...more,
      {
        when: "The mayor counted",
        answer: {
          claims: [
            {
              evidence: "The mayor counted 5,200 visitors on the first day of the town fair.",
              claim: "5,200 visitors came on the first day.",
            },
          ],
        },
      },
      {
        when: "The organisers",
        answer: {
          claims: [
            {
              evidence: "The organisers of the town fair wrote that 4,100 visitors came on Friday.",
              claim: "4,100 visitors came on Friday.",
            },
            { evidence: "Nine thousand came.", claim: "9,000 came." },
          ],
        },
      },
      { when: "\nClaims:", answer: { claims: [] } },
    ],
  });

let stub: SearchStub;
let refusals = 0;
/** Whether the slow page hangs, which costs a research its whole time for reading. */
let slow = false;
let environment: Record<string, string>;

beforeAll(async () => {
  mkdirSync(pages);
  for (const [name, html] of Object.entries(PAGES)) writeFileSync(join(pages, name), html);
  stub = await startSearchStub({
    folder: pages,
    instead(_, { query, page }) {
      if (page === "slow.html") return slow ? new Promise(() => {}) : new Response("gone", { status: 404 });
      if (page === "broken.html") return new Response("broken", { status: 500 });
      if (query?.startsWith("visitors") && refusals++ === 0)
        return new Response("too many", { status: 429, headers: { "retry-after": "1" } });
      return undefined;
    },
  });
  environment = {
    ...SCRIPTED,
    KAMADO_SEARCH_URL: stub.url,
    KAMADO_SEARCH_PER_MINUTE: "6000",
    KAMADO_DESTINATIONS_FILE: destinationsAt(stub.url),
    KAMADO_DATA_DIR: join(folder, "data"),
  };
});
afterAll(() => stub?.close());

/** A file that lets jobs read what is there. */
function destinationsAt(url: string): string {
  const path = join(folder, `destinations-${new URL(url).port}.json`);
  writeFileSync(path, JSON.stringify([{ match: url, allowPrivate: true }]));
  return path;
}

type Line = { what: "begun" | "over"; prompt: string };
const lines = (): Line[] =>
  existsSync(record)
    ? readFileSync(record, "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
    : [];
const partsIn = (all: readonly Line[], what: Line["what"]) =>
  all.filter((one) => one.what === what && one.prompt.includes("\nClaims:")).map(({ prompt }) => prompt);

const research = (rules: object[], ...more: string[]) =>
  kamado(["research", QUESTION, "--json", "--max-minutes", "0.3", ...more], {
    ...environment,
    KAMADO_SCRIPT: script(rules),
  });

test("killed in the middle and called again, it asks nothing twice, and its report says what went wrong", async () => {
  // The part about the weather never gets its answer, so that the run is killed with two of its answers kept.
  const first = research([{ when: "The rain", do: "hang" }]);
  await vi.waitFor(() => expect(isKept(2)).toBe(true), { timeout: 60_000, interval: 50 });
  // Before the kill: a dying engine ends what it was doing, and records that too.
  const answered = partsIn(lines(), "over");
  const gone = once(first, "exit");
  process.kill(-first.pid!, "SIGKILL");
  await gone;
  const searches = [...stub.queries];
  const before = lines().length;

  slow = true;
  const second = research([]);
  const [out, errors, [code]] = await Promise.all([
    text(second.stdout!),
    text(second.stderr!),
    once(second, "exit"),
  ]);
  expect([code, errors]).toEqual([
    0,
    expect.stringContaining("Going on where an earlier run of this question stopped"),
  ]);
  const asked = partsIn(lines().slice(before), "begun");
  expect(answered).toHaveLength(2);
  expect(asked).toHaveLength(1);
  expect(answered).not.toContain(asked[0]);
  expect(stub.queries).toEqual(searches);

  const { output }: { output: Report } = JSON.parse(out);
  expect(output).toMatchObject({
    found: true,
    answer: [{ text: "The mayor counted 5,200 visitors.", claims: [1, 2] }],
    dropped: { claims: 1 },
    resumed: { searches: 3, pages: 3, chunks: 2 },
    model: "scripted",
  });
  const found = output.claims.map(({ claim, sources: [one] }) => [
    claim,
    output.sources[one!.source - 1]!.url,
  ]);
  expect(Object.fromEntries(found)).toEqual({
    "5,200 visitors came on the first day.": stub.pageUrl("fair.html"),
    "4,100 visitors came on Friday.": stub.pageUrl("diary.html"),
  });
  expect(output.failures).toEqual(
    expect.arrayContaining([
      { step: "page", what: stub.pageUrl("slow.html"), code: "timed_out", reason: expect.any(String) },
      {
        step: "page",
        what: stub.pageUrl("broken.html"),
        code: "fetch_failed",
        reason: expect.stringContaining("500"),
      },
    ]),
  );
  expect(output.searches.find(({ query }) => query === "visitors Friday")).toMatchObject({
    note: "the service said once that it was asked too often, and was asked again later",
  });
}, 120_000);

test("interrupted it says that what was found is kept, and without a search service it says so before anything is loaded", async () => {
  const child = research([{ when: "\nClaims:", do: "hang" }], "--url", stub.pageUrl("fair.html"));
  const [errors, exited] = [text(child.stderr!), once(child, "exit")];
  const begun = lines().length;
  await vi.waitFor(() => expect(partsIn(lines().slice(begun), "begun")).toHaveLength(1), {
    timeout: 60_000,
    interval: 50,
  });
  process.kill(-child.pid!, "SIGINT");
  const [code] = await exited;
  expect([code, await errors]).toEqual([130, expect.stringContaining("it goes on where it was")]);

  const { KAMADO_SEARCH_URL: _, ...withoutSearch } = environment;
  const refused = await runKamado(["research", QUESTION], {
    ...withoutSearch,
    KAMADO_SCRIPT: "no such file",
  });
  expect([refused.code, refused.errors]).toEqual([
    2,
    expect.stringMatching(/^kamado: search_not_set_up: .*\n.*KAMADO_SEARCH.* --url/),
  ]);
}, 120_000);

test("with the demo model the Kamado that runs here gives the right answers with sources, and says what failed", async () => {
  let [busy, hangs] = [true, true];
  await using festival = await startSearchStub({
    folder: join(import.meta.dirname, "../../examples/demo/pages"),
    instead(_, { query, page }) {
      if (page === "weather-havelo.html" && hangs) return new Promise(() => {});
      if (page === "havelo-today.html") return new Response("broken", { status: 500 });
      if (query === undefined || !busy) return undefined;
      busy = false;
      return new Response("too many", { status: 429, headers: { "retry-after": "1" } });
    },
  });
  const variables = {
    ...environment,
    KAMADO_BACKEND: "auto",
    KAMADO_SEARCH_URL: festival.url,
    KAMADO_DESTINATIONS_FILE: destinationsAt(festival.url),
    KAMADO_DATA_DIR: join(folder, "served"),
  };
  const service = await served([], variables);
  const question = "How many people were there at the festival in Havelo?";
  const ask = (...more: string[]) =>
    runKamado(["research", question, "--max-minutes", "0.4", ...more], variables);
  const { out, errors, code } = await ask("--json");
  expect([code, errors]).toEqual([0, expect.stringMatching(/as research-[0-9a-f]{24}\./)]);
  const { output }: { output: Report } = JSON.parse(out);
  const pageOf = (source: number) => output.sources[source - 1]!.url;
  expect(
    output.claims.map(({ claim, sources }) => [
      /\d+/.exec(claim)?.[0],
      sources.map(({ source }) => pageOf(source)).toSorted(),
    ]),
  ).toEqual([
    ["8400", [festival.pageUrl("havelo-herald.html"), festival.pageUrl("radio-vanu.html")]],
    ["6200", [festival.pageUrl("blog-pamo.html")]],
  ]);
  expect([output.contradictions, output.answer.length]).toEqual([[[1, 2]], expect.any(Number)]);
  expect(output.failures.map(({ what, code: why }) => [what, why]).toSorted()).toEqual([
    [festival.pageUrl("havelo-today.html"), "fetch_failed"],
    [festival.pageUrl("weather-havelo.html"), "timed_out"],
  ]);
  expect(output.searches.filter(({ note }) => note?.includes("asked too often"))).toHaveLength(1);

  // Whoever asks again wants to know how it is now.
  hangs = false;
  const file = join(folder, "report.md");
  const again = await ask("--out", file);
  expect(again.errors).toMatch(/as research-[0-9a-f]{24}-2\./);
  expect([again.out, readFileSync(file, "utf8")]).toEqual(["", expect.stringContaining("8400 people")]);

  // Without any page there is a report, but no success.
  const nothing = await ask("--url", festival.pageUrl("havelo-today.html"));
  expect([nothing.code, nothing.out]).toEqual([1, expect.stringContaining("no page could be read")]);
  service.child.kill("SIGINT");
  await service.exited;
}, 180_000);

/** Whether so many answered parts are on the disk. */
function isKept(count: number): boolean {
  const kept = join(folder, "data/research");
  if (!existsSync(kept)) return false;
  return (
    readdirSync(kept, { recursive: true, encoding: "utf8" }).filter((name) => name.includes("claims-"))
      .length >= count
  );
}
