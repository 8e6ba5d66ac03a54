// Prefixes that are kept outside of the slots: the state of a sequence in a file, as many as a budget of bytes allows. Those
// worth it survive a restart. Whom they are for is decided in sharing.ts.
import { mkdirSync, rmSync } from "node:fs";
import { chmod, rm } from "node:fs/promises";
import { join } from "node:path";
import type { LlamaContextSequence } from "node-llama-cpp";
import { left, note, noteOf, passingFolder, type Saved, sha256Of } from "./state-files.ts";

export type SavedPrefixesOptions = {
  /** for what outlives this process, one for each model and version; without it nothing does */
  folder?: string | undefined;
  /** of one token's state, about; what is saved shows it exactly */
  bytesPerToken: number;
};

/** Of what passes, which takes memory, and of what lasts, which takes disk. */
const BUDGETS = {
  passing: { bytes: 512 * 1024 ** 2, count: 64 },
  lasting: { bytes: 2 * 1024 ** 3, count: 64 },
};

export class SavedPrefixes {
  readonly #passing: string;
  readonly #folder: string | undefined;
  readonly #all = new Set<Saved>();
  #names = 0;
  #bytesPerToken: number;

  constructor({ folder, bytesPerToken }: SavedPrefixesOptions) {
    this.#bytesPerToken = bytesPerToken;
    this.#passing = passingFolder();
    this.#folder = folder;
    if (folder === undefined) return;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const saved of left(folder)) this.#all.add(saved);
  }

  get all(): ReadonlySet<Saved> {
    return this.#all;
  }
  get bytes(): number {
    return sum(this.#all);
  }

  /** Whether so many tokens can be kept without most others having to go. */
  fits(tokens: number): boolean {
    return tokens * this.#bytesPerToken <= BUDGETS.passing.bytes / 2;
  }

  /** Keeps what `sequence` holds. Answers what had to go for it too. */
  async save(
    sequence: LlamaContextSequence,
    now: number,
    lasting = false,
  ): Promise<{ saved: Saved; gone: Saved[] }> {
    const tokens = sequence.contextTokens;
    const path = join(
      lasting ? this.#folder! : this.#passing,
      `${process.pid}-${Date.now()}-${this.#names++}.state`,
    );
    try {
      const { fileSize: bytes } = await sequence.saveStateToFile(path);
      this.#bytesPerToken = bytes / tokens.length;
      await chmod(path, 0o600);
      const saved: Saved = { tokens, path, bytes, usedAt: now, lasting: undefined };
      // Reading it all again for its hash takes a while, and whoever is answered meanwhile need not wait for it.
      if (lasting) saved.lasting = { noted: note(saved).catch(() => {}) };
      this.#all.add(saved);
      const alike = [...this.#all].filter((one) => (one.lasting !== undefined) === lasting);
      const gone = overBudget(alike, BUDGETS[lasting ? "lasting" : "passing"]);
      for (const one of gone) await this.remove(one);
      return { saved, gone };
    } catch (thrown) {
      await rm(path, { force: true });
      throw thrown;
    }
  }

  /** `sequence` then holds what was saved. Throws when the file is not what was written. */
  async restore(saved: Saved, sequence: LlamaContextSequence, now: number): Promise<void> {
    saved.usedAt = now;
    const { lasting } = saved;
    if (lasting?.unchecked !== undefined) {
      if ((await sha256Of(saved.path)) !== lasting.unchecked) throw new Error("a saved prefix was damaged");
      lasting.unchecked = undefined;
    }
    await sequence.loadStateFromFile(saved.path, { acceptRisk: true });
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
    rmSync(this.#passing, { recursive: true, force: true });
  }
}

/** Who must go so that the rest fits: those that were not used for the longest. */
export function overBudget<S extends Pick<Saved, "bytes" | "usedAt">>(
  all: readonly S[],
  budget: { bytes: number; count: number },
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

/** Keys and values of two bytes in every layer. Layers may differ; the widest counts. A model without any has little to keep. */
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
