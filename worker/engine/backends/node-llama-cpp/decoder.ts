// One answer as it is made: from the model's tokens to text and probabilities, until it ends by itself, by the client's wish or
// for want of room.
import type { LlamaModel, Token } from "node-llama-cpp";
import type { Emit, Generation, Logprob, Outcome, Token as Piece } from "../../generation/backend.ts";
import { type Candidate, drawToken, randomStream } from "../../generation/sampler.ts";
import { StopScanner } from "../../generation/stopping-criteria.ts";
import type { GrammarState } from "./grammar.ts";
import { penaltyWindow } from "./sampler-options.ts";
import type { Heard } from "./slot.ts";

// Characters of up to four bytes may come in as many tokens.
const MAX_PENDING = 4;
const REPLACEMENT = "\ufffd";

export type DecoderOptions = {
  model: LlamaModel;
  prompt: readonly Token[];
  generation: Generation;
  room: number;
  grammar: GrammarState | undefined;
  partialCharacters: ReadonlyMap<number, number[]>;
  /** where the answer ends besides at the model's own end, and is not told */
  close: string | undefined;
  emit: Emit;
};

export class Decoder {
  finish: Outcome["finish"] = "stop";
  completionTokens = 0;
  readonly said: Token[] = [];
  #pending: Token[] = [];
  readonly #options: DecoderOptions;
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
    this.#random = randomStream(options.generation.sampling.seed);
  }

  /** See Job.hear. */
  hear(heard: Heard): Token | undefined {
    const { model, emit, room } = this.#options;
    const candidates = candidatesOf(heard);
    const token = candidates ? this.#draw(candidates) : heard.token;
    this.completionTokens++;
    if (model.isEogToken(token) || token === this.#close?.token) return this.#end("stop");
    this.said.push(token);
    const go = emit({ text: this.#toldOf(token), ...this.#probabilities(token, candidates) });
    if (!go || this.#close?.text.stopped) return this.#end("stop", false);
    return this.completionTokens < room ? token : this.#end("length");
  }

  #draw(candidates: readonly Candidate[]): Token {
    const { generation, grammar } = this.#options;
    const recent = timesSaid(this.said.slice(-penaltyWindow(generation.sampling)));
    const allowed = grammar ? grammar.allowed(candidates) : candidates;
    const token = drawToken(allowed, generation.sampling, recent, this.#random) as Token;
    grammar?.accept(token);
    return token;
  }

  #end(finish: Outcome["finish"], flush = true): undefined {
    this.finish = finish;
    if (!flush) return;
    const text = (this.#close?.text.flush() ?? "") + this.#detokenize(this.#pending, 0);
    if (text !== "") this.#options.emit({ text });
  }

  #toldOf(token: Token): string {
    const text = this.#textOf(token);
    return this.#close ? this.#close.text.push(text) : text;
  }

  /** The text that is complete with this token; a character whose bytes are not all there waits. */
  #textOf(token: Token): string {
    this.#pending.push(token);
    const text = this.#detokenize(this.#pending, this.#pending.length);
    if (text.endsWith(REPLACEMENT) && this.#pending.length < MAX_PENDING) return "";
    this.#pending = [];
    return text;
  }

  /** Tokens read differently at a text's beginning: the ones before them say that this is none. */
  #detokenize(tokens: readonly Token[], alreadySaid: number): string {
    const { model, prompt } = this.#options;
    const end = this.said.length - alreadySaid;
    const said = this.said.slice(Math.max(0, end - MAX_PENDING), end);
    const before = said.length < MAX_PENDING ? [...prompt.slice(said.length - MAX_PENDING), ...said] : said;
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

function candidatesOf({ probabilities }: Heard): Candidate[] | undefined {
  return probabilities && Array.from(probabilities, ([token, probability]) => ({ token, probability }));
}

function timesSaid(tokens: readonly Token[]): Map<number, number> {
  const times = new Map<number, number>();
  for (const token of tokens) times.set(token, (times.get(token) ?? 0) + 1);
  return times;
}
