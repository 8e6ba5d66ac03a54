// Shared beginnings of prompts, saved by the server into files and read back into its slots: so a wave of requests with the
// same instructions evaluates them once, and a server that was started again begins warm. What is worth it: prefixes.ts.
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Prefixes, type Saved } from "./prefixes.ts";
import { beginningOf, promptFor, type ServerPrompt } from "./prompt-parts.ts";
import type { Server } from "./server.ts";
import { commonPrefix } from "./slots.ts";

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
    const { wire, marker, always } = server;
    const { tokens } = beginning;
    const file = `prefix-${++this.#count}`;
    const prompt = promptFor(beginning, marker);
    await wire.post(
      "/completion",
      { ...always, prompt, n_predict: 0, id_slot: slot, cache_prompt: true },
      signal,
    );
    try {
      const body = { filename: file };
      const { n_written } = await wire.post<{ n_written: number }>(
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
      await server.wire.post(`/slots/${slot}?action=restore`, { filename: saved.file }, signal);
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
