// The model's own distribution over the next token. The library reports it beside a token that it draws from it, and says
// nothing when it draws the answer's end; drawn from a flattened copy the end comes rarely, and the copy can be undone.
import type { Candidate } from "../../sample.ts";
import { type CompletionOptions, type NativeResult, type NativeToken, UNFILTERED } from "./native.ts";

/** Runs `options` and hears what is drawn. */
export type Ask = (
  options: Omit<CompletionOptions, "prompt">,
  hear: (token: NativeToken) => void,
) => Promise<NativeResult>;
export type Look = { candidates: Candidate[]; cachedTokens: number };

// Where all of a flattened distribution is needed, these many hold nearly all of it.
const WIDE = 2_048;
const FLAT = 8;
// When the end comes so often even then, it is what the model wants.
const DRAWS = 4;

/** The likeliest `count` tokens; "end" when the answer's end is all that can be had. */
export async function look(ask: Ask, count: number, random: () => number): Promise<Look | "end"> {
  const plain = await draw(ask, { count, temperature: 1, random });
  if (plain.candidates.length > 0) return plain;
  return lookWide(ask, Math.max(count, WIDE), random);
}

export async function lookWide(ask: Ask, count: number, random: () => number): Promise<Look | "end"> {
  for (let attempt = 0; attempt < DRAWS; attempt++) {
    const { candidates, cachedTokens } = await draw(ask, { count, temperature: FLAT, random });
    if (candidates.length > 0) return { candidates: sharpened(candidates), cachedTokens };
  }
  return "end";
}

async function draw(
  ask: Ask,
  { count, temperature, random }: { count: number; temperature: number; random: () => number },
): Promise<Look> {
  let candidates: Candidate[] = [];
  const seed = Math.floor(random() * 2 ** 31);
  const options = { ...UNFILTERED, temperature, n_predict: 1, n_probs: count, seed };
  const result = await ask(options, ({ probs = [] }) => {
    candidates = probs.map(({ tok, prob }) => ({ token: tok, probability: prob }));
  });
  return { candidates, cachedTokens: result.timings.cache_n };
}

/** Undoes the temperature: a probability is its root's power, and together they are 1. */
export function sharpened(flat: readonly Candidate[], temperature = FLAT): Candidate[] {
  const best = flat[0]!.probability;
  const powers = flat.map(({ probability }) => (probability / best) ** temperature);
  const sum = powers.reduce((sum, power) => sum + power, 0);
  return flat.map(({ token }, index) => ({ token, probability: powers[index]! / sum }));
}
