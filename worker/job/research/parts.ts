// The parts of the pages, the most promising first: which of them the model is asked about, and what it says of each. Owns the estimate
// of the work, the budget of tokens, and that a claim is kept only with a quote and numbers that stand in its part.
import { z } from "zod";
import { normalWords, numbersIn } from "../normal-form.ts";
import { withoutMarks } from "../template-marks.ts";
import { oneLine, sentenceFinder } from "../text.ts";
import { tokensIn } from "../tokens.ts";
import type { Source } from "./pages.ts";
import type { Report } from "./report.ts";
import { type Coded, DONE, inLanguage, NEVER_ORDERS, type Run, told, within } from "./run.ts";

/** Parts that are asked at the same time, as far as the worker lets one job. */
const AT_ONCE = 16;
const CLAIMS_OF_PART = 3;
const CLAIM_TOKENS = 150;

const CLAIMS_INSTRUCTIONS = `You read a part of a page. The text stands after "Article:"; a question stands in the last line after "Claims:".
List at most ${CLAIMS_OF_PART} things that this text itself says and that help to answer the question. First quote the sentence of the text as "evidence", word for word; then give what it says as "claim" in one short sentence that is clear by itself, with names and numbers. An empty list if the text says nothing about the question. Never use knowledge of your own.
${NEVER_ORDERS}`;

const Claims = z.strictObject({
  claims: z
    .array(z.strictObject({ evidence: z.string().max(1_000), claim: z.string().max(400) }))
    .max(CLAIMS_OF_PART),
});
/** What it gets to find claims in a part of a page. `where` is empty, or the headings above the part: `[Heading > Sub heading] `. */
export const claimsContent = (where: string, part: string, question: string): string =>
  `Article: ${where}${oneLine(part)}\nClaims: ${oneLine(question)}`;

/** A part of one source, or of several that have it word for word. */
export type Part = { text: string; path: readonly string[]; sources: number[] };

export async function rankParts(
  { input, context }: Run,
  sources: readonly Source[],
  keywords: readonly string[],
): Promise<Part[]> {
  const parts = new Map<string, Part>();
  for (const [source, page] of sources.entries())
    for (const { text, path } of page.parts) {
      const known = parts.get(text);
      if (known) known.sources = [...new Set([...known.sources, source])];
      else parts.set(text, { text, path, sources: [source] });
    }
  const all = [...parts.values()];
  const texts = all.map(({ text, path }) => [...path, text].join("\n"));
  const scores = await context.texts.rank(texts, [input.question, ...keywords]);
  const ranked = all
    .map((part, at) => ({ part, score: scores[at] ?? 0 }))
    .toSorted((a, b) => b.score - a.score);
  // Each source is asked once before one of them is asked again.
  const seen = new Set<number>();
  const isFirst = ranked.map(({ part }) => {
    const isNew = part.sources.some((source) => !seen.has(source));
    for (const source of part.sources) seen.add(source);
    return isNew;
  });
  const of = (first: boolean) => ranked.filter((_, at) => isFirst[at] === first).map(({ part }) => part);
  return [...of(true), ...of(false)];
}

const whereOf = ({ path }: Pick<Part, "path">) =>
  path.length > 0 ? `[${path.map(oneLine).join(" > ")}] ` : "";
const USUAL_CLAIMS_TOKENS = 100;

type Plan = { parts: Part[]; estimate: Omit<Report["estimate"], "tookSeconds"> };

/** Which parts are asked: as many as the tokens allow, and the time by the rates that were measured. */
export function planOf(run: Run, ranked: readonly Part[], endingMs: number): Plan {
  const { input, context, partial } = run;
  const costs = ranked.map((part) => tokensIn(claimsContent(whereOf(part), part.text, input.question)));
  const [fixed, ending] = [tokensIn(CLAIMS_INSTRUCTIONS), { promptTokens: 1_200, completionTokens: 250 }];
  const work = (count: number) => ({
    promptTokens: costs.slice(0, count).reduce((sum, cost) => sum + cost, fixed + ending.promptTokens),
    completionTokens: count * USUAL_CLAIMS_TOKENS + ending.completionTokens,
  });
  let [count, tokens] = [0, 0];
  while (count < ranked.length && (count === 0 || tokens + costs[count]! <= input.maxTokens))
    tokens += costs[count++]!;
  if (count < ranked.length)
    partial.push(
      `The model was asked about ${count} of ${ranked.length} parts: maxTokens is ${input.maxTokens}.`,
    );
  const availableMs = run.leftMs() - endingMs;
  let seconds = context.estimate(work(count));
  const wanted = count;
  while (seconds !== null && count > 1 && seconds * 1_000 > availableMs)
    seconds = context.estimate(work(--count));
  if (count < wanted)
    partial.push(
      `The model was to be asked about ${count} of ${wanted} parts: by the measured rates, more do not fit in the ${Math.round(availableMs / 1_000)} seconds that were left.`,
    );
  return { parts: ranked.slice(0, count), estimate: { ...work(count), seconds } };
}

