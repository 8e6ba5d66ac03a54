// Owns the prefixes that llama-server saves in files and loads into its other slots. So a wave of requests with the same
// instructions evaluates them once, and a server that was started again begins warm; its own cache does neither. The budget of
// the files is left to prefix-cache/saved-states.ts. docs/bench.md has the figures.

import { basename } from "node:path";
import { RadixTree, sharedPrefix, type Tokens } from "../../prefix-cache/radix-tree.ts";
import { type Saved, SavedStates } from "../../prefix-cache/saved-states.ts";
import { beginningOf, promptFor, type ServerPrompt } from "./chat-template.ts";
import { hasEnded, type Server } from "./client.ts";

/** To evaluate fewer tokens than this is as fast as to load them. */
const WORTH_SAVING = 64;
const RECENT = 32;
/** The files lie on the disk and hold the state of whole slots. */
const BUDGET = { bytes: 8 * 1024 ** 3, count: 4 };
/** Some models' states cannot be saved, and some servers cannot save. After so many failures in a row it is not tried again. */
const MAX_FAILURES = 3;

/** What the slot holds now, and whether that was loaded from a file or evaluated for this request. */
export type Prepared = { holds: Tokens; isLoaded: boolean };

export class PrefixFiles {
  readonly #isOn: boolean;
  readonly #saved: SavedStates;
  readonly #prefixes = new Prefixes<Saved>();
  /** Prefixes that a request is evaluating and saving just now. */
  readonly #coming = new Map<Tokens, Promise<void>>();
  #now = 0;
  #failures = 0;

  /** With `isOn` false nothing is saved. */
  constructor(folder: string, isOn: boolean) {
    this.#isOn = isOn;
    this.#saved = new SavedStates({ passingFolder: folder, passing: BUDGET });
  }

