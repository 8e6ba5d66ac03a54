// Files that the library saves its memory to and loads it from: in a private folder, as many as a budget of bytes allows.
// They hold what prompts said, so the folder goes when the engine stops, and a dead engine's folder when another starts.
import { rmSync } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Sequence } from "./slot-use.ts";
import { folderIn, freeBytes, sweep } from "./state-folder.ts";

export type StateFile = {
  sequence: Sequence;
  path: string;
  bytes: number;
  usedAt: number;
  /** Turns of one conversation replace each other. */
  conversation: string | undefined;
  /** how many are about to read it */
  readers: number;
  /** of a picture nobody else had asked about */
  speculative: boolean;
};

const MOST_BYTES = 2 * 1024 ** 3;
const MOST_FILES = 64;
/** of what is free on the disk */
const SHARE = 1 / 10;
/** A conversation's next turn takes a person's time. */
const PATIENCE = 8;

export class StateFiles {
  readonly #folder: string;
  readonly #budget: number;
  #all: StateFile[] = [];
  #names = 0;
  /** Changes whenever the files do. */
  version = 0;
  readonly #onExit = () => this.close();

  /** Where no folder can be made, nothing is kept. */
  constructor(parent: string = tmpdir(), budget?: number) {
    sweep(parent);
    const folder = folderIn(parent);
    this.#folder = folder ?? "";
    this.#budget = folder === undefined ? 0 : (budget ?? Math.min(MOST_BYTES, freeBytes(parent) * SHARE));
    process.once("exit", this.#onExit);
  }

  /** Whether anything may be kept at all. */
  get isOpen(): boolean {
    return this.#budget > 0;
  }
  get all(): readonly StateFile[] {
    return this.#all;
  }
  get bytes(): number {
    return this.#all.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Where the next file may be written. */
  path(): string {
    return join(this.#folder, `${this.#names++}.state`);
  }

  /** Keeps what was written there, if anything was, and removes what no longer fits. */
  async keep(
    file: Pick<StateFile, "sequence" | "path"> & Partial<Pick<StateFile, "conversation" | "speculative">>,
  ): Promise<StateFile | undefined> {
    const { conversation, speculative = false } = file;
    const bytes = await stat(file.path).then(
      ({ size }) => size,
      () => 0,
    );
    if (bytes === 0 || bytes > this.#budget) {
      await this.#delete(file.path);
      return undefined;
    }
    const before = conversation && this.#all.find((one) => one.conversation === conversation);
    if (before) this.drop(before);
    const usedAt = performance.now();
    const kept = { ...file, bytes, usedAt, conversation, readers: 0, speculative };
    this.#all.push(kept);
    this.version++;
    for (const one of surplus(this.#all, { bytes: this.#budget, files: MOST_FILES }, usedAt)) this.drop(one);
    return kept;
  }

  /** Who reads it still can, where the system lets an open file be removed; the library reports it otherwise. */
  drop(file: StateFile): void {
    this.#all = this.#all.filter((one) => one !== file);
    this.version++;
    void this.#delete(file.path);
  }

  async #delete(path: string): Promise<void> {
    await Promise.all([path, `${path}.meta`].map((one) => rm(one, { force: true }).catch(() => {})));
  }

  close(): void {
    process.removeListener("exit", this.#onExit);
    this.#all = [];
    if (this.#folder !== "") rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** What must go, longest unused first; what is about to be read stays. */
export function surplus<F extends Pick<StateFile, "bytes" | "usedAt" | "conversation" | "readers">>(
  all: readonly F[],
  most: { bytes: number; files: number },
  now: number,
): F[] {
  const age = ({ usedAt, conversation }: F) => (now - usedAt) / (conversation === undefined ? 1 : PATIENCE);
  const order = all.filter(({ readers }) => readers === 0).sort((a, b) => age(b) - age(a));
  let bytes = all.reduce((sum, one) => sum + one.bytes, 0);
  let files = all.length;
  const gone: F[] = [];
  for (const one of order) {
    if (bytes <= most.bytes && files <= most.files) break;
    gone.push(one);
    bytes -= one.bytes;
    files--;
  }
  return gone;
}
