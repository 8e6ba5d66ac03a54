// Shared beginnings of prompts, saved by the server into files and read back into its slots: so a wave of requests with the
// same instructions evaluates them once, and a server that was started again begins warm. What is worth it: prefixes.ts.
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { beginningOf, promptFor, type ServerPrompt } from "./chat-template.ts";
import type { Server } from "./client.ts";
import { commonPrefix } from "./slot-choice.ts";

/** Not every model's state can be saved, nor with every server: after so many failures it is left alone. */
const PATIENCE = 3;

/** What a slot holds now, and whether it was read from a file or evaluated for this request. */
export type Warmed = { holds: readonly number[]; read: boolean };

export class PrefixFiles {
  readonly #folder: string;
  readonly #prefixes = new Prefixes();
  /** Being evaluated and saved right now, by a request that needs it itself. */
  readonly #coming = new Map<readonly number[], Promise<void>>();
  #count = 0;
  #failures = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  get kept(): { count: number; bytes: number } {
    const all = this.#prefixes.all;
    return { count: all.length, bytes: all.reduce((sum, { bytes }) => sum + bytes, 0) };
  }

  covered(prompt: readonly number[]): number {
    return this.#prefixes.covered(prompt);
  }

  /** Brings a slot, which has `common` of the prompt, as far as a file can, and makes one for others where that is worth it. */
  async warm(
    server: Server,
    slot: number,
    whole: ServerPrompt,
    common: number,
    signal: AbortSignal,
  ): Promise<Warmed | undefined> {
    if (this.#failures >= PATIENCE) return undefined;
    const prompt = whole.tokens;
    const wanted = this.#prefixes.wanted(prompt);
    for (let coming = this.#soon(prompt, common); coming; coming = this.#soon(prompt, common)) await coming;
    const file = this.#prefixes.best(prompt, common);
    if (file)
      return (await this.#restore(server, slot, file, signal))
        ? { holds: file.tokens, read: true }
        : undefined;
    if (wanted === undefined || this.#prefixes.covered(prompt) >= wanted.length) return undefined;
    // Pictures come and go: their files are for waves, and would push out the instructions' that stay.
    if (common >= wanted.length && wanted.at(-1)! < 0) return undefined;
    // Nothing was awaited since it was looked for: of a wave only the first gets here.
    const beginning = beginningOf(whole, wanted.length);
    const saving = this.#save(server, slot, beginning, signal).finally(() => this.#coming.delete(wanted));
    this.#coming.set(
      wanted,
      saving.catch(() => {}),
    );
    await saving;
    return { holds: wanted, read: false };
  }

  /** Fills every slot of a fresh server with what was of use last. Returns what they hold. */
  async warmAll(server: Server, slots: number): Promise<readonly number[]> {
    const [file] = this.#prefixes.all;
    if (this.#failures >= PATIENCE || file === undefined) return [];
    for (let slot = 0; slot < slots; slot++)
      if (!(await this.#restore(server, slot, file, server.down))) return [];
    return file.tokens;
  }

  /** What another request is saving, when that is more than this slot has. */
  #soon(prompt: readonly number[], common: number): Promise<void> | undefined {
    for (const [tokens, saving] of this.#coming) if (commonPrefix(tokens, prompt) > common) return saving;
    return undefined;
  }

  async #save(server: Server, slot: number, beginning: ServerPrompt, signal: AbortSignal): Promise<void> {
    const { client, marker, always } = server;
    const { tokens } = beginning;
    const file = `prefix-${++this.#count}`;
    const prompt = promptFor(beginning, marker);
    await client.post(
      "/completion",
      { ...always, prompt, n_predict: 0, id_slot: slot, cache_prompt: true },
      signal,
    );
    try {
      const body = { filename: file };
      const { n_written } = await client.post<{ n_written: number }>(
        `/slots/${slot}?action=save`,
        body,
        signal,
      );
      for (const old of this.#prefixes.add({ tokens, file, bytes: n_written }))
        void rm(join(this.#folder, old.file), { force: true });
      this.#failures = 0;
    } catch (thrown) {
      this.#failed(thrown, server, signal);
    }
  }

  async #restore(server: Server, slot: number, saved: Saved, signal: AbortSignal): Promise<boolean> {
    try {
      await server.client.post(`/slots/${slot}?action=restore`, { filename: saved.file }, signal);
      this.#failures = 0;
      return true;
    } catch (thrown) {
      this.#failed(thrown, server, signal);
      this.#prefixes.remove(saved);
      return false;
    }
  }

  /** Without a file a request only takes longer; without a server, or without its client, it is over. */
  #failed(thrown: unknown, { down }: Server, signal: AbortSignal): void {
    signal.throwIfAborted();
    if (down.aborted) throw thrown;
    this.#failures++;
  }
}

// Which beginnings of prompts are worth keeping in a file, so that every slot can start from them: instructions that at least
// two requests share. Decisions only; prefix-files.ts writes and reads.
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
