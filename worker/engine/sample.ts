// Draws a token from the model's own distribution, for requests that ask for probabilities: the library would change the
// distribution it reports while it samples. Pure.
import type { Sampling } from "./backend.ts";

/** A token's id and its probability at temperature 1, most probable first. */
export type Candidate = { token: number; probability: number };

/** mulberry32: a small generator whose stream depends on nothing but the seed. Numbers are 0..1. */
export function randomStream(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Penalty, then top_k, top_p and temperature, in llama.cpp's order. `candidates` is not empty. */
export function drawToken(
  candidates: readonly Candidate[],
  { temperature, topK, topP, repetitionPenalty }: Omit<Sampling, "seed">,
  recent: ReadonlySet<number>,
  random: () => number,
): number {
  const penalized = penalize(candidates, repetitionPenalty, recent);
  if (temperature === 0) return penalized[0]!.token;
  const kept = nucleus(topK > 0 ? penalized.slice(0, topK) : penalized, topP);
  // Relative to the best one, so that a small temperature cannot underflow all of them.
  const best = kept[0]!.probability;
  const weights = kept.map(({ probability }) => (probability / best) ** (1 / temperature));
  const point = random() * weights.reduce((sum, weight) => sum + weight, 0);
  return kept[reaching(weights, point)]!.token;
}

/** Where the running sum first reaches `point`; the last place when rounding keeps it below. */
function reaching(weights: readonly number[], point: number): number {
  let sum = 0;
  for (const [at, weight] of weights.entries()) {
    sum += weight;
    if (sum >= point) return at;
  }
  return weights.length - 1;
}

/** A probability's logarithm is never positive, so the penalty multiplies it. */
function penalize(
  candidates: readonly Candidate[],
  penalty: number,
  recent: ReadonlySet<number>,
): readonly Candidate[] {
  if (penalty === 1 || recent.size === 0) return candidates;
  return candidates
    .map(({ token, probability }) => ({
      token,
      probability: recent.has(token) ? probability ** penalty : probability,
    }))
    .sort((a, b) => b.probability - a.probability);
}

/** The most probable tokens that together reach `topP` of what is there; at least one. */
function nucleus(candidates: readonly Candidate[], topP: number): readonly Candidate[] {
  if (topP >= 1) return candidates;
  const weights = candidates.map(({ probability }) => probability);
  const wanted = topP * weights.reduce((sum, weight) => sum + weight, 0);
  return candidates.slice(0, reaching(weights, wanted) + 1);
}
