// One answer while it is generated: the sampling options that the library gets, sampled tokens as text and probabilities, and where the
// answer ends. With probabilities the decoder draws the tokens itself, because the library would report a filtered distribution.
import { type LlamaModel, type SequenceEvaluateOptions, type Token, TokenBias } from "node-llama-cpp";
import {
  type Emit,
  type Generation,
  invalid,
  type Logprob,
  type Outcome,
  type Token as Piece,
  type Sampling,
} from "../../generation/backend.ts";
import { type Candidate, drawToken, randomStream } from "../../generation/sampler.ts";
import { StopScanner } from "../../generation/stopping-criteria.ts";
import type { GrammarState } from "./grammar.ts";
import type { Sampled } from "./slot.ts";

// A character has up to four bytes, each of which may be a token.
const MAX_PENDING = 4;
const REPLACEMENT = "\ufffd";

export type DecoderOptions = {
  model: LlamaModel;
  prompt: readonly Token[];
  generation: Generation;
  room: number;
  grammar: GrammarState | undefined;
  partialCharacters: ReadonlyMap<number, number[]>;
  /** The mark that ends the model's thinking. The answer ends before it. */
  close: string | undefined;
  emit: Emit;
};

export class Decoder {
  finish: Outcome["finish"] = "stop";
  completionTokens = 0;
  /** The tokens of the answer so far. */
  readonly tokens: Token[] = [];
  #pending: Token[] = [];
  readonly #options: DecoderOptions;
  /** Marks that appear in the text although they are special tokens. */
  readonly #shown = new Map<Token, string>();
  readonly #random: () => number;
  readonly #close: { token: Token | undefined; text: StopScanner } | undefined;

  constructor(options: DecoderOptions) {
    this.#options = options;
    const { close, model } = options;
    if (close !== undefined) {
      const tokens = model.tokenize(close, true);
      this.#close = {
        token: tokens.length === 1 ? tokens[0] : undefined,
        text: new StopScanner([close]),
      };
    }
    for (const mark of options.generation.shown ?? []) {
      const [token, ...others] = model.tokenize(mark, true);
      if (token !== undefined && others.length === 0) this.#shown.set(token, mark);
    }
    this.#random = randomStream(options.generation.sampling.seed);
  }

  /** Takes what was sampled; returns the token to go on with, or `undefined` at the end of the answer. */
  next(sampled: Sampled): Token | undefined {
    const { model, emit, room } = this.#options;
    const candidates = candidatesOf(sampled);
    const token = candidates ? this.#draw(candidates) : sampled.token;
    this.completionTokens++;
    if (model.isEogToken(token) || token === this.#close?.token) return this.#end("stop");
    this.tokens.push(token);
    const isWanted = emit({ text: this.#answerText(token), ...this.#probabilities(token, candidates) });
    if (!isWanted || this.#close?.text.stopped) return this.#end("stop", false);
    return this.completionTokens < room ? token : this.#end("length");
  }

  #draw(candidates: readonly Candidate[]): Token {
    const { generation, grammar } = this.#options;
    const recent = countEach(this.tokens.slice(-penaltyWindow(generation.sampling)));
    const allowed = grammar ? grammar.allowed(candidates) : candidates;
    const token = drawToken(allowed, generation.sampling, recent, this.#random) as Token;
    grammar?.accept(token);
    return token;
  }

  #end(finish: Outcome["finish"], flush = true): undefined {
    this.finish = finish;
    if (!flush) return;
    // A character that is cut off in the middle is no text.
    this.#pending = [];
    const text = this.#close?.text.flush() ?? "";
    if (text !== "") this.#options.emit({ text });
  }

  #answerText(token: Token): string {
    const text = this.#textOf(token);
    return this.#close ? this.#close.text.push(text) : text;
  }

  /** The text that this token completes. The first bytes of a character wait for the rest of it. */
  #textOf(token: Token): string {
    this.#pending.push(token);
    const mark = this.#shown.get(token);
    const before = mark === undefined ? this.#pending : this.#pending.slice(0, -1);
    const text = this.#detokenize(before, this.#pending.length) + (mark ?? "");
    if (text.endsWith(REPLACEMENT) && this.#pending.length < MAX_PENDING) return "";
    const hasParts = this.#pending.some((one) => this.#options.partialCharacters.has(one));
    this.#pending = [];
    // Parts that form no character together are no text. A model may also write the replacement character itself.
    return hasParts ? text.replaceAll(REPLACEMENT, "") : text;
  }

  /** Some tokens read differently at the beginning of a text, so the library gets the tokens before them too. */
  #detokenize(tokens: readonly Token[], alreadyInAnswer: number): string {
    const { model, prompt } = this.#options;
    const end = this.tokens.length - alreadyInAnswer;
    const answer = this.tokens.slice(Math.max(0, end - MAX_PENDING), end);
    const before =
      answer.length < MAX_PENDING ? [...prompt.slice(answer.length - MAX_PENDING), ...answer] : answer;
    return model.detokenize(tokens, false, before);
  }

  #probabilities(token: Token, candidates: readonly Candidate[] | undefined): Omit<Piece, "text"> {
    if (candidates === undefined) return {};
    const { model, generation, prompt, partialCharacters } = this.#options;
    const bytesOf = (token: number) => {
      const bytes = partialCharacters.get(token);
      return bytes && { bytes };
    };
    const own = candidates.find((candidate) => candidate.token === token)?.probability ?? 0;
    const top = candidates.slice(0, generation.topLogprobs).map(({ token, probability }): Logprob => {
      const text = model.detokenize([token as Token], true, prompt.slice(-1));
      return { text, ...bytesOf(token), logprob: Math.log(probability) };
    });
    return { ...bytesOf(token), logprob: Math.log(own), top };
  }
}

