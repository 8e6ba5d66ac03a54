// Keeps prompts' beginnings that others share, so that each is evaluated once: does what plan-prefix.ts decides. Who needs a
// beginning that is being evaluated right now waits for it.
import { MEDIA } from "../../generation/model-file.ts";
import type { NativePrompt } from "./chat-template.ts";
import { GREEDY } from "./native.ts";
import { bestStored, LEAST, planPrefix, Speculation } from "./plan-prefix.ts";
import type { Runner, Save } from "./runner.ts";
import { firstPlaces, type Sequence, usable } from "./slot-use.ts";
import type { StateFile, StateFiles } from "./state-files.ts";

/** How a request begins. */
export type Start = {
  load: StateFile | undefined;
  /** Where its own prompt is to be saved. */
  save: Save | undefined;
};
type Making = { sequence: Sequence; done: Promise<unknown> };
type Seen = Pick<NativePrompt, "sequence" | "text">;

const RECENT = 64;
const ROUNDS = 3;

export class Keeping {
  readonly #runner: Runner;
  readonly #files: StateFiles;
  readonly #speculation = new Speculation();
  readonly #making = new Set<Making>();
  #recent: Seen[] = [];

  constructor(runner: Runner, files: StateFiles) {
    this.#runner = runner;
    this.#files = files;
  }

  /** A prompt that will run, or has run lately: what it shares with another is worth keeping. */
  see(prompt: NativePrompt): Seen {
    const seen = { sequence: prompt.sequence, text: prompt.text };
    this.#recent = [...this.#recent.slice(1 - RECENT), seen];
    return seen;
  }

  /** How many tokens of a prompt would not be evaluated if it ran now. Asked again and again, so the answer is kept. */
  warmth(sequence: Sequence): () => number {
    let [version, known] = [-1, 0];
    return () => {
      if (version !== this.#files.version) known = bestStored(this.#files.all, sequence)?.gain ?? 0;
      version = this.#files.version;
      return Math.max(known, this.#runner.seats.warm(sequence));
    };
  }

  async start(prompt: NativePrompt, seen: Seen, signal: AbortSignal): Promise<Start> {
    if (!this.#files.isOpen) return { load: undefined, save: undefined };
    const { sequence } = prompt;
    const others = this.#recent.filter((one) => one !== seen);
    const shared = others.map((other) => other.sequence);
    const speculate = this.#isNew(sequence, shared) && this.#speculation.allows();
    for (let round = 0; round < ROUNDS; round++) {
      signal.throwIfAborted();
      const { load, save } = planPrefix({
        prompt: sequence,
        stored: this.#files.all,
        others: shared,
        speculate,
      });
      const making = this.#makingFor(sequence, load?.gain ?? 0);
      if (making) await unlessAborted(making.done, signal);
      else if (save === undefined) return { load: this.#used(load?.stored), save: undefined };
      else if (save.whole) return { load: this.#used(load?.stored), save: this.own(sequence, speculate) };
      else await this.#prime(cut(prompt, save.length, others), load?.stored, speculate, signal);
    }
    return { load: this.#used(bestStored(this.#files.all, sequence)?.stored), save: undefined };
  }

  /** Saves a request's whole prompt while it runs. */
  own(sequence: Sequence, speculative = false): Save | undefined {
    if (!this.#files.isOpen) return undefined;
    const path = this.#files.path();
    const { promise, resolve } = Promise.withResolvers<StateFile | undefined>();
    const making = { sequence, done: promise };
    this.#making.add(making);
    if (speculative) this.#speculation.saved();
    const done = () => {
      if (this.#making.delete(making)) resolve(this.#files.keep({ sequence, path, speculative }));
      return promise;
    };
    return { path, done };
  }

  /** Where a conversation's turn is saved with its answer, for the next one. */
  turn(): { path: string; done(sequence: Sequence, conversation: string): Promise<unknown> } | undefined {
    if (!this.#files.isOpen) return undefined;
    const path = this.#files.path();
    return { path, done: (sequence, conversation) => this.#files.keep({ sequence, path, conversation }) };
  }

  forget(file: StateFile): void {
    if (file.readers === 0) this.#files.drop(file);
  }

  /** Evaluates a beginning by itself and saves it. */
  async #prime(
    { text, images, sequence }: Omit<NativePrompt, "stop">,
    load: StateFile | undefined,
    speculative: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const save = this.own(sequence, speculative);
    const options = { ...GREEDY, prompt: text, n_predict: 1 };
    if (images.length > 0) Object.assign(options, { media_paths: images });
    await this.#runner.run({ options, sequence, load, save, onPiece: () => {} }, signal);
    await save?.done();
  }

  /** A picture that no other prompt was seen with. */
  #isNew(sequence: Sequence, others: readonly Sequence[]): boolean {
    const end = sequence.pictures.at(-1)?.end;
    return end !== undefined && others.every((other) => usable(other, sequence) < end);
  }

  #makingFor(sequence: Sequence, have: number): Making | undefined {
    return [...this.#making].find((making) => usable(making.sequence, sequence) >= have + LEAST);
  }

  #used(file: StateFile | undefined): StateFile | undefined {
    if (file?.speculative) this.#speculation.used();
    if (file) file.speculative = false;
    return file;
  }
}

/** The part of a prompt that it shares, as a prompt. */
function cut(prompt: NativePrompt, length: number, others: readonly Seen[]): Omit<NativePrompt, "stop"> {
  const { text, images, sequence } = prompt;
  const sharing = others
    .map((other) => ({ other, shares: usable(sequence, other.sequence) }))
    .filter(({ shares }) => shares >= length)
    .sort((a, b) => a.shares - b.shares)[0];
  const end = sharing ? commonText(text, sharing.other.text) : text.lastIndexOf(MEDIA) + MEDIA.length;
  return { text: text.slice(0, end), images, sequence: firstPlaces(sequence, length), tokens: length };
}

/** Never half of a character. */
function commonText(a: string, b: string): number {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  return a.slice(0, at).isWellFormed() ? at : at - 1;
}

function unlessAborted(wait: Promise<unknown>, signal: AbortSignal): Promise<unknown> {
  const { promise, reject } = Promise.withResolvers<never>();
  const giveUp = () => reject(signal.reason);
  signal.addEventListener("abort", giveUp, { once: true });
  return Promise.race([wait, promise]).finally(() => signal.removeEventListener("abort", giveUp));
}