// ── Claims ──

const Found = z.object({
  claims: z.array(z.object({ claim: z.string(), evidence: z.string() })),
  dropped: z.int(),
});
type Found = z.output<typeof Found>;
export type Asked = { part: Part; found: Found | null };

export async function askParts(run: Run, { parts, estimate }: Plan, endingMs: number): Promise<Asked[]> {
  const { context } = run;
  const asked: Asked[] = [];
  const began = performance.now();
  let [next, answered, slowestMs, isOver] = [0, 0, 0, false];
  let unusable: Coded | undefined;
  const leftMs = () => run.leftMs() - endingMs;
  const say = () => {
    const seconds =
      answered < 3
        ? estimate.seconds
        : ((performance.now() - began) / 1_000 / answered) * (parts.length - answered);
    const left = seconds === null ? "" : `, about ${Math.max(1, Math.round(seconds))} s left`;
    const known = run.steps.found.get("claims");
    const earlier = known ? `, ${known} of them by an earlier run` : "";
    const share = DONE.read + (answered / Math.max(1, parts.length)) * (DONE.ask - DONE.read);
    context.progress(
      share,
      `Asking ${parts.length === 1 ? "1 part" : `${parts.length} parts`}: ${answered} done${earlier}${answered < parts.length ? left : ""}`,
    );
  };
  const askInTurn = async () => {
    // What would not be answered in time is not begun, so that the model is free for the answer.
    while (next < parts.length && !isOver && !run.isSpent && leftMs() > slowestMs) {
      const part = parts[next++]!;
      const start = performance.now();
      const answer = await told(run, () => askPart(run, part));
      slowestMs = Math.max(slowestMs, performance.now() - start);
      if (isOver) return;
      answered += 1;
      if ("value" in answer) asked.push({ part, found: answer.value });
      else {
        if (run.isSpent) return;
        unusable ??= answer.error;
        asked.push({ part, found: null });
        noteUnusable(run, part, answer.error);
      }
      say();
    }
  };
  if (parts.length > 0) say();
  await within(Promise.all(Array.from({ length: AT_ONCE }, askInTurn)), Math.max(0, leftMs()));
  isOver = true;
  // When nothing is of use, the model or the engine is the reason, and the job has failed.
  if (unusable && asked.every(({ found }) => found === null)) throw unusable.thrown;
  if (asked.length < parts.length && !run.isSpent)
    run.partial.push(`The time was over after ${asked.length} of ${parts.length} parts.`);
  const order = new Map(parts.map((part, at) => [part, at]));
  return asked.toSorted((a, b) => order.get(a.part)! - order.get(b.part)!);
}

const noteUnusable = ({ failures }: Run, { path, text }: Part, { code, message }: Coded) => {
  failures.push({ step: "chunk", what: path.at(-1) ?? oneLine(text).slice(0, 60), code, reason: message });
};

async function askPart({ input, context, steps, modelName }: Run, part: Part): Promise<Found> {
  const where = whereOf(part);
  const content = claimsContent(where, part.text, input.question);
  const instructions = `${CLAIMS_INSTRUCTIONS}\n${inLanguage(input, '"claim"')}`;
  return steps.once("claims", [content, instructions, modelName], Found, async () => {
    const maxTokens = CLAIM_TOKENS * (CLAIMS_OF_PART + 1);
    const { claims } = await context.model.ask({ instructions, content, schema: Claims, maxTokens });
    const kept = grounded(`${where}\n${part.text}`, part.text, claims);
    return { claims: kept, dropped: claims.length - kept.length };
  });
}

/** The claims whose quote stands in the text, and whose numbers do. */
function grounded(known: string, text: string, claims: z.output<typeof Claims>["claims"]) {
  const find = sentenceFinder(text);
  const numbers = numbersIn(normalWords(known));
  return claims.flatMap(({ claim: said, evidence }) => {
    const [claim, quote] = [oneLine(withoutMarks(said)), find(evidence)];
    if (quote === null || claim === "" || !saysMuch(evidence, quote) || !hasNumbersOf(claim, numbers))
      return [];
    return [{ claim, evidence: oneLine(quote) }];
  });
}

/** A short word stands in any text: as a quote it supports nothing, unless it is a number or all that the sentence says. */
function saysMuch(evidence: string, sentence: string): boolean {
  const [own, all] = [evidence, sentence].map(normalWords);
  return own!.length >= Math.min(2, all!.length) || own!.join("").length >= 8 || numbersIn(own!).size > 0;
}

/** Whether all numbers of a text are among these. "One of them" and "first" are no figures. */
export const hasNumbersOf = (text: string, numbers: ReadonlySet<string>): boolean =>
  [...numbersIn(normalWords(text))].every(
    (number) =>
      numbers.has(number) || (/^\d{1,2}(?:st|nd|rd|th)$|^1$/.test(number) && !text.includes(number)),
  );
