// Draws a token from the model's own distribution, for requests that ask for probabilities: the libraries report a distribution that
// their samplers have changed. Pure.
import type { Sampling } from "./backend.ts";

/** A token's id and its probability at temperature 1, most probable first. */
export type Candidate = { token: number; probability: number };
/** The last tokens of the answer: with how often each was used, or only which. */
export type Recent = ReadonlyMap<number, number> | ReadonlySet<number>;
type How = Pick<Sampling, "temperature" | "topK" | "topP" | "repetitionPenalty"> &
  Partial<Pick<Sampling, "minP" | "frequencyPenalty" | "presencePenalty" | "logitBias">>;
/** A token with its log probability, up to a constant that is the same for all. */
type Weighed = { token: number; log: number };

/** A bias of this or less forbids its token. */
const FORBIDDEN = -100;

/** mulberry32: a small random generator. The same seed gives the same numbers, 0 to 1. */
export function randomStream(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Applies bias and penalties, then top_k, top_p, min_p and temperature, as llama.cpp does. `candidates` must not be empty. */
export function drawToken(
  candidates: readonly Candidate[],
  how: How,
  recent: Recent,
  random: () => number,
): number {
  const { temperature, topK, topP, minP = 0 } = how;
  const weighed = weigh(candidates, how, recent);
  if (temperature === 0) return weighed[0]!.token;
  const least = weighed[0]!.log + Math.log(minP);
  const kept = nucleus(topK > 0 ? weighed.slice(0, topK) : weighed, topP).filter(({ log }) => log >= least);
  // Relative to the best one, so that a small temperature does not turn all of them into 0.
  const best = kept[0]!.log;
  const weights = kept.map(({ log }) => Math.exp((log - best) / temperature));
  const point = random() * weights.reduce((sum, weight) => sum + weight, 0);
  return kept[reaching(weights, point)]!.token;
}

/** The index where the running sum reaches `point`; the last one when rounding keeps the sum below it. */
function reaching(weights: readonly number[], point: number): number {
  let sum = 0;
  for (const [at, weight] of weights.entries()) {
    sum += weight;
    if (sum >= point) return at;
  }
  return weights.length - 1;
}

/** With bias and penalties, likeliest first. Forbidden tokens are left out, unless there are no others. */
function weigh(candidates: readonly Candidate[], how: How, recent: Recent): Weighed[] {
  const { logitBias } = how;
  const allowed = candidates.filter(({ token }) => !isForbidden(token, logitBias));
  const weighed = (allowed.length > 0 ? allowed : candidates).map(({ token, probability }) => {
    const log = Math.log(probability) + (logitBias?.get(token) ?? 0);
    return { token, log: penalized(log, how, timesUsed(recent, token)) };
  });
  return weighed.sort((a, b) => b.log - a.log);
}

const isForbidden = (token: number, logitBias: Sampling["logitBias"] | undefined) =>
  (logitBias?.get(token) ?? 0) <= FORBIDDEN;

const timesUsed = (recent: Recent, token: number) =>
  recent instanceof Map ? (recent.get(token) ?? 0) : Number(recent.has(token));

function penalized(log: number, how: How, times: number): number {
  if (times === 0) return log;
  const { repetitionPenalty, frequencyPenalty = 0, presencePenalty = 0 } = how;
  const repeated = log <= 0 ? log * repetitionPenalty : log / repetitionPenalty;
  return repeated - times * frequencyPenalty - presencePenalty;
}

/** The most probable tokens that together have `topP` of the probability; at least one. */
function nucleus(weighed: readonly Weighed[], topP: number): readonly Weighed[] {
  if (topP >= 1) return weighed;
  const best = weighed[0]!.log;
  const weights = weighed.map(({ log }) => Math.exp(log - best));
  const wanted = topP * weights.reduce((sum, weight) => sum + weight, 0);
  return weighed.slice(0, reaching(weights, wanted) + 1);
}
