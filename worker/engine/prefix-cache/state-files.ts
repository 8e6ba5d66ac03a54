// The files of saved states: the folder of those that live as long as this process, the notes beside those that outlive it, and
// what an earlier process left of both. Which states are kept is decided in saved-states.ts.
import { createHash } from "node:crypto";
import { createReadStream, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { open, rename, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { makeScratchFolder, removeOrphanedFolders } from "../../async/scratch-folder.ts";
import type { Tokens } from "./radix-tree.ts";

export type Saved = {
  tokens: Tokens;
  path: string;
  bytes: number;
  usedAt: number;
  /** Only of a state that outlives this process. */
  lasting: Lasting | undefined;
};

export type Lasting = {
  /** The hash in the note of an earlier process, until the file was found to have it. */
  unchecked?: string | undefined;
  /** Resolves when the note is written or has failed. */
  noted: Promise<unknown>;
};

// The system's memory as files, where there is such a folder: most states live for seconds and should not wear out a disk.
const MEMORY = "/dev/shm";
const PASSING = "kamado-prefixes-";

const Note = z.object({ tokens: z.array(z.int()).readonly(), bytes: z.int(), sha256: z.string() });

/** Makes a folder for this process alone. Removes those of processes that were killed. */
export function passingFolder(): string {
  const parent = hasMemory() ? MEMORY : tmpdir();
  removeOrphanedFolders(parent, PASSING);
  return makeScratchFolder(parent, PASSING);
}

export const noteOf = (path: string) => path.replace(/\.state$/, ".json");

/** Written last and renamed into place: a state without a note is incomplete. */
export async function note({ path, tokens, bytes }: Saved): Promise<void> {
  const sha256 = await sha256Of(path);
  const draft = `${path}.part`;
  await writeFile(draft, JSON.stringify({ tokens, bytes, sha256 } satisfies z.input<typeof Note>), {
    mode: 0o600,
  });
  await rename(draft, noteOf(path));
}

export async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

/** The complete states that an earlier process left. Everything else in the folder is removed. */
export function readLasting(folder: string): Saved[] {
  const names = readdirSync(folder);
  const whole = names.filter((name) => name.endsWith(".state")).map((name) => readNoted(join(folder, name)));
  const saved = whole.filter((one) => one !== undefined);
  const wanted = new Set(saved.flatMap(({ path }) => [path, noteOf(path)]));
  for (const name of names)
    if (!wanted.has(join(folder, name))) rmSync(join(folder, name), { recursive: true, force: true });
  return saved;
}

function readNoted(path: string): Saved | undefined {
  try {
    const { tokens, bytes, sha256 } = Note.parse(JSON.parse(readFileSync(noteOf(path), "utf8")));
    if (statSync(path).size !== bytes) return undefined;
    return {
      tokens,
      path,
      bytes,
      usedAt: 0,
      lasting: { unchecked: sha256, noted: Promise.resolve() },
    };
  } catch {
    return undefined;
  }
}

function hasMemory(): boolean {
  try {
    return statSync(MEMORY).isDirectory();
  } catch {
    return false;
  }
}

/** So much of a model's file tells it from others; all of it would take seconds to read. */
const HEAD_BYTES = 1024 ** 2;

/**
 * The folder for states of one model. A state fits only the model, the cache and the library that it was made with, and llama.cpp
 * does not check that, so the folder's name does.
 */
export async function stateFolderOf(
  parent: string,
  model: string,
  { version, cache }: { version: string; cache: readonly unknown[] },
): Promise<string> {
  const { size, mtimeMs } = await stat(model);
  const hash = createHash("sha256")
    .update(await headOf(model))
    .update(JSON.stringify([version, size, mtimeMs, ...cache]));
  return join(parent, hash.digest("hex").slice(0, 24));
}

async function headOf(path: string): Promise<Buffer> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
  return buffer.subarray(0, bytesRead);
}
