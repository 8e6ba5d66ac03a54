// `--watch`: exchanges handlers when their files change, while jobs run. A job keeps the code that it began with, what it imports
// included; the next job gets the new code. Code that cannot be used replaces none that can. Owns when a file is loaded again; how it
// is loaded is in registry.ts and handler-imports.ts.
import { type FSWatcher, statSync, watch } from "node:fs";
import { dirname } from "node:path";
import type { KamadoError } from "../errors.ts";
import { type Edition, importAnew, isCurrent, newEdition } from "./handler-imports.ts";
import {
  byKind,
  handlerFiles,
  type Known,
  kindOfFile,
  type Loaded,
  loadFile,
  type OnLoading,
  type Registry,
  telling,
} from "./registry.ts";

export type Tell = {
  loading?: OnLoading | undefined;
  /** New jobs of this kind run the code that the file holds now. */
  loaded(kind: string, file: string): void;
  removed(kind: string): void;
  /** A kind cannot be used; `isKept`: its code from before goes on. */
  broken(error: KamadoError, isKept: boolean): void;
};

/** An editor writes a file in several steps, and `git checkout` several files. */
const SETTLE_MS = 100;
/** Some file systems, such as folders that are shared with a virtual machine, report no changes; and a folder may be replaced. */
const LOOK_EVERY_MS = 2_000;

/** One file. `tried` is the newest code, which is not in use when it cannot be. */
type Entry = Loaded & { edition: Edition; tried: Edition };

/** Throws `config_invalid` when a folder is not there at the start. */
export async function watchHandlers(
  folders: readonly string[],
  tell: Tell,
): Promise<{ registry: Registry; close(): void }> {
  const watched = new WatchedHandlers(folders, tell);
  await watched.open();
  return { registry: watched.registry, close: () => watched.close() };
}

class WatchedHandlers {
  /** Always the same map, so that whoever holds it sees what changes. */
  readonly registry = new Map<string, Known>();
  readonly #folders: readonly string[];
  readonly #tell: Tell;
  readonly #entries = new Map<string, Entry>();
  readonly #watchers = new Map<string, { watcher: FSWatcher; inode: number }>();
  #waiting: NodeJS.Timeout | undefined;
  #looking: NodeJS.Timeout | undefined;
  #isScanning = false;
  #isClosed = false;
  /** What was last said to be wrong, so that it is said once. */
  #said = new Map<string, string>();

  constructor(folders: readonly string[], tell: Tell) {
    this.#folders = folders;
    this.#tell = tell;
  }

  async open(): Promise<void> {
    for (const folder of this.#folders) for (const file of await handlerFiles(folder)) await this.#load(file);
    this.#publish();
    this.#watchFolders();
    this.#looking = setInterval(() => this.#wake(), LOOK_EVERY_MS).unref();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#waiting);
    clearInterval(this.#looking);
    for (const { watcher } of this.#watchers.values()) watcher.close();
  }

  /** Looks again when the files have settled. Changes that go on for long do not put it off for ever. */
  #wake(): void {
    if (this.#isClosed || this.#waiting) return;
    this.#waiting = setTimeout(() => void this.#look(), SETTLE_MS).unref();
  }

  async #look(): Promise<void> {
    this.#waiting = undefined;
    if (this.#isScanning) return this.#wake();
    this.#isScanning = true;
    await this.#scan();
    this.#isScanning = false;
  }

  async #scan(): Promise<void> {
    for (const folder of this.#folders) {
      const files = await handlerFiles(folder).catch((error: KamadoError) => this.#say(folder, error, true));
      if (!files) continue;
      this.#said.delete(folder);
      for (const file of files) if (!this.#isClosed) await this.#load(file);
      for (const file of [...this.#entries.keys()])
        if (dirname(file) === folder && !files.includes(file)) this.#forget(file);
    }
    if (this.#isClosed) return;
    this.#publish();
    this.#watchFolders();
  }

  /** Loads a file unless what it was made of is as it was. */
  async #load(file: string): Promise<void> {
    const before = this.#entries.get(file);
    if (before && isCurrent(before.tried)) return;
    // A change was taken back.
    if (before && isCurrent(before.edition)) return this.#keep(before, before.edition);
    const edition = newEdition();
    const importFile = telling((path) => importAnew(path, edition), this.#tell.loading);
    const loaded = await loadFile(file, importFile);
    // A file was written meanwhile: what was loaded may be old in one part and new in another.
    if (!isCurrent(edition)) return this.#load(file);
    const { broken } = loaded.handler;
    if (broken && before && !before.handler.broken) {
      this.#keep(before, edition);
      return this.#say(file, broken, true);
    }
    if (before) before.edition.isOver = true;
    this.#entries.set(file, { ...loaded, edition, tried: edition });
    this.#said.delete(file);
    if (this.#looking && !broken) this.#tell.loaded(kindOfFile(file), file);
  }

  #keep(entry: Entry, tried: Edition): void {
    this.#entries.set(entry.file, { ...entry, tried });
    if (tried === entry.edition) this.#said.delete(entry.file);
  }

  #forget(file: string): void {
    this.#entries.get(file)!.edition.isOver = true;
    this.#entries.delete(file);
    this.#said.delete(file);
  }

  /** In one go, so that no job meets half of a change. */
  #publish(): void {
    const now = byKind([...this.#entries.values()]);
    for (const [kind, handler] of now) {
      const before = this.registry.get(kind);
      // A second file of a kind: the one that runs goes on.
      const isKept = handler.broken !== undefined && before !== undefined && !before.broken;
      if (handler.broken) this.#say(kind, handler.broken, isKept);
      else this.#said.delete(kind);
      if (!isKept) this.registry.set(kind, handler);
    }
    for (const kind of [...this.registry.keys()]) {
      if (now.has(kind)) continue;
      this.registry.delete(kind);
      this.#tell.removed(kind);
    }
  }

  #say(about: string, error: KamadoError, isKept: boolean): void {
    if (this.#said.get(about) === error.message) return;
    this.#said.set(about, error.message);
    this.#tell.broken(error, isKept);
  }

  /** Folders and not files: an editor that replaces a file leaves a watcher of the old one behind. */
  #watchFolders(): void {
    const files = [...this.#entries.values()].flatMap(({ tried }) => [...tried.files.keys()]);
    const wanted = new Set([...this.#folders, ...files.map((file) => dirname(file))]);
    for (const [folder, { watcher, inode }] of this.#watchers) {
      if (wanted.has(folder) && inodeOf(folder) === inode) continue;
      watcher.close();
      this.#watchers.delete(folder);
    }
    for (const folder of wanted) if (!this.#watchers.has(folder)) this.#watchFolder(folder);
  }

  #watchFolder(folder: string): void {
    const inode = inodeOf(folder);
    if (inode === undefined) return;
    try {
      const watcher = watch(folder, { persistent: false }, () => this.#wake());
      // What it misses is found at the next look.
      watcher.on("error", () => watcher.close());
      this.#watchers.set(folder, { watcher, inode });
    } catch {
      // The system has no watcher left: changes are found at the next look.
    }
  }
}

/** Undefined where there is none, or none that may be looked at. */
function inodeOf(folder: string): number | undefined {
  try {
    return statSync(folder).ino;
  } catch {
    return undefined;
  }
}
