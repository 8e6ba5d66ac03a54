// `bench articles`: how well the article is found in pages whose articles people have marked, and how long a page takes, beside
// Readability alone. The score is that of the public article-extraction-benchmark, so that its published figures can stand beside ours.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { Readability } from "@mozilla/readability";
import { KamadoError } from "../worker/errors.ts";
import { decodeText } from "../worker/http/text-encoding.ts";
import { type Column, fit, table } from "../worker/logging/terminal.ts";
import { createPages, PAGE_LIMITS } from "../worker/pages/article.ts";
import { parsePage } from "../worker/pages/parse-page.ts";
import { type Bench, folderOf } from "./arguments.ts";
import { mean, median, percentile, sum } from "./figures.ts";
import { factsLine, machine } from "./machine.ts";
import type { Session } from "./session.ts";
import { atLeast, atMost, digits, mark, percent } from "./table.ts";

const F1 = atLeast(0.97);
const TYPICAL_MS = atMost(80);
const LONGEST_MS = atMost(3_000);
/** What others have published for all 181 pages of the benchmark. */
const PUBLISHED = { "rs-trafilatura": 0.97, "trafilatura 2.0": 0.958, "Defuddle 0.19.4": 0.927 };

export const articles: Bench = {
  about: "articles found in marked pages: precision, recall, F1 and time a page, beside other extractors",
  options: { pages: { type: "string" } },
  async run(values, session) {
    const pages = pagesIn(folderOf(values, "pages"));
    session.print(`${factsLine(machine(), { pages: pages.length })}\n`);
    const ways = [await measure("Kamado", ours(), pages, session)];
    ways.push(await measure("Readability alone", readability, pages, session));
    const [kamado] = ways as [Measured, Measured];
    const others = Object.entries(PUBLISHED).map(([name, f1]) => ({ name, f1 }));
    session.print(`${scoresTable(kamado, ways, others)}\n`);
    session.print(`${timesTable(ways)}\n`);
    for (const [text, value, target] of [
      [`F1: ${digits(kamado.f1, 4)}`, kamado.f1, F1],
      [`p50: ${digits(kamado.ms.p50, 0)} ms a page`, kamado.ms.p50, TYPICAL_MS],
      [
        `longest: ${digits(kamado.ms.max, 0)} ms, ${percent(kamado.ms.max / PAGE_LIMITS.timeoutMs)} of the time limit`,
        kamado.ms.max,
        LONGEST_MS,
      ],
    ] as const)
      session.print(`${text}  ${fit(mark(value, target))}`);
    return { machine: machine(), pages: pages.length, ways, published: PUBLISHED };
  },
};

export type MarkedPage = { id: string; url: string; articleBody: string; html: string };

/** A folder of `ground-truth.json` and `html/ID.html.gz`. */
function pagesIn(folder: string): MarkedPage[] {
  const file = join(folder, "ground-truth.json");
  try {
    const truth: Record<string, { articleBody: string; url: string }> = JSON.parse(
      readFileSync(file, "utf8"),
    );
    return Object.entries(truth).map(([id, { articleBody, url }]) => ({
      id,
      url,
      articleBody,
      // As `kamado read` decodes a file.
      html: decodeText(gunzipSync(readFileSync(join(folder, "html", `${id}.html.gz`)))) ?? "",
    }));
  } catch (thrown) {
    throw new KamadoError("config_invalid", `--pages: ${(thrown as Error).message}`);
  }
}

type Extract = (page: MarkedPage) => Promise<string>;

/** What handlers get, in the thread and within the limits they get it in. */
function ours(): Extract {
  const pages = createPages();
  return async ({ html, url }) => (await pages.article(html, { url }).catch(() => ({ text: "" }))).text;
}

const readability: Extract = async ({ html }) => new Readability(parsePage(html)).parse()?.textContent ?? "";

