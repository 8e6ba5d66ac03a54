// Answers token by token: with probabilities, which the library reports of the model's own distribution only for the first
// token of a completion that is drawn from it unfiltered, and with biases, which it cannot do without harm. What was
// evaluated before is kept in a file, so a step costs one token.

import type { Emit, Logprob, Outcome, Token } from "../../generation/backend.ts";
import { type Candidate, drawToken, isForbidden, randomStream } from "../../generation/sampler.ts";
import { StopScanner } from "../../generation/stopping-criteria.ts";
import type { CompleteOptions } from "./complete.ts";
import { type Ask, type Look, look, lookWide } from "./complete.ts";
import type { Acceptor } from "./grammar-acceptor.ts";
import type { Save } from "./runner.ts";
import type { StateFile } from "./state-files.ts";

export type WalkOptions = CompleteOptions & {
  ends: ReadonlySet<number>;
  vocabulary: number;
  /** what the answer must keep to */
  acceptor: Acceptor | undefined;
};

/** What the model would say, likeliest first, and what of it the answer may go on with. */
type Next = { seen: Candidate[]; fitting: Candidate[] };

// What is drawn from where nothing else is asked for; less likely tokens are left out.
const CANDIDATES = 64;
/** After so many tokens they are kept, too. */
const STRIDE = 32;
const BROKEN = "\ufffd";

export async function walk(options: WalkOptions, emit: Emit, signal: AbortSignal): Promise<Outcome> {
  const walker = new Walker(options, signal);
  try {
    return await walker.walk(emit);
  } finally {
    walker.leave();
  }
}

class Walker {
  readonly #options: WalkOptions;
  readonly #signal: AbortSignal;
  readonly #random: () => number;
  readonly #said = new Map<number, number>();
  #save: Save | undefined;
  #held: StateFile | undefined;
  /** What this walk saved, and no other request needs more than the next one. */
  #own: StateFile | undefined;
  #acceptor: Acceptor | undefined;
  #text = "";
  #count = 0;
  #looks = 0;
  #cachedTokens = 0;

  constructor(options: WalkOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    this.#random = randomStream(options.generation.sampling.seed);
    this.#acceptor = options.acceptor;
    this.#held = options.start.load;
    this.#save = options.start.save;
    if (this.#held) this.#held.readers++;
  }

  async walk(emit: Emit): Promise<Outcome> {
    const { room, ends, close } = this.#options;
    const scanner = new StopScanner(close === undefined ? [] : [close]);
    for (;;) {
      const next = await this.#next();
      if (next === undefined) break;
      const token = this.#draw(next.fitting);
      this.#count++;
      if (ends.has(token)) break;
      const piece = await this.#take(token);
      const wanted = emit({ text: scanner.push(piece), ...(await this.#told(token, next.seen)) });
      if (!wanted || scanner.stopped || this.#acceptor?.mustEnd) return this.#outcome("stop");
      if (this.#count >= room) return this.#outcome("length", scanner.flush(), emit);
    }
    return this.#outcome("stop", scanner.flush(), emit);
  }

  leave(): void {
    if (this.#held) this.#held.readers--;
    this.#held = undefined;
    void this.#save?.done();
  }

  #outcome(finish: Outcome["finish"], rest = "", emit?: Emit): Outcome {
    if (rest !== "") emit?.({ text: rest });
    const promptTokens = this.#options.prompt.tokens;
    return { finish, promptTokens, cachedTokens: this.#cachedTokens, completionTokens: this.#count };
  }

  /** Undefined at the end. */
  async #next(): Promise<Next | undefined> {
    const { vocabulary, generation } = this.#options;
    const biases = [...generation.sampling.logitBias.values()];
    // A token that is wished for may be anywhere; one that is not wished for leaves its place to another.
    const count = biases.some((bias) => bias > 0) ? vocabulary : CANDIDATES + biases.length;
    const near = await this.#fitting(await look(this.#ask, count, this.#random));
    if (near.fitting.length > 0) return near;
    if (this.#acceptor === undefined || this.#acceptor.mayEnd) return undefined;
    const all = await this.#fitting(await lookWide(this.#ask, vocabulary, this.#random));
    return all.fitting.length > 0 ? all : undefined;
  }

  /** Under a schema only what may go on or end there. The first few do: a piece's text costs a call. */
  async #fitting(found: Look | "end"): Promise<Next> {
    const { logitBias } = this.#options.generation.sampling;
    const seen = found === "end" ? [] : found.candidates;
    const allowed = seen.filter(({ token }) => !isForbidden(token, logitBias));
    if (this.#acceptor === undefined) return { seen, fitting: allowed };
    const fitting: Candidate[] = [];
    for (const one of allowed) {
      if (fitting.length >= CANDIDATES) break;
      if (await this.#fits(one.token, this.#acceptor)) fitting.push(one);
    }
    return { seen, fitting };
  }

  async #fits(token: number, acceptor: Acceptor): Promise<boolean> {
    if (this.#options.ends.has(token)) return acceptor.mayEnd;
    const text = await this.#textOf(token);
    return text !== "" && !text.includes(BROKEN) && acceptor.after(text) !== undefined;
  }

  #draw(candidates: readonly Candidate[]): number {
    return drawToken(candidates, this.#options.generation.sampling, this.#said, this.#random);
  }

  async #take(token: number): Promise<string> {
    const piece = await this.#textOf(token);
    this.#said.set(token, (this.#said.get(token) ?? 0) + 1);
    this.#text += piece;
    this.#acceptor = this.#acceptor?.after(piece);
    return piece;
  }

  async #told(token: number, candidates: readonly Candidate[]): Promise<Omit<Token, "text">> {
    const { topLogprobs } = this.#options.generation;
    if (topLogprobs === undefined) return {};
    const named = async ({ token, probability }: Candidate): Promise<Logprob> => {
      return { text: await this.#textOf(token), logprob: Math.log(probability) };
    };
    const drawn = await named(candidates.find((one) => one.token === token)!);
    return { logprob: drawn.logprob, top: await Promise.all(candidates.slice(0, topLogprobs).map(named)) };
  }

  async #textOf(token: number): Promise<string> {
    return this.#options.context.detokenize([token]);
  }

  /** Asks after the prompt and what was said, from where that was kept, and keeps it. */
  readonly #ask: Ask = async (options, hear) => {
    const { prompt, runner, keeping, room } = this.#options;
    const { text, images, sequence } = prompt;
    const again = this.#looks++ > 0;
    const keep = again ? this.#count > 0 && this.#count % STRIDE === 0 : room > 1;
    if (keep) this.#save ??= keeping.own(sequence);
    const full = { ...options, prompt: text + this.#text };
    if (images.length > 0) Object.assign(full, { media_paths: images });
    const run = { options: full, sequence, load: this.#held, save: this.#save, again, onPiece: hear };
    const result = await runner.run(run, this.#signal);
    if (!again) this.#cachedTokens = result.timings.cache_n;
    this.#hold(await this.#save?.done());
    this.#save = undefined;
    return result;
  };

  #hold(kept: StateFile | undefined): void {
    if (kept === undefined) return;
    if (this.#held) this.#held.readers--;
    if (this.#own) this.#options.keeping.forget(this.#own);
    this.#held = this.#own = kept;
    kept.readers++;
  }
}
