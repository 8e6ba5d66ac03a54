// How well each of many texts fits a question, by BM25. MiniSearch keeps the index and the scores; here stand the words that it gets,
// in any script: a row of letters without spaces counts by its pairs of letters, and a number is the same in words and digits. Words
// that stand in every text weigh next to nothing, so there is no list of stop words.
import MiniSearch from "minisearch";
import { normalWords } from "../job/normal-form.ts";
import { UNSPACED } from "../job/text.ts";

/** A score for each text: that of the query that it fits best. 0 where it has none of their words. */
export function rankTexts(texts: readonly string[], queries: readonly string[]): number[] {
  const index = new MiniSearch<{ id: number; text: string }>({
    fields: ["text"],
    tokenize: searchWords,
    processTerm: (word) => word,
  });
  index.addAll(texts.map((text, id) => ({ id, text })));
  const scores = texts.map(() => 0);
  for (const query of new Set(queries))
    for (const { id, score } of index.search(query)) scores[id] = Math.max(scores[id]!, score);
  return scores;
}

const ROW = new RegExp(`^[${UNSPACED}]`, "u");

const searchWords = (text: string): string[] =>
  normalWords(text).flatMap((word) => (ROW.test(word) ? pairsOf([...word]) : [stem(word)]));

/**
 * The letters alone too, because a question may ask for one of them: 猫. Each as its number: MiniSearch looks at every letter with
 * which one of its words begins, and Japanese has thousands.
 */
function pairsOf(letters: readonly string[]): string[] {
  const numbers = letters.map((letter) => ` ${letter.codePointAt(0)!.toString(36)}`);
  return numbers.flatMap((number, at) => (at === 0 ? [number] : [numbers[at - 1]! + number, number]));
}

/** "opened" and "opening" as "open". Rough, but the same for texts and queries. */
const stem = (word: string) =>
  /^[a-z]+$/.test(word) ? word.replace(/(?<=.{4})(?:ings?|ed|es|e|ly)$/, "") : word;
