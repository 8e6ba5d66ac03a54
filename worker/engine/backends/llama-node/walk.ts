// Answers with probabilities: token by token, because the library reports the model's own distribution only for the first token
// of a completion that is drawn from it unfiltered. What was evaluated before is still there, so a step costs one token.
import type { Emit, Generation, Logprob, Outcome } from "../../backend.ts";
import { type Candidate, drawToken, randomStream } from "../../sample.ts";
import { type CompletionOptions, type NativeContext, UNFILTERED } from "./native.ts";
import type { NativePrompt } from "./prompt.ts";
import { runOnce } from "./run.ts";

// What is drawn from; less likely tokens are left out.
const CANDIDATES = 64;
// When the answer's end is drawn, the library says nothing; another draw may show the distribution. When the end comes so
// often in a row, it is what the model wants.
const DRAWS = 6;

type Step = { candidates: Candidate[]; cachedTokens: number } | "end";
export type WalkOptions = {
  context: NativeContext;
  prompt: NativePrompt;
  generation: Generation;
  room: number;
  ends: ReadonlySet<number>;
};

export async function walk(options: WalkOptions, emit: Emit, signal: AbortSignal): Promise<Outcome> {
  const { context, prompt, generation, room, ends } = options;
  const random = randomStream(generation.sampling.seed);
  const said = new Set<number>();
  let text = "";
  let cachedTokens: number | undefined;
  const outcome = (finish: Outcome["finish"], completionTokens: number): Outcome => {
    return { finish, promptTokens: prompt.tokens, cachedTokens: cachedTokens ?? 0, completionTokens };
  };
  for (let count = 1; ; count++) {
    const step = await look(context, { ...prompt, text: prompt.text + text }, random, signal);
    if (step === "end") return outcome("stop", count - 1);
    cachedTokens ??= step.cachedTokens;
    const token = drawToken(step.candidates, generation.sampling, said, random);
    if (ends.has(token)) return outcome("stop", count);
    said.add(token);
    const { logprob, text: piece } = await named(
      context,
      step.candidates.find((one) => one.token === token)!,
    );
    const top = await Promise.all(
      step.candidates.slice(0, generation.topLogprobs).map((one) => named(context, one)),
    );
    text += piece;
    if (!emit({ text: piece, logprob, top })) return outcome("stop", count);
    if (count >= room) return outcome("length", count);
  }
}

/** The model's distribution after `prompt`. */
async function look(
  context: NativeContext,
  { text, images, stop }: NativePrompt,
  random: () => number,
  signal: AbortSignal,
): Promise<Step> {
  for (let draw = 0; draw < DRAWS; draw++) {
    let candidates: Candidate[] = [];
    const options: CompletionOptions = {
      prompt: text,
      stop,
      ...UNFILTERED,
      n_predict: 1,
      n_probs: CANDIDATES,
      seed: Math.floor(random() * 2 ** 31),
    };
    if (images.length > 0) options.media_paths = images;
    const keep = ({ probs = [] }: { probs?: { tok: number; prob: number }[] }) => {
      candidates = probs.map(({ tok, prob }) => ({ token: tok, probability: prob }));
    };
    const result = await runOnce(context, options, keep, signal);
    if (candidates.length > 0) return { candidates, cachedTokens: result.timings.cache_n };
  }
  return "end";
}

async function named(context: NativeContext, { token, probability }: Candidate): Promise<Logprob> {
  return { text: await context.detokenize([token]), logprob: Math.log(probability) };
}
