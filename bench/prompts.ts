// Prompts of a given length with no meaning, the same for the same seed. In the random models each of their characters is
// one token; for other models their length is found by asking.
import { seededRandom } from "./seeded-random.ts";

// No letters that the random models' tokenizer merges (ye, no, th), no capitals, no digits.
const LETTERS = "abcdefgijklmpqrsuvwxz";
const WORD = 6;

/** Words of five letters, exactly `length` characters. */
export function textOf(length: number, seed: number): string {
  const random = seededRandom(seed);
  const letter = () => LETTERS[Math.floor(random() * LETTERS.length)]!;
  return Array.from({ length }, (_, index) => (index % WORD === WORD - 1 ? " " : letter())).join("");
}

export type Shape = { shared: number; own: number };

/** `count` prompts that begin alike and go on each in its own way. Another seed: the same beginning, other ends. */
export function promptsOf({ shared, own }: Shape, count: number, seed: number): string[] {
  const prefix = textOf(shared, 1);
  return Array.from({ length: count }, (_, index) => prefix + textOf(own, 1_000_003 * (seed + 1) + index));
}

/** How many characters give about `tokens` tokens, when `seen` characters gave so many. */
export function lengthFor(tokens: number, seen: { characters: number; tokens: number }): number {
  return Math.max(1, Math.round((tokens * seen.characters) / seen.tokens));
}
