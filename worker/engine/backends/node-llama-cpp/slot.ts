// One sequence of the model's context and the job that has it: what it still holds, what is to be evaluated, what it says.
// A slot never runs by itself; the lockstep loop moves all of them together.
import type { LlamaContextSequence, SequenceEvaluateOptions, Token } from "node-llama-cpp";
import { KamadoError } from "../../../errors.ts";

/** The next token as the library chose it, and on request the whole distribution, most probable first. */
export type Heard = { token: Token; probabilities?: Map<Token, number> };

export type Job = {
  prompt: readonly Token[];
  options: SequenceEvaluateOptions;
  probabilities: boolean;
  conversation: string | undefined;
  /** Takes what the model says next; answers the token to go on with, or `undefined` when the job is done. */
  hear(heard: Heard): Token | undefined;
  signal: AbortSignal;
  /** `cachedTokens` of the prompt were still there. */
  done(cachedTokens: number): void;
  failed(reason: unknown): void;
};

/** Its client went away, or else the engine stops. */
export const whyGone = ({ signal }: Job): unknown =>
  signal.reason ?? new KamadoError("stopping", "The engine is stopping.");

/** A prefix that somebody else is evaluating for this job. */
export type Wait = { for: Slot; job: Job; length: number };

type Decoder = AsyncGenerator<Heard, void, undefined | Token | Token[]>;

export class Slot {
  readonly sequence: LlamaContextSequence;
  usedAt = 0;
  job: Job | undefined;
  /** whose next turn is expected to go on here */
  conversation: string | undefined;
  wait: Wait | undefined;
  #cachedTokens = 0;
  #todo: Token[] = [];
  #talk: Decoder | undefined;

  constructor(sequence: LlamaContextSequence) {
    this.sequence = sequence;
  }

  get todo(): number {
    return this.#todo.length;
  }
  /** how many tokens it holds */
  get evaluated(): number {
    return this.sequence.nextTokenIndex;
  }
  get kept(): Token[] {
    return this.sequence.contextTokens;
  }

  /** Cuts what it holds down to the prefix that `tokens` share with it, at most `length` long. */
  async keep(tokens: readonly Token[], length: number): Promise<void> {
    const prefix = tokens.slice(0, length);
    const { firstDifferentIndex } = this.sequence.compareContextTokens(prefix);
    if (firstDifferentIndex === this.evaluated) return;
    // A state that cannot be cut would be evaluated again by the library, outside of the step.
    if (this.sequence.needsCheckpoints) await this.sequence.clearHistory();
    else await this.sequence.adaptStateToTokens(prefix, false);
  }

  /** Goes on from what it holds, which must be the beginning of the prompt and not all of it. */
  begin(job: Job): void {
    this.job = job;
    this.wait = undefined;
    this.conversation = job.conversation;
    this.#cachedTokens = this.evaluated;
    this.#todo = job.prompt.slice(this.#cachedTokens);
  }

  /** Evaluates `count` tokens and, when nothing is left of the prompt, hears the next one. Called only inside a step. */
  async advance(count: number): Promise<void> {
    const tokens = this.#todo.splice(0, count);
    try {
      if (this.#todo.length > 0) await this.sequence.evaluateWithoutGeneratingNewTokens(tokens);
      else await this.#hearNext(tokens);
    } catch (thrown) {
      await this.fail(thrown);
    }
  }

  async #hearNext(tokens: Token[]): Promise<void> {
    const job = this.job!;
    this.#talk ??= this.sequence.evaluateWithMetadata(
      tokens,
      { probabilities: job.probabilities },
      { ...job.options, yieldEogToken: true },
    ) as Decoder;
    const { value } = await this.#talk.next(tokens);
    if (!value) throw new Error("the model has nothing more to say");
    const next = job.hear(value);
    if (next !== undefined) this.#todo = [next];
    else await this.#leave((job) => job.done(this.#cachedTokens));
  }

  /** Gives the slot back with everything it evaluated. */
  async cancel(): Promise<void> {
    await this.#leave((job) => job.failed(whyGone(job)));
  }

  /** Gives the slot back empty: after an error nobody knows what it holds. */
  async fail(reason: unknown): Promise<void> {
    await this.sequence.clearHistory().catch(() => {});
    await this.#leave((job) => job.failed(reason));
  }

  async #leave(tell: (job: Job) => void): Promise<void> {
    const job = this.job!;
    await this.#talk?.return();
    this.#talk = undefined;
    this.job = undefined;
    this.wait = undefined;
    this.#todo = [];
    tell(job);
  }
}
