// Owns one sequence of the model's context and the request that runs in it: what the sequence has evaluated, and what is still to be
// evaluated. A slot never runs by itself: batch-loop.ts advances all of them together, and prefix-sharing.ts chooses one for a
// request.
import type { LlamaContextSequence, SequenceEvaluateOptions, Token } from "node-llama-cpp";
import { KamadoError } from "../../../errors.ts";
import type { State } from "../../prefix-cache/saved-states.ts";
import { tuneSampler } from "./sampler-config.ts";

/** The next token as the library chose it and, where asked for, the whole distribution, most probable first. */
export type Sampled = { token: Token; probabilities?: Map<Token, number> };

export type SlotRequest = {
  prompt: readonly Token[];
  options: SequenceEvaluateOptions;
  /** The only tokens that may come next, where they are known and few. */
  allowed?(): readonly number[] | undefined;
  probabilities: boolean;
  conversation: string | undefined;
  /** Takes what the model sampled; returns the token to go on with, or `undefined` when the answer is complete. */
  onSampled(sampled: Sampled): Token | undefined;
  signal: AbortSignal;
  /** `cachedTokens` of the prompt were not evaluated again. */
  done(cachedTokens: number): void;
  failed(reason: unknown): void;
};

/** Why a request was cancelled: its client went away, or the engine stops. */
export const cancelReason = ({ signal }: SlotRequest): unknown =>
  signal.reason ?? new KamadoError("stopping", "The engine is stopping.");

/** A prefix that the request in another slot is evaluating for this one. */
export type Wait = { for: Slot; request: SlotRequest; length: number };

type Generator = AsyncGenerator<Sampled, void, undefined | Token | Token[]>;

export class Slot {
  readonly sequence: LlamaContextSequence;
  usedAt = 0;
  request: SlotRequest | undefined;
  /** The conversation whose next turn is expected to continue here. */
  conversation: string | undefined;
  wait: Wait | undefined;
  #cachedTokens = 0;
  #todo: Token[] = [];
  #generator: Generator | undefined;

  constructor(sequence: LlamaContextSequence) {
    this.sequence = sequence;
    tuneSampler(sequence, () => this.request?.allowed?.());
  }

  /** How many tokens are still to be evaluated. */
  get todo(): number {
    return this.#todo.length;
  }
  /** How many tokens the sequence holds. */
  get evaluated(): number {
    return this.sequence.nextTokenIndex;
  }
  get tokens(): Token[] {
    return this.sequence.contextTokens;
  }

  /** What the sequence holds, to be saved in a file or replaced by one. */
  get state(): State {
    return {
      tokens: this.tokens,
      save: async (path) => (await this.sequence.saveStateToFile(path)).fileSize,
      load: (path) => this.sequence.loadStateFromFile(path, { acceptRisk: true }),
    };
  }

  /** Keeps the prefix that the sequence shares with `tokens`, at most `length` tokens of it. */
  async keep(tokens: readonly Token[], length: number): Promise<void> {
    const prefix = tokens.slice(0, length);
    const { firstDifferentIndex } = this.sequence.compareContextTokens(prefix);
    if (firstDifferentIndex === this.evaluated) return;
    // The library would evaluate a state that cannot be cut again by itself, outside the loop's steps.
    if (this.sequence.needsCheckpoints) await this.sequence.clearHistory();
    else await this.sequence.adaptStateToTokens(prefix, false);
  }

  /** Starts the request from what the sequence holds, which must be a beginning of the prompt and not all of it. */
  begin(request: SlotRequest): void {
    this.request = request;
    this.wait = undefined;
    this.conversation = request.conversation;
    this.#cachedTokens = this.evaluated;
    this.#todo = request.prompt.slice(this.#cachedTokens);
  }

  /** Evaluates `count` tokens and, after the last of them, samples the next. The batch loop calls it within a step. */
  async advance(count: number): Promise<void> {
    const tokens = this.#todo.splice(0, count);
    try {
      if (this.#todo.length > 0) await this.sequence.evaluateWithoutGeneratingNewTokens(tokens);
      else await this.#sample(tokens);
    } catch (thrown) {
      await this.fail(thrown);
    }
  }

  async #sample(tokens: Token[]): Promise<void> {
    const request = this.request!;
    this.#generator ??= this.sequence.evaluateWithMetadata(
      tokens,
      { probabilities: request.probabilities },
      { ...request.options, yieldEogToken: true },
    ) as Generator;
    const { value } = await this.#generator.next(tokens);
    if (!value) throw new Error("The library sampled no token.");
    const next = request.onSampled(value);
    if (next !== undefined) this.#todo = [next];
    else await this.#leave((request) => request.done(this.#cachedTokens));
  }

  /** Frees the slot; the sequence keeps what was evaluated. */
  async cancel(): Promise<void> {
    await this.#leave((request) => request.failed(cancelReason(request)));
  }

  /** Frees the slot and clears the sequence: after an error it is unknown what it holds. */
  async fail(reason: unknown): Promise<void> {
    await this.sequence.clearHistory().catch(() => {});
    await this.#leave((request) => request.failed(reason));
  }

  async #leave(report: (request: SlotRequest) => void): Promise<void> {
    const request = this.request!;
    await this.#generator?.return();
    this.#generator = undefined;
    this.request = undefined;
    this.wait = undefined;
    this.#todo = [];
    report(request);
  }
}
