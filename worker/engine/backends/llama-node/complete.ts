// One answer: the options that the library gets, its tokens as they come, and how it ended. A request with logprobs gets one
// token: the library reports the model's own probabilities only for a token that it draws without any filter.
import type { Emit, Generation, Logprob, Outcome } from "../../generation/backend.ts";
import { type Candidate, drawToken, randomStream } from "../../generation/sampler.ts";
import { StopScanner } from "../../generation/stopping-criteria.ts";
import type { NativePrompt } from "./chat-template.ts";
import { type CompletionOptions, type NativeResult, type NativeToken, UNFILTERED } from "./native.ts";
import type { Runner } from "./runner.ts";

/** A request that has been checked. */
export type Checked = {
  generation: Generation;
  prompt: NativePrompt;
  /** how many tokens the answer may have */
  room: number;
  grammar: string | undefined;
  /** The mark that ends the model's thinking. The answer ends before it. */
  close: string | undefined;
};

export async function complete(
  request: Checked,
  runner: Runner,
  emit: Emit,
  signal: AbortSignal,
): Promise<Outcome> {
  const { prompt, close } = request;
  const scanner = close === undefined ? undefined : new StopScanner([close]);
  let isWanted = true;
  const onToken = ({ token }: { token: string }) => {
    const text = scanner ? scanner.push(token) : token;
    if (isWanted && (text !== "" || !scanner)) isWanted = emit({ text });
  };
  // The library itself stops at a stop string, and where the grammar allows nothing more.
  const result = await runner.run({ options: completionOptions(request), prompt, onToken }, signal);
  const rest = scanner?.flush() ?? "";
  if (isWanted && rest !== "") emit({ text: rest });
  const isStopped = !isWanted || scanner?.stopped === true;
  return {
    finish: isStopped || !isCutOff(result) ? "stop" : "length",
    promptTokens: prompt.tokens,
    cachedTokens: result.timings.cache_n,
    completionTokens: result.tokens_evaluated,
  };
}

const isCutOff = ({ stopped_limit, context_full }: NativeResult) => stopped_limit || context_full;

/** llama.cpp's own; a token that was used longer ago counts as new. */
const PENALTY_WINDOW = 64;

export function completionOptions({
  generation,
  prompt,
  room,
  grammar,
  close,
}: {
  generation: Pick<Generation, "sampling" | "stop" | "shown">;
  prompt: Pick<NativePrompt, "text" | "images" | "stop">;
  room: number;
  grammar: string | undefined;
  close: string | undefined;
}): CompletionOptions {
  const { temperature, topK, topP, minP = 0, seed } = generation.sampling;
  return {
    ...UNFILTERED,
    ...penaltyOptions(generation.sampling, room),
    ...promptOptions(prompt),
    stop: [...generation.stop, ...prompt.stop, ...(close === undefined ? [] : [close])],
    n_predict: room,
    temperature,
    // Greedy needs both: with temperature 0 alone the library still draws.
    top_k: temperature === 0 ? 1 : topK,
    top_p: topP,
    min_p: minP,
    seed: seed % 2 ** 31,
    ...(grammar !== undefined && { grammar }),
    ...(generation.shown && { preserved_tokens: generation.shown }),
  };
}

const promptOptions = ({ text, images }: Pick<NativePrompt, "text" | "images">) => ({
  prompt: text,
  ...(images.length > 0 && { media_paths: images }),
});

function penaltyOptions(
  { repetitionPenalty, frequencyPenalty, presencePenalty }: Generation["sampling"],
  room: number,
) {
  const counts = frequencyPenalty !== 0 || presencePenalty !== 0;
  const none = repetitionPenalty === 1 && !counts;
  return {
    penalty_repeat: repetitionPenalty,
    penalty_freq: frequencyPenalty,
    penalty_present: presencePenalty,
    // The library has one window for all three; frequency and presence count over the whole answer.
    penalty_last_n: none ? 0 : counts ? room : PENALTY_WINDOW,
  };
}

// The library says nothing when it draws the end of the answer. At this temperature the end is drawn rarely, and a
// temperature can be undone in the probabilities that it reports.
const FLAT = 8;
const DRAWS = 4;
/** So many of the likeliest tokens hold nearly all of the probability. */
const CANDIDATES = 2_048;

export type Vocabulary = {
  /** tokens that end an answer */
  ends: ReadonlySet<number>;
  /** the token as the API shows it */
  named(token: number): Promise<Pick<Logprob, "text" | "bytes">>;
};

/** The first token of the answer, with the model's own probabilities. */
export async function completeFirstToken(
  { generation, prompt }: Checked,
  { runner, vocabulary }: { runner: Runner; vocabulary: Vocabulary },
  emit: Emit,
  signal: AbortSignal,
): Promise<Outcome> {
  const { sampling, topLogprobs } = generation;
  const { candidates, cachedTokens } = await firstCandidates(prompt, runner, sampling.seed, signal);
  const outcome = (finish: Outcome["finish"]): Outcome => {
    return { finish, promptTokens: prompt.tokens, cachedTokens, completionTokens: 1 };
  };
  if (candidates.length === 0) return outcome("stop");
  const drawn = drawToken(candidates, sampling, new Set(), randomStream(sampling.seed));
  if (vocabulary.ends.has(drawn)) return outcome("stop");
  const logprobOf = async ({ token, probability }: Candidate): Promise<Logprob> => {
    return { ...(await vocabulary.named(token)), logprob: Math.log(probability) };
  };
  const [own, ...top] = await Promise.all(
    [candidates.find(({ token }) => token === drawn)!, ...candidates.slice(0, topLogprobs)].map(logprobOf),
  );
  return outcome(emit({ ...own!, top }) ? "length" : "stop");
}

/** What may come first, likeliest first. Empty when the library drew the end of the answer every time. */
async function firstCandidates(
  prompt: NativePrompt,
  runner: Runner,
  seed: number,
  signal: AbortSignal,
): Promise<{ candidates: Candidate[]; cachedTokens: number }> {
  let candidates: Candidate[] = [];
  let cachedTokens = 0;
  for (let draw = 0; draw < DRAWS && candidates.length === 0; draw++) {
    const options: CompletionOptions = {
      ...UNFILTERED,
      ...promptOptions(prompt),
      n_predict: 1,
      n_probs: CANDIDATES,
      temperature: FLAT,
      seed: (seed + draw) % 2 ** 31,
    };
    const onToken = ({ probs = [] }: NativeToken) => {
      candidates = atTemperatureOne(probs);
    };
    const result = await runner.run({ options, prompt, onToken }, signal);
    if (draw === 0) cachedTokens = result.timings.cache_n;
  }
  return { candidates, cachedTokens };
}

/** Undoes the temperature: each probability to its power, and together they are 1. */
export function atTemperatureOne(
  flat: readonly { tok: number; prob: number }[],
  temperature = FLAT,
): Candidate[] {
  const best = flat[0]?.prob ?? 1;
  const powers = flat.map(({ prob }) => (prob / best) ** temperature);
  const sum = powers.reduce((sum, power) => sum + power, 0);
  return flat.map(({ tok }, at) => ({ token: tok, probability: powers[at]! / sum }));
}
