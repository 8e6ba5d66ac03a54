// An answer in one go, by the library's own batching: piece by piece as they come, up to where its thinking or it ends.

import type { Emit, Generation, Outcome } from "../../generation/backend.ts";
import type { Candidate } from "../../generation/sampler.ts";
import { StopScanner } from "../../generation/stopping-criteria.ts";
import type { NativePrompt } from "./chat-template.ts";
import type { Keeping, Start } from "./keeping.ts";
import {
  type CompletionOptions,
  type NativeContext,
  type NativeResult,
  type NativeToken,
  UNFILTERED,
} from "./native.ts";
import type { Runner } from "./runner.ts";
import { type Sequence, sequenceOf } from "./slot-use.ts";

/** A request that has been checked to the end. */
export type Checked = {
  generation: Generation;
  prompt: NativePrompt;
  room: number;
  grammar: string | undefined;
  /** the text that ends the answer besides its own stop strings, and is not part of it */
  close: string | undefined;
};
export type CompleteOptions = Checked & {
  context: NativeContext;
  runner: Runner;
  keeping: Keeping;
  start: Start;
};

export async function complete(request: CompleteOptions, emit: Emit, signal: AbortSignal): Promise<Outcome> {
  const { prompt, close, generation, start, runner, keeping } = request;
  const told = new Told(close, emit);
  const turn = generation.conversation === undefined ? undefined : keeping.turn();
  const options: CompletionOptions = completionOf(request);
  if (turn) options.save_state_path = turn.path;
  const { sequence } = prompt;
  // It stops by itself where no more is wanted: at a stop string, and where the grammar lets nothing follow.
  const onPiece = ({ token }: { token: string }) => told.hear(token);
  const result = await runner.run({ options, sequence, ...start, onPiece }, signal);
  const isStopped = told.end();
  await turn?.done(await withAnswer(request, result.text), generation.conversation!);
  return {
    finish: isStopped || !isCut(result) ? "stop" : "length",
    promptTokens: prompt.tokens,
    cachedTokens: result.timings.cache_n,
    completionTokens: result.tokens_evaluated,
  };
}

const isCut = ({ stopped_limit, context_full }: NativeResult) => stopped_limit || context_full;

/** What goes out: nothing of the mark that closes the thinking, nor what is not wanted any more. */
class Told {
  readonly #emit: Emit;
  readonly #scanner: StopScanner | undefined;
  #wanted = true;

  constructor(close: string | undefined, emit: Emit) {
    this.#emit = emit;
    this.#scanner = close === undefined ? undefined : new StopScanner([close]);
  }

  hear(piece: string): void {
    const text = this.#scanner ? this.#scanner.push(piece) : piece;
    if (this.#wanted && (text !== "" || !this.#scanner)) this.#wanted = this.#emit({ text });
  }

  /** Whether it ended before the library did. */
  end(): boolean {
    const rest = this.#scanner?.flush() ?? "";
    if (this.#wanted && rest !== "") this.#emit({ text: rest });
    return !this.#wanted || this.#scanner?.stopped === true;
  }
}

async function withAnswer({ context, prompt }: CompleteOptions, answer: string): Promise<Sequence> {
  const { tokens } = await context.tokenize(answer);
  return { ...prompt.sequence, places: sequenceOf([prompt.sequence.places, tokens]).places };
}

// How one request is put to the library: its sampling, its ends and its grammar. Pure.
/** llama.cpp's own; a token said longer ago may be said again. */
const PENALTY_WINDOW = 64;

/** Whether the library cannot do it by itself in one go. */
export function needsWalk({ topLogprobs, sampling, prompt }: Generation): boolean {
  const { logitBias, frequencyPenalty, presencePenalty } = sampling;
  // With pictures the library counts the prompt's tokens as said, which these two penalties must not.
  const hasPictures =
    "messages" in prompt && prompt.messages.some(({ parts }) => parts.some(({ type }) => type === "image"));
  const counts = frequencyPenalty !== 0 || presencePenalty !== 0;
  return topLogprobs !== undefined || logitBias.size > 0 || (hasPictures && counts);
}

export function completionOf(request: {
  generation: Pick<Generation, "sampling" | "stop">;
  prompt: Pick<NativePrompt, "text" | "images" | "stop">;
  room: number;
  grammar: string | undefined;
  close: string | undefined;
}): CompletionOptions {
  const { generation, prompt, room, grammar, close } = request;
  const { temperature, topK, topP, seed } = generation.sampling;
  const options: CompletionOptions = {
    ...UNFILTERED,
    ...penaltiesOf(generation.sampling, room),
    prompt: prompt.text,
    stop: [...generation.stop, ...prompt.stop, ...(close === undefined ? [] : [close])],
    n_predict: room,
    temperature,
    // Greedy takes both: at temperature 0 alone the library still draws.
    top_k: temperature === 0 ? 1 : topK,
    top_p: topP,
    seed: seed % 2 ** 31,
  };
  if (prompt.images.length > 0) options.media_paths = prompt.images;
  if (grammar !== undefined) options.grammar = grammar;
  return options;
}

function penaltiesOf(
  { repetitionPenalty, frequencyPenalty, presencePenalty }: Generation["sampling"],
  room: number,
) {
  const counts = frequencyPenalty !== 0 || presencePenalty !== 0;
  const none = repetitionPenalty === 1 && !counts;
  return {
    penalty_repeat: repetitionPenalty,
    penalty_freq: frequencyPenalty,
    penalty_present: presencePenalty,
    // There is one window for all three, and "each time it was said" has no window.
    penalty_last_n: none ? 0 : counts ? room : PENALTY_WINDOW,
  };
}

// The model's own distribution over the next token. The library reports it beside a token that it draws from it, and says
// nothing when it draws the answer's end; drawn from a flattened copy the end comes rarely, and the copy can be undone.
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
