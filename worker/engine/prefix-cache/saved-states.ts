// Keeps states in files. A state is what a slot has evaluated; a file keeps it when the slot is used for something else. A budget
// limits them, and some outlive this process. Which states are worth it, and how one is saved and loaded, is left to the
// backend; notes and leftovers of earlier processes to state-files.ts.
import { chmodSync, rmSync } from "node:fs";
import { chmod, rm } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder } from "../../make-folder.ts";
import type { Tokens } from "./radix-tree.ts";
import { note, noteOf, passingFolder, readLasting, type Saved, sha256Of } from "./state-files.ts";

export type { Saved } from "./state-files.ts";

/** What a slot holds, as its backend saves and loads it. */
export type State = {
  readonly tokens: Tokens;
  /** Resolves with the size of the file. */
  save(path: string): Promise<number>;
  load(path: string): Promise<void>;
};

export type Budget = { bytes: number; count: number };
export type SavedStatesOptions = {
  /** For states that live as long as this process. Without it they get a folder of their own, which `close` removes. */
  passingFolder?: string | undefined;
  passing?: Budget;
  /** For states that outlive this process: one folder for each model and version. Without it no state does. */
  lastingFolder?: string | undefined;
  /** Called when that folder cannot be used, on a read-only disk for example. Then no state outlives this process. */
  onUnusable?: (cause: unknown) => void;
  /** A first estimate of one token's state; the first state that is saved shows its real size. */
  bytesPerToken?: number;
};

/** Passing states take memory, lasting ones take disk. */
const PASSING: Budget = { bytes: 512 * 1024 ** 2, count: 64 };
const LASTING: Budget = { bytes: 2 * 1024 ** 3, count: 64 };

export class SavedStates {
  readonly #passingFolder: string;
  readonly #ownsFolder: boolean;
  #lastingFolder: string | undefined;
  readonly #budgets: { passing: Budget; lasting: Budget };
  readonly #all = new Set<Saved>();
  #names = 0;
  #bytesPerToken: number;

  constructor({ passing = PASSING, lastingFolder, bytesPerToken = 0, ...more }: SavedStatesOptions) {
    this.#bytesPerToken = bytesPerToken;
    this.#budgets = { passing, lasting: LASTING };
    this.#ownsFolder = more.passingFolder === undefined;
    this.#passingFolder = more.passingFolder ?? passingFolder();
    if (lastingFolder === undefined) return;
    try {
      this.#openLasting(lastingFolder);
    } catch (cause) {
      more.onUnusable?.(cause);
    }
  }

  #openLasting(folder: string): void {
    makeFolder(folder, 0o700);
    // Also where an earlier version or a copy left it open to others: a state holds what prompts said.
    chmodSync(folder, 0o700);
    for (const saved of readLasting(folder)) this.#all.add(saved);
    this.#lastingFolder = folder;
  }

  /** Whether states can outlive this process. */
  get keepsLasting(): boolean {
    return this.#lastingFolder !== undefined;
  }
  get all(): ReadonlySet<Saved> {
    return this.#all;
  }
  get bytes(): number {
    return sum(this.#all);
  }

  /** Whether so many tokens can be kept without removing most of the others. */
  fits(tokens: number): boolean {
    return tokens * this.#bytesPerToken <= this.#budgets.passing.bytes / 2;
  }

  /** Keeps the state, and says which others were removed for it. */
  async save(state: State, now: number, isLasting = false): Promise<{ saved: Saved; gone: Saved[] }> {
    const { tokens } = state;
    const folder = isLasting ? this.#lastingFolder! : this.#passingFolder;
    const path = join(folder, `${process.pid}-${Date.now()}-${this.#names++}.state`);
    try {
      const bytes = await state.save(path);
      this.#bytesPerToken = bytes / tokens.length;
      await chmod(path, 0o600);
      const saved: Saved = { tokens, path, bytes, usedAt: now, lasting: undefined };
      // To hash the file it is read again, which takes a while. The request does not wait for it.
      if (isLasting) saved.lasting = { noted: note(saved).catch(() => {}) };
      this.#all.add(saved);
      return { saved, gone: await this.#removeSurplus(isLasting) };
    } catch (thrown) {
      await rm(path, { force: true });
      throw thrown;
    }
  }

  async #removeSurplus(isLasting: boolean): Promise<Saved[]> {
    const alike = [...this.#all].filter(({ lasting }) => (lasting !== undefined) === isLasting);
    const gone = overBudget(alike, this.#budgets[isLasting ? "lasting" : "passing"]);
    for (const one of gone) await this.remove(one);
    return gone;
  }

  /** The slot of `state` holds what was saved afterwards. Throws when the file is not what was written. */
  async restore(saved: Saved, state: Pick<State, "load">, now: number): Promise<void> {
    saved.usedAt = now;
    const { lasting } = saved;
    if (lasting?.unchecked !== undefined) {
      if ((await sha256Of(saved.path)) !== lasting.unchecked) throw new Error("A saved state was damaged.");
      lasting.unchecked = undefined;
    }
    await state.load(saved.path);
  }

  async remove(saved: Saved): Promise<void> {
    this.#all.delete(saved);
    await saved.lasting?.noted;
    await rm(noteOf(saved.path), { force: true });
    await rm(saved.path, { force: true });
  }

  async close(): Promise<void> {
    await Promise.all(Array.from(this.#all, ({ lasting }) => lasting?.noted));
    this.#all.clear();
    if (this.#ownsFolder) rmSync(this.#passingFolder, { recursive: true, force: true });
  }
}

/** What must be removed so that the rest fits: the least recently used. */
export function overBudget<S extends Pick<Saved, "bytes" | "usedAt">>(
  all: readonly S[],
  budget: Budget,
): S[] {
  let [bytes, count] = [sum(all), all.length];
  return [...all]
    .sort((a, b) => a.usedAt - b.usedAt)
    .filter((one) => {
      const goes = bytes > budget.bytes || count > budget.count;
      if (goes) [bytes, count] = [bytes - one.bytes, count - 1];
      return goes;
    });
}

const sum = (all: Iterable<{ bytes: number }>) => Array.from(all).reduce((sum, { bytes }) => sum + bytes, 0);

type Heads = number | number[] | undefined;
type Shape = {
  block_count?: number | undefined;
  embedding_length?: number | undefined;
  attention?: {
    head_count?: Heads;
    head_count_kv?: Heads;
    key_length?: number | undefined;
    value_length?: number | undefined;
  };
};

/**
 * The state of one token, estimated from the model's shape: keys and values of two bytes in every layer. Where layers differ, the
 * widest counts. 0 for models that keep no keys and values.
 */
export function bytesPerToken({
  block_count: layers = 0,
  embedding_length: width = 0,
  attention = {},
}: Shape): number {
  const heads = widest(attention.head_count);
  const { key_length: key = heads > 0 ? width / heads : 0, value_length: value = key } = attention;
  return layers * (widest(attention.head_count_kv) || heads) * (key + value) * 2;
}

const widest = (heads: Heads = 0) => Math.max(...[heads].flat());
