// The pages of a research: read at the same time, each within its time, with another one in place of each that fails; pages that are one
// source are put together. How a page is read is the worker's (Context.pages).
import { z } from "zod";
import { isBlocked, obstacleWords } from "../handler.ts";
import { proseOf } from "../prose.ts";
import { coded, DONE, MAX_TIMER_MS, type Run, within } from "./run.ts";
import { addressKey, isSameText, shinglesOf } from "./sources.ts";

/** Of a page; what is behind it is not read. Characters. */
const MAX_PAGE = 400_000;
/** Of the time that is left, for reading; the rest is for the model. */
const READING_SHARE = 0.4;
const MAX_READ_MS = 90_000;

const Kept = z.object({
  url: z.string(),
  canonicalUrl: z.string().nullable(),
  title: z.string().nullable(),
  site: z.string().nullable(),
  published: z.string().nullable(),
  language: z.string().nullable(),
  format: z.string(),
  note: z.string().optional(),
  /** Why it does not show what it is about. */
  blocked: z.string().optional(),
  parts: z.array(z.object({ text: z.string(), path: z.array(z.string()) })),
});
type Kept = z.output<typeof Kept>;
/** A page, and the other addresses at which it stands. */
export type Source = Kept & { alsoAt: string[] };

export async function readAll(
  run: Run,
  { chosen, spare }: { chosen: string[]; spare: string[] },
): Promise<Source[]> {
  const { context } = run;
  const end = performance.now() + READING_SHARE * run.leftMs();
  let [read, failed] = [0, 0];
  const say = () => {
    const done = (read + failed) / Math.max(1, chosen.length + failed);
    const but = failed > 0 ? `, ${failed} failed` : "";
    const pages = chosen.length === 1 ? "1 page" : `${chosen.length} pages`;
    context.progress(DONE.search + done * (DONE.read - DONE.search), `Reading ${pages}: ${read} read${but}`);
  };
  say();
  const pages = await Promise.all(
    chosen.map(async (first) => {
      // A page that cannot be read is replaced by the next best one.
      for (
        let url: string | undefined = first;
        url !== undefined;
        url = performance.now() < end ? spare.shift() : undefined
      ) {
        const page = await readOne(run, url, Math.min(MAX_READ_MS, end - performance.now()));
        if (page) read += 1;
        else failed += 1;
        say();
        if (page) return page;
      }
      return null;
    }),
  );
  return sourcesOf(pages.filter((page) => page !== null));
}

async function readOne(run: Run, url: string, ms: number): Promise<Kept | null> {
  const { context, steps, failures } = run;
  const failedWith = (code: string, reason: string) => {
    failures.push({ step: "page", what: url, code, reason });
    return null;
  };
  const limit = ms > MAX_TIMER_MS ? [] : [AbortSignal.timeout(Math.max(0, Math.round(ms)))];
  const signal = AbortSignal.any([context.signal, ...limit]);
  try {
    const step = steps.once("page", [addressKey(url)], Kept, () => readPage(run, url, signal));
    const page = await within(step, ms);
    if (page?.blocked !== undefined) return failedWith("page_blocked", page.blocked);
    return page ?? failedWith("timed_out", `It was not read within ${Math.round(ms / 1_000)} seconds.`);
  } catch (thrown) {
    if (context.signal.aborted) throw thrown;
    if (signal.aborted)
      return failedWith("timed_out", `It was not read within ${Math.round(ms / 1_000)} seconds.`);
    const { code, message } = coded(thrown);
    return failedWith(code, message);
  }
}

async function readPage({ context }: Run, address: string, signal: AbortSignal): Promise<Kept> {
  const page = await context.pages.read(address, { signal });
  const { obstacle, markdown, url, canonicalUrl, title, site, published, language, format } = page;
  const chunks = await context.pages.chunks({ title, markdown: markdown.slice(0, MAX_PAGE) });
  const note =
    obstacle === "paywall"
      ? "behind a paywall, only what it shows was read"
      : markdown.length > MAX_PAGE
        ? `only its first ${MAX_PAGE} characters were read`
        : undefined;
  return {
    ...{ url: url ?? address, canonicalUrl, title, site, published, language, format },
    ...(note !== undefined && { note }),
    ...(isBlocked(page) && { blocked: `It cannot be read: ${obstacleWords(page.obstacle)}.` }),
    parts: chunks.map(({ text, path }) => ({ text: proseOf(text), path })).filter(({ text }) => text !== ""),
  };
}

/** The pages without those that are another one under another address, or with the same text. */
function sourcesOf(pages: readonly Kept[]): Source[] {
  const sources: (Source & { keys: Set<string>; shingles: ReadonlySet<string> })[] = [];
  for (const page of pages) {
    const addresses = [page.url, ...(page.canonicalUrl === null ? [] : [page.canonicalUrl])];
    const shingles = shinglesOf(page.parts.map(({ text }) => text).join("\n"));
    const keys = new Set(addresses.map(addressKey));
    const same = sources.find(
      (one) =>
        addresses.some((address) => one.keys.has(addressKey(address))) || isSameText(shingles, one.shingles),
    );
    if (!same) {
      sources.push({ ...page, alsoAt: [], keys, shingles });
      continue;
    }
    if (addressKey(page.url) !== addressKey(same.url)) same.alsoAt.push(page.url);
    for (const key of keys) same.keys.add(key);
  }
  return sources.map(({ keys: _, shingles: __, ...source }) => source);
}
