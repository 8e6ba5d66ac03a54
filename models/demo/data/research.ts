// What a research asks besides the claims of a page: search phrases for a question, whether two statements say the same, and an
// answer made of claims. And summaries, which are the first sentences.
import { EVENTS, FIELDS, type Field, LEADS, PLACE } from "./article-fields.ts";
import { article, capital } from "./articles.ts";
import { properWord } from "./invented.ts";
import { pagePart, questionAbout } from "./page-parts.ts";
import { type Random, random } from "./random.ts";

export type Verdict = "same" | "different" | "contradiction";
export type KeywordsCase = { question: string; count: number; expected: { keywords: string[] } };
export type CompareCase = { one: string; other: string; question?: string; expected: Verdict };
export type AnswerCase = {
  question: string;
  claims: string[];
  expected: { sentences: { text: string; claims: number[] }[] };
};
export type SummaryCase = { text: string; sentences: number; expected: string };

/** Words that say nothing to a search. */
const STOP_WORDS = new Set(
  "a an and at been called did do does exactly for go happen has have how in is it like look many much name of on spent take that the there this to was were what when where which who why money".split(
    " ",
  ),
);

const nounOf = (r: Random) => r.pick(EVENTS).noun;

/** All words that matter, then all but the first, then the first and the last; the last one is mostly the town. */
export function keywordsOf(question: string, count: number): string[] {
  const words = question.split(/[^\p{L}\p{N}-]+/u).filter((word) => word !== "");
  const said = [...new Set(words.filter((word) => !STOP_WORDS.has(word.toLowerCase())))];
  const [first, last] = [said[0]!, said.at(-1)!];
  const phrases =
    said.length > 2
      ? [said.join(" "), said.slice(1).join(" "), `${first} ${last}`]
      : [said.join(" "), last, `${last} ${first}`];
  return phrases.slice(0, count);
}

function researchQuestion(r: Random, fields: readonly Field[]): string {
  const town = fields.includes(PLACE) || r.chance(0.1) ? undefined : properWord(r);
  return questionAbout(r, fields, { noun: r.chance(0.85) ? nounOf(r) : undefined, town });
}

export function keywords(r: Random): KeywordsCase {
  const fields = r.sample(FIELDS, r.chance(0.2) ? 2 : 1);
  const question = researchQuestion(r, fields);
  const count = r.chance(0.85) ? 3 : r.int(1, 2);
  if (keywordsOf(question, 1)[0] === undefined || keywordsOf(question, 1)[0] === "") return keywords(r);
  return { question, count, expected: { keywords: keywordsOf(question, count) } };
}

/** A sentence that states the value. */
function sentenceOf(r: Random, field: Field, value: string): string {
  const said = r.pick(field.sentences).replace("{v}", value);
  return r.chance(0.12) ? r.pick(LEADS) + said : capital(said);
}

/** A statement as claims, facts and short answers give it. */
function statementOf(r: Random, field: Field, value: string): string {
  const kind = r.next();
  if (kind < 0.72) return sentenceOf(r, field, value);
  return kind < 0.86 ? `${field.label}: ${value}` : value;
}

function otherValue(r: Random, field: Field, value: string): string {
  const other = field.value(r);
  return other === value ? otherValue(r, field, value) : other;
}

export function compare(r: Random): CompareCase {
  const [field, apart] = r.sample(FIELDS, 2) as [Field, Field];
  const value = field.value(r);
  const one = statementOf(r, field, value);
  const kind = r.next();
  const expected = kind < 0.36 ? "same" : kind < 0.7 ? "contradiction" : "different";
  const other = {
    same: () => statementOf(r, field, value),
    contradiction: () => statementOf(r, field, otherValue(r, field, value)),
    // A bare value says too little to be told from an answer to the same question.
    different: () => sentenceOf(r, apart, apart.value(r)),
  }[expected]();
  const isBare = one === value || !/[.:]/.test(other);
  // What is equal is never asked.
  if (one === other || (isBare && expected === "different")) return compare(r);
  const isAsked = isBare || r.chance(0.6);
  return { one, other, ...(isAsked && { question: researchQuestion(r, [field]) }), expected };
}

export function answer(r: Random): AnswerCase {
  const asked = r.sample(FIELDS, r.chance(0.35) ? 2 : 1);
  const others = r.sample(
    FIELDS.filter((field) => !asked.includes(field)),
    r.pick([0, 0, 1, 1, 2]),
  );
  const stated = asked.flatMap((field) => Array.from({ length: r.pick([1, 1, 2]) }, () => field));
  const all = r.sample([...stated, ...others], stated.length + others.length);
  const claims = all.map((field) => sentenceOf(r, field, field.value(r)));
  const sentences = claims.flatMap((text, index) =>
    asked.includes(all[index]!) ? [{ text, claims: [index + 1] }] : [],
  );
  return { question: researchQuestion(r, asked), claims, expected: { sentences } };
}

/** The first sentences of a text; of several summaries, the first sentence of each. */
export function summary(r: Random): SummaryCase {
  const sentences = r.chance(0.5) ? 3 : r.int(1, 5);
  if (r.chance(0.3)) {
    const many = Array.from({ length: r.int(2, 4) }, () => article(r).sentences.slice(0, r.int(1, 3)));
    const text = many.map((one, index) => `${index + 1}. ${one.join(" ")}`).join("\n");
    const firsts = many.slice(0, sentences).map(([first]) => first);
    return { text, sentences, expected: firsts.join(" ") };
  }
  const { text, article: about } = pagePart(r);
  return { text, sentences, expected: about.sentences.slice(0, sentences).join(" ") };
}

export const keywordsCase = (seed: number) => keywords(random(seed, "keywords"));
export const compareCase = (seed: number) => compare(random(seed, "compare"));
export const answerCase = (seed: number) => answer(random(seed, "answer"));
export const summaryCase = (seed: number) => summary(random(seed, "summary"));
