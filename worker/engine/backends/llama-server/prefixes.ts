// Which beginnings of prompts are worth keeping in a file, so that every slot can start from them: instructions that at least
// two requests share. Decisions only; prefix-files.ts writes and reads.
import { commonPrefix } from "./slots.ts";

/** Fewer tokens are evaluated as fast as they are read from a file. */
export const WORTH_IT = 64;
const RECENT = 32;
const MAX_SAVED = 4;

export type Saved = { tokens: readonly number[]; file: string; bytes: number };

export class Prefixes {
  readonly #recent: (readonly number[])[] = [];
  /** The one that was of use last comes first. */
  #saved: Saved[] = [];

  get all(): readonly Saved[] {
    return this.#saved;
  }

  /**
   * What to save before `prompt` runs: the most it shares with one that came before, if no file holds that already.
   */
  wanted(prompt: readonly number[]): readonly number[] | undefined {
    const shared = Math.max(0, ...this.#recent.map((one) => commonPrefix(one, prompt)));
    this.#recent.unshift(prompt);
    this.#recent.length = Math.min(this.#recent.length, RECENT);
    const beginning = prompt.slice(0, cleanCut(prompt, shared));
    return beginning.length - this.covered(prompt) >= WORTH_IT ? beginning : undefined;
  }

  /** How much of `prompt` the best file holds. */
  covered(prompt: readonly number[]): number {
    return Math.max(0, ...this.#saved.map(({ tokens }) => commonPrefix(tokens, prompt)));
  }

  /** The file that saves most over what a slot has in common with `prompt` already, if that is worth it. */
  best(prompt: readonly number[], inSlot: number): Saved | undefined {
    const covered = this.covered(prompt);
    if (covered - inSlot < WORTH_IT) return undefined;
    const found = this.#saved.find(({ tokens }) => commonPrefix(tokens, prompt) === covered)!;
    this.#saved = [found, ...this.#saved.filter((one) => one !== found)];
    return found;
  }

  /** Returns the files that are not needed any more: those of shorter beginnings of the same, and the one of least use. */
  add(saved: Saved): Saved[] {
    const within = (one: Saved) => commonPrefix(one.tokens, saved.tokens) === one.tokens.length;
    const others = this.#saved.filter((one) => !within(one));
    const before = this.#saved;
    this.#saved = [saved, ...others].slice(0, MAX_SAVED);
    return before.filter((one) => !this.#saved.includes(one));
  }

  remove(saved: Saved): void {
    this.#saved = this.#saved.filter((one) => one !== saved);
  }
}

/**
 * Where a beginning of about `shared` tokens may end. At least one token is left to evaluate: the server needs it. With
 * pictures in it, which are negative numbers, it ends with the last whole one, because the text after it goes as a string.
 */
export function cleanCut(prompt: readonly number[], shared: number): number {
  const most = Math.min(shared, prompt.length - 1);
  const first = prompt.findIndex((token) => token < 0);
  if (first === -1 || first >= most) return most;
  let end = most;
  const isWhole = () => prompt[end - 1]! < 0 && prompt[end] !== prompt[end - 1];
  while (end > first && !isWhole()) end--;
  return end;
}