export type Score = { precision: number; recall: number };
export type Measured = Score & {
  name: string;
  f1: number;
  ms: { p50: number; p95: number; max: number };
  /** CPU time a page, all threads. Unlike the others it is valid on a busy machine. */
  cpuMs: number;
  worst: { id: string; precision: number; recall: number }[];
};

const WORST = 5;

async function measure(
  name: string,
  extract: Extract,
  pages: readonly MarkedPage[],
  session: Session,
): Promise<Measured> {
  // Modules are loaded and compiled with the first pages.
  for (const page of pages.slice(0, WARM_UP)) await session.during(extract(page));
  const took: number[] = [];
  const cpu: number[] = [];
  const scores: (Score & { id: string })[] = [];
  for (const page of pages) {
    const [began, before] = [performance.now(), process.cpuUsage()];
    const text = await session.during(extract(page));
    took.push(performance.now() - began);
    const { user, system } = process.cpuUsage(before);
    cpu.push((user + system) / 1_000);
    scores.push({ id: page.id, ...scoreOf(text, page.articleBody) });
  }
  process.stderr.write(`measured ${name}\n`);
  const worst = scores.toSorted((a, b) => a.precision + a.recall - b.precision - b.recall).slice(0, WORST);
  const ms = { p50: median(took), p95: percentile(took, 95), max: Math.max(...took) };
  return { name, ...totalOf(scores), ms, cpuMs: median(cpu), worst };
}
const WARM_UP = 10;

const TOKEN = /[\p{L}\p{N}_]+/gu;
const SHINGLE = 4;

function shinglesOf(text: string): Map<string, number> {
  const tokens = text.match(TOKEN) ?? [];
  const shingles = new Map<string, number>();
  for (let from = 0; from <= Math.max(0, tokens.length - SHINGLE); from++) {
    const shingle = tokens.slice(from, from + SHINGLE).join(" ");
    shingles.set(shingle, (shingles.get(shingle) ?? 0) + 1);
  }
  return shingles;
}

/** Precision and recall of the runs of four words; a shorter text is one run. */
export function scoreOf(found: string, marked: string): Score {
  const [has, wants] = [shinglesOf(found), shinglesOf(marked)];
  let right = 0;
  for (const [shingle, count] of has) right += Math.min(count, wants.get(shingle) ?? 0);
  return { precision: right / sum([...has.values()]), recall: right / sum([...wants.values()]) };
}

/** Precision and recall are means over the pages; F1 is their harmonic mean. */
export function totalOf(scores: readonly Score[]): Score & { f1: number } {
  const precision = mean(scores.map((score) => score.precision));
  const recall = mean(scores.map((score) => score.recall));
  return { precision, recall, f1: (2 * precision * recall) / (precision + recall) };
}

const right = (title: string): Column => ({ title, align: "right" });

function scoresTable(
  kamado: Measured,
  ways: readonly Measured[],
  others: readonly { name: string; f1: number }[],
): string {
  const columns = [{ title: "" }, ...["F1", "precision", "recall", "our F1 / this"].map(right)];
  const ratio = (f1: number) => digits(kamado.f1 / f1, 3);
  return table(columns, [
    ...ways.map(({ name, f1, precision, recall }) => [
      name,
      digits(f1, 4),
      digits(precision, 4),
      digits(recall, 4),
      ratio(f1),
    ]),
    ...others.map(({ name, f1 }) => [`${name}, published`, digits(f1, 3), "", "", ratio(f1)]),
  ]);
}

function timesTable(ways: readonly Measured[]): string {
  const columns = [{ title: "" }, ...["p50 ms", "p95", "longest", "CPU ms, p50"].map(right)];
  return table(
    columns,
    ways.map(({ name, ms, cpuMs }) => [
      name,
      digits(ms.p50, 1),
      digits(ms.p95, 1),
      digits(ms.max, 1),
      digits(cpuMs, 1),
    ]),
  );
}