function candidatesOf({ probabilities }: Sampled): Candidate[] | undefined {
  return probabilities && Array.from(probabilities, ([token, probability]) => ({ token, probability }));
}

function countEach(tokens: readonly Token[]): Map<number, number> {
  const times = new Map<number, number>();
  for (const token of tokens) times.set(token, (times.get(token) ?? 0) + 1);
  return times;
}

/** Greedy without any filter: only so does the library report the distribution unchanged. The decoder then draws the token. */
export const UNFILTERED: SequenceEvaluateOptions = { temperature: 0, topK: 0, topP: 1, minP: 0 };
/** How far back a repetition counts; llama.cpp's own. */
const REPETITION_WINDOW = 64;
/** OpenAI's penalties count over the whole answer; the library needs a limit. */
const ANSWER_WINDOW = 4_096;

/** Throws for what this model cannot do. The returned function takes the list of the answer's tokens, which grows. */
export function samplingOptions(
  sampling: Sampling,
  model: LlamaModel,
): (answer: readonly Token[]) => SequenceEvaluateOptions {
  const { temperature, topK, topP, minP = 0, seed } = sampling;
  const options: SequenceEvaluateOptions = { temperature, topK, topP, minP, seed };
  if (sampling.logitBias.size > 0) options.tokenBias = biasOf(sampling, model);
  const { repetitionPenalty: penalty, frequencyPenalty, presencePenalty } = sampling;
  if (penalty === 1 && frequencyPenalty === 0 && presencePenalty === 0) return () => options;
  const maxPunishTokens = penaltyWindow(sampling);
  return (answer) => {
    const punishTokens = () => answer.slice(-maxPunishTokens);
    return {
      ...options,
      repeatPenalty: { penalty, frequencyPenalty, presencePenalty, punishTokens, maxPunishTokens },
    };
  };
}

/** How many of the last tokens the penalties apply to. */
function penaltyWindow({ frequencyPenalty, presencePenalty }: Sampling): number {
  return frequencyPenalty === 0 && presencePenalty === 0 ? REPETITION_WINDOW : ANSWER_WINDOW;
}

function biasOf({ logitBias }: Sampling, model: LlamaModel): TokenBias {
  const bias = TokenBias.for(model);
  for (const [id, logit] of logitBias) {
    if (id >= model.fileInfo.metadata.tokenizer.ggml.tokens.length)
      throw invalid("logit_bias", `logit_bias: this model has no token ${id}.`);
    bias.set(id as Token, { logit });
  }
  return bias;
}
