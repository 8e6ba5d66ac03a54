// What a research asks besides the claims of a page: search phrases for a question, whether two statements say the same, and an
// answer made of claims.
import { EVENTS, FIELDS, type Field, LEADS, PLACE } from "./article-fields.ts";
import { capital } from "./articles.ts";
import { properWord } from "./invented.ts";
import { questionAbout } from "./page-parts.ts";
import { type Random, random } from "./random.ts";

export type Verdict = "same" | "different" | "contradiction";
export type KeywordsCase = { question: string; count: number; expected: { keywords: string[] } };
export type CompareCase = { one: string; other: string; question?: string; expected: Verdict };
export type AnswerCase = {
  question: string;
  claims: string[];
  expected: { sentences: { text: string; claims: number[] }[] };
};

/** Words that say nothing to a search. */
const STOP_WORDS = new Set(
  "a an and at been called did do does exactly for go happen has have how in is it like look many much name of on spent take that the there this to was were what when where which who why money".split(
    " ",
  ),
);

const nounOf = (r: Random) => r.pick(EVENTS).noun;

/** All words that matter, then all but the first, then the first and the last; the last one is mostly the town. */
export function keywordsOf(question: string): string[] {
  const words = question.split(/[^\p{L}\p{N}-]+/u).filter((word) => word !== "");
  const said = [...new Set(words.filter((word) => !STOP_WORDS.has(word.toLowerCase())))];
  const ends = [...new Set([said.at(0), said.at(-1)])];
  return [said, said.slice(said.length > 1 ? 1 : 0), ends].map((phrase) => phrase.join(" "));
}

function researchQuestion(r: Random, fields: readonly Field[]): string {
  const town = fields.includes(PLACE) || r.chance(0.1) ? undefined : properWord(r);
  return questionAbout(r, fields, { noun: r.chance(0.85) ? nounOf(r) : undefined, town });
}

/** Three, as knowledge.research wants them if its job says nothing else. */
export function keywords(r: Random): KeywordsCase {
  const question = researchQuestion(r, r.sample(FIELDS, r.chance(0.2) ? 2 : 1));
  const phrases = keywordsOf(question);
  return phrases[0] === "" ? keywords(r) : { question, count: 3, expected: { keywords: phrases } };
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

/** Claims that answer the question: those that do not were left out before. */
export function answer(r: Random): AnswerCase {
  const asked = r.sample(FIELDS, r.chance(0.35) ? 2 : 1);
  const stated = asked.flatMap((field) => Array.from({ length: r.pick([1, 1, 2]) }, () => field));
  const claims = r.sample(stated, stated.length).map((field) => sentenceOf(r, field, field.value(r)));
  const sentences = claims.map((text, index) => ({ text, claims: [index + 1] }));
  return { question: researchQuestion(r, asked), claims, expected: { sentences } };
}

export const keywordsCase = (seed: number) => keywords(random(seed, "keywords"));
export const compareCase = (seed: number) => compare(random(seed, "compare"));
export const answerCase = (seed: number) => answer(random(seed, "answer"));
