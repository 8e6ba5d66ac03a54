// What `bench identity` makes of answers that differ: where two of them part, and whether that was a near tie. Pure.
import { percent } from "./table.ts";

/** One token the model said, with the likeliest at its place. */
export type Said = { token: string; logprob: number; top_logprobs: { token: string; logprob: number }[] };
/** One request whose answer in the batch was another one than alone. */
export type Difference = {
  request: number;
  /** What was said alone and in the batch, where they part. */
  alone: string;
  batch: string;
  /** How much likelier the one is than the other, as a ratio of probabilities; left out where the model tells no such thing. */
  ratio?: number;
  isNear: boolean;
};
export type Compared = { name: string; requests: number; same: number; differences: Difference[] };

/** A batch adds up in another order, and what is rounded then moves a probability by up to a tenth on random weights. */
export const NEAR = 1.25;

/**
 * Finds the place where two answers part in `said`, a third one to the same request, and there both tokens among the likeliest.
 * The third may side with either: it was asked of an engine that had read the prompt already.
 */
export function differenceOf(
  request: number,
  said: readonly Said[],
  alone: string,
  batch: string,
): Difference {
  const { place, from } = placeOf(said, sharedLength(alone, batch));
  const [one, other] = [alone, batch].map((text) => startOf(text.slice(from), place?.top_logprobs ?? []));
  const words = {
    request,
    alone: one?.token ?? alone.slice(from, from + 12),
    batch: other?.token ?? batch.slice(from, from + 12),
  };
  if (!one || !other || one.token === other.token) return { ...words, isNear: false };
  const ratio = Math.exp(Math.abs(one.logprob - other.logprob));
  return { ...words, ratio, isNear: ratio <= NEAR };
}

function sharedLength(one: string, other: string): number {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length++;
  return length;
}

/** The token that covers the character at `length`, and where it begins. */
function placeOf(said: readonly Said[], length: number): { place: Said | undefined; from: number } {
  let from = 0;
  for (const place of said) {
    if (from + place.token.length > length) return { place, from };
    from += place.token.length;
  }
  return { place: undefined, from };
}

/** The longest one that a text begins with: a token may begin like a shorter one. */
function startOf<Token extends { token: string }>(text: string, tokens: readonly Token[]): Token | undefined {
  return tokens
    .filter(({ token }) => token !== "" && text.startsWith(token))
    .sort((a, b) => b.token.length - a.token.length)[0];
}

/** Undefined of none. */
export function widest(differences: readonly Difference[]): number | undefined {
  return differences.length === 0 ? undefined : Math.max(...differences.map(({ ratio = 0 }) => ratio));
}

export function shareLine(compared: readonly Compared[]): string {
  const [requests, same] = [0, 0].map((_, which) =>
    compared.reduce((total, one) => total + (which === 0 ? one.requests : one.same), 0),
  ) as [number, number];
  const unexplained = compared.flatMap(({ differences }) => differences.filter(({ isNear }) => !isNear));
  return `the same in all: ${same} of ${requests} (${percent(same / requests)}); unexplained: ${unexplained.length}`;
}
