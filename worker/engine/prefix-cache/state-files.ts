// The files of saved prefixes: where those that pass lie, the notes of those that last, and what is left of either by an earlier
// process. Which are kept is decided in saved-prefixes.ts.
import { createHash } from "node:crypto";
import { createReadStream, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { open, rename, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { getModuleVersion, type LlamaContext, type Token } from "node-llama-cpp";
import { z } from "zod";

export type Saved = {
  tokens: readonly Token[];
  path: string;
  bytes: number;
  usedAt: number;
  lasting: Lasting | undefined;
};

/** Survives a restart. */
export type Lasting = {
  /** Of a file that an earlier process wrote, until it was found to be what was written. */
  unchecked?: string | undefined;
  /** Resolves when the note is written, or could not be. */
  noted: Promise<unknown>;
};

// Memory where the system offers it as files: most prefixes live for seconds and should not wear a disk.
const MEMORY = "/dev/shm";
const PASSING = "kamado-prefixes-";

const Note = z.object({ tokens: z.array(z.int()).readonly(), bytes: z.int(), sha256: z.string() });

/** A folder of this process's own. Removes those that processes left which were killed. */
export function passingFolder(): string {
  const parent = hasMemory() ? MEMORY : tmpdir();
  sweep(parent);
  return mkdtempSync(join(parent, `${PASSING}${process.pid}-`));
}

export const noteOf = (path: string) => path.replace(/\.state$/, ".json");

/** Written last and renamed into place: a state without its note was never finished. */
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

/** What an earlier process left whole; everything else in the folder is removed. */
export function left(folder: string): Saved[] {
  const names = readdirSync(folder);
  const whole = names.filter((name) => name.endsWith(".state")).map((name) => readLeft(join(folder, name)));
  const saved = whole.filter((one) => one !== undefined);
  const wanted = new Set(saved.flatMap(({ path }) => [path, noteOf(path)]));
  for (const name of names)
    if (!wanted.has(join(folder, name))) rmSync(join(folder, name), { recursive: true, force: true });
  return saved;
}

function readLeft(path: string): Saved | undefined {
  try {
    const { tokens, bytes, sha256 } = Note.parse(JSON.parse(readFileSync(noteOf(path), "utf8")));
    if (statSync(path).size !== bytes) return undefined;
    return {
      tokens: tokens as Token[],
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

/** Removes the folders of processes that were killed and could not. */
function sweep(parent: string): void {
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(PASSING)) continue;
    const pid = Number.parseInt(name.slice(PASSING.length), 10);
    if (!isAlive(pid)) rmSync(join(parent, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (thrown) {
    // Somebody else's process is alive too.
    return (thrown as NodeJS.ErrnoException).code === "EPERM";
  }
}

// Where the prefixes of one model lie. A state fits nothing but the model, the cache and the library it was made with, and
// llama.cpp does not check that: the name of the folder does.
const HEAD_BYTES = 1024 ** 2;

export async function prefixFolderOf(parent: string, model: string, context: LlamaContext): Promise<string> {
  const { size, mtimeMs } = await stat(model);
  const facts = [
    await getModuleVersion(),
    size,
    mtimeMs,
    context.kvCacheKeyType,
    context.kvCacheValueType,
    context.flashAttention,
  ];
  const hash = createHash("sha256")
    .update(await headOf(model))
    .update(JSON.stringify(facts));
  return join(parent, hash.digest("hex").slice(0, 24));
}

async function headOf(path: string): Promise<Buffer> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
  return buffer.subarray(0, bytesRead);
}