  get kept(): { count: number; bytes: number } {
    return { count: this.#saved.all.size, bytes: this.#saved.bytes };
  }

  /** How many tokens of the prompt a file holds, at most. */
  covered(prompt: Tokens): number {
    return this.#prefixes.covered(prompt);
  }

  /**
   * Prepares a slot that has `common` tokens of the prompt: loads the file that helps most or, where the prompt begins like a
   * recent one and no file has that beginning, evaluates and saves it for others. Undefined when neither is worth it.
   */
  async prepare(
    server: Server,
    slot: number,
    prompt: ServerPrompt,
    common: number,
    signal: AbortSignal,
  ): Promise<Prepared | undefined> {
    if (!this.#isOn || this.#failures >= MAX_FAILURES) return undefined;
    const { tokens } = prompt;
    const wanted = this.#prefixes.wanted(tokens);
    for (let saving = this.#savingFor(tokens, common); saving; saving = this.#savingFor(tokens, common))
      await saving;
    const file = this.#prefixes.best(tokens, common);
    if (file) {
      const isLoaded = await this.#load(server, slot, file, signal);
      return isLoaded ? { holds: file.tokens, isLoaded } : undefined;
    }
    if (wanted === undefined || this.covered(tokens) >= wanted.length) return undefined;
    // Pictures come and go. Their files serve the requests of one wave, and must not replace those of instructions.
    if (common >= wanted.length && wanted.at(-1)! < 0) return undefined;
    // Nothing was awaited since the search above, so only the first request of a wave gets here.
    const beginning = beginningOf(prompt, wanted.length);
    const saving = this.#save(server, slot, beginning, signal).finally(() => this.#coming.delete(wanted));
    this.#coming.set(
      wanted,
      saving.catch(() => {}),
    );
    await saving;
    return { holds: wanted, isLoaded: false };
  }

  /** Loads the file that was used last into every slot of a new server. Returns what the slots hold then. */
  async prepareAll(server: Server, slots: number): Promise<Tokens> {
    const last = [...this.#saved.all].sort((a, b) => b.usedAt - a.usedAt)[0];
    if (this.#failures >= MAX_FAILURES || last === undefined) return [];
    for (let slot = 0; slot < slots; slot++)
      if (!(await this.#load(server, slot, last, server.down))) return [];
    return last.tokens;
  }

  /** Another request that is saving more of the prompt than the slot has. */
  #savingFor(prompt: Tokens, common: number): Promise<void> | undefined {
    for (const [tokens, saving] of this.#coming) if (sharedPrefix(tokens, prompt) > common) return saving;
    return undefined;
  }

  async #save(server: Server, slot: number, beginning: ServerPrompt, signal: AbortSignal): Promise<void> {
    const { client, marker, always } = server;
    const evaluated = { ...always, prompt: promptFor(beginning, marker), n_predict: 0, id_slot: slot };
    await client.post("/completion", { ...evaluated, cache_prompt: true }, signal);
    try {
      const state = stateOf(server, slot, beginning.tokens, signal);
      const { saved, gone } = await this.#saved.save(state, this.#now++);
      const within = this.#prefixes.add(saved);
      for (const one of [...gone, ...within]) this.#prefixes.remove(one);
      for (const one of within) await this.#saved.remove(one);
      this.#failures = 0;
    } catch (thrown) {
      this.#failed(thrown, server, signal);
    }
  }

  async #load(server: Server, slot: number, saved: Saved, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#saved.restore(saved, stateOf(server, slot, saved.tokens, signal), this.#now++);
      this.#failures = 0;
      return true;
    } catch (thrown) {
      this.#failed(thrown, server, signal);
      this.#prefixes.remove(saved);
      await this.#saved.remove(saved);
      return false;
    }
  }

  /** Without a file the request only takes longer. Without its client or the server it has ended. */
  #failed(thrown: unknown, { down }: Server, signal: AbortSignal): void {
    signal.throwIfAborted();
    // A connection notices the end sooner than the process's own event comes.
    if (down.aborted || hasEnded(thrown)) throw thrown;
    this.#failures++;
  }
}

function stateOf({ client }: Server, slot: number, tokens: Tokens, signal: AbortSignal) {
  const act = (action: "save" | "restore", path: string) =>
    client.post<{ n_written: number }>(
      `/slots/${slot}?action=${action}`,
      { filename: basename(path) },
      signal,
    );
  return {
    tokens,
    save: async (path: string) => (await act("save", path)).n_written,
    load: async (path: string) => void (await act("restore", path)),
  };
}

/** Which beginning of a prompt is worth saving, and which saved one helps it most. Decisions only. */
export class Prefixes<S extends { tokens: Tokens }> {
  readonly #recent = new RadixTree<number>();
  readonly #saved = new RadixTree<S>();
  #prompts = 0;

  /** What to save before `prompt` runs: the longest beginning that it shares with a recent prompt, unless a file has it. */
  wanted(prompt: Tokens): Tokens | undefined {
    const shared = this.#recent.common(prompt, 1);
    this.#recent.put(this.#prompts, prompt);
    this.#recent.delete(this.#prompts++ - RECENT);
    const beginning = prompt.slice(0, cleanCut(prompt, shared));
    return beginning.length - this.covered(prompt) >= WORTH_SAVING ? beginning : undefined;
  }

  /** How many tokens of the prompt the best file holds. */
  covered(prompt: Tokens): number {
    return this.#saved.common(prompt, 1);
  }

  /** The file that helps most beyond the `common` tokens that a slot has already, if that is worth it. */
  best(prompt: Tokens, common: number): S | undefined {
    const covered = this.covered(prompt);
    if (covered - common < WORTH_SAVING) return undefined;
    return [...this.#saved.shared(prompt)].find(([, shared]) => shared === covered)?.[0];
  }

  /** Returns the files that hold only a shorter part of the same beginning: they are not needed any more. */
  add(saved: S): S[] {
    const shared = [...this.#saved.shared(saved.tokens)];
    this.#saved.put(saved, saved.tokens);
    return shared.filter(([{ tokens }, length]) => length === tokens.length).map(([one]) => one);
  }

  remove(saved: S): void {
    this.#saved.delete(saved);
  }
}

/**
 * Where a beginning of about `shared` tokens may end. At least one token remains to be evaluated: the server needs it. Pictures
 * are negative numbers. With pictures the beginning ends after the last whole one, because the text after it goes as a string.
 */
function cleanCut(prompt: Tokens, shared: number): number {
  const most = Math.min(shared, prompt.length - 1);
  const first = prompt.findIndex((token) => token < 0);
  if (first === -1 || first >= most) return most;
  let end = most;
  const isWhole = () => prompt[end - 1]! < 0 && prompt[end] !== prompt[end - 1];
  while (end > first && !isWhole()) end--;
  return end;
}
