// Prompts of a given length without meaning, the same for the same seed. In the random models each character is one token. For
// other models the length is found by asking.
import { seededRandom } from "./seeded-random.ts";

// Without pairs that the random models' tokenizer merges (ye, no, th), capitals and digits.
const LETTERS = "abcdefgijklmpqrsuvwxz";
const WORD = 6;

/** Words of five letters, exactly `length` characters. */
export function textOf(length: number, seed: number): string {
  const random = seededRandom(seed);
  const letter = () => LETTERS[Math.floor(random() * LETTERS.length)]!;
  return Array.from({ length }, (_, index) => (index % WORD === WORD - 1 ? " " : letter())).join("");
}

export type Shape = { shared: number; own: number };

/** Prompts with the same beginning and different ends. Another seed gives the same beginning and other ends. */
export function promptsOf({ shared, own }: Shape, count: number, seed: number): string[] {
  const prefix = textOf(shared, 1);
  return Array.from({ length: count }, (_, index) => prefix + textOf(own, 1_000_003 * (seed + 1) + index));
}

/** How many characters give about `tokens` tokens, computed from a prompt that was measured. */
export function lengthFor(tokens: number, seen: { characters: number; tokens: number }): number {
  return Math.max(1, Math.round((tokens * seen.characters) / seen.tokens));
}
