// The file of `kamado map --out`: a line of JSON for each input. Owns that no line is lost, whatever ends the command: each is written whole
// as soon as it may be, what a kill tore off is cut away, and a file that comes to another order is replaced by one in order only when that
// one is complete. Of a source that has several lines the last one counts.
import { constants, rmSync } from "node:fs";
import { type FileHandle, open, realpath, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { KamadoError } from "../../errors.ts";
import { printableJson } from "../../printable.ts";

/** What became of an input. */
export type ResultLine = {
  index: number;
  source: string;
  id: string | undefined;
  status: string;
  output?: unknown;
  error?: { code: string; message: string; hint?: string | undefined } | undefined;
  receipt?: object | undefined;
  /** Its result was in the bucket before. */
  reused?: true;
  inputHash: string | undefined;
};

type Kept = Pick<ResultLine, "index" | "status" | "inputHash"> & { start: number; length: number };

const BEGINS = '{"index":';
const LINE_END = 10;
const READ_BYTES = 1024 * 1024;

export class ResultsFile {
  readonly #path: string;
  readonly #file: FileHandle;
  /** By source: lines of an earlier run, as long as no input of this one was found for them. */
  readonly #earlier: Map<string, Kept>;
  /** Where the line of each input is. */
  readonly #places: { start: number; length: number; isMoved: boolean }[] = [];
  readonly #unlock: () => void;
  #size: number;

  private constructor(
    { path, unlock }: { path: string; unlock: () => void },
    file: FileHandle,
    { earlier, size }: { earlier: Map<string, Kept>; size: number },
  ) {
    this.#path = path;
    this.#unlock = unlock;
    this.#file = file;
    this.#earlier = earlier;
    this.#size = size;
  }

  /** Throws `invalid_input` for a file that is there already, unless it is to be resumed, and for one that is none of results. */
  static async open(path: string, { resume }: { resume: boolean }): Promise<ResultsFile> {
    const flags = constants.O_RDWR | constants.O_CREAT | (resume ? 0 : constants.O_EXCL);
    const file = await open(path, flags).catch((thrown) => {
      throw openError(path, thrown);
    });
    let unlock = () => {};
    try {
      // A link stays one when the file behind it is replaced.
      const real = await realpath(path);
      unlock = lockOf(real, path);
      const lines = await readLines(file, path);
      await file.truncate(lines.size);
      return new ResultsFile({ path: real, unlock }, file, lines);
    } catch (thrown) {
      unlock();
      await file.close();
      throw thrown;
    }
  }

  /** How many lines an earlier run has left that succeeded. */
  get succeeded(): number {
    return [...this.#earlier.values()].filter(({ status }) => status === "succeeded").length;
  }

  /** What an earlier run has of this input: a line that counts, one that has to be done again and why, or nothing. */
  take(index: number, source: string, inputHash: string | undefined): "kept" | "failed" | "changed" | "none" {
    const earlier = this.#earlier.get(source);
    if (!earlier) return "none";
    this.#earlier.delete(source);
    if (earlier.status !== "succeeded") return "failed";
    if (earlier.inputHash !== inputHash) return "changed";
    this.#places[index] = { ...earlier, isMoved: earlier.index !== index };
    return "kept";
  }

  async write(line: ResultLine): Promise<void> {
    const bytes = Buffer.from(`${printableJson(line)}\n`);
    await this.#append(bytes);
    this.#places[line.index] = { start: this.#size, length: bytes.length, isMoved: false };
    this.#size += bytes.length;
  }

  /** Whole, or not at all. */
  async #append(bytes: Buffer): Promise<void> {
    try {
      await writeAll(this.#file, bytes, this.#size);
    } catch (thrown) {
      await this.#file.truncate(this.#size).catch(() => {});
      throw writeError(this.#path, thrown);
    }
  }

  /** Closes the file as it is. One without a line is removed, so that the same command can be given again. */
  async close(): Promise<void> {
    await this.#file.sync().catch(() => {});
    await this.#file.close();
    if (this.#size === 0) await rm(this.#path, { force: true });
    this.#unlock();
  }

  /** All inputs have their lines: puts them in order. Lines of inputs that are not there any more stay behind them: says how many. */
  async finish(): Promise<number> {
    const left = [...this.#earlier.values()].sort((a, b) => a.start - b.start);
    if (!this.#isInOrder(left)) await this.#rewrite(left);
    await this.#file.sync().catch(() => {});
    await this.#file.close();
    this.#unlock();
    return left.length;
  }

  #isInOrder(left: readonly Kept[]): boolean {
    let end = 0;
    for (const { start, length, isMoved } of this.#places) {
      if (start !== end || isMoved) return false;
      end += length;
    }
    return left.length === 0 && end === this.#size;
  }

  async #rewrite(left: readonly Kept[]): Promise<void> {
    const part = `${this.#path}.part`;
    const target = await open(part, "w").catch((thrown) => {
      throw writeError(part, thrown);
    });
    try {
      let size = 0;
      for (const [index, place] of [
        ...this.#places,
        ...left.map((one) => ({ ...one, isMoved: true })),
      ].entries()) {
        const bytes = await this.#lineAt(place, index);
        await writeAll(target, bytes, size);
        size += bytes.length;
      }
      await target.sync();
      await rename(part, this.#path);
    } catch (thrown) {
      await rm(part, { force: true });
      throw writeError(part, thrown);
    } finally {
      await target.close();
    }
  }

  async #lineAt(
    { start, length, isMoved }: { start: number; length: number; isMoved: boolean },
    index: number,
  ) {
    const bytes = Buffer.alloc(length);
    await this.#file.read(bytes, 0, length, start);
    return isMoved ? Buffer.from(`${printableJson({ ...JSON.parse(bytes.toString()), index })}\n`) : bytes;
  }
}

/**
 * Keeps a second command off the file: two would write over each other's lines. The lock is an open SQLite transaction, which the
 * operating system ends with the process, however that ends. Where no such file can be made, there is none.
 */
function lockOf(real: string, path: string): () => void {
  const name = join(dirname(real), `.${basename(real)}.lock`);
  let lock: DatabaseSync | undefined;
  try {
    lock = new DatabaseSync(name, { timeout: 0 });
    lock.exec("BEGIN EXCLUSIVE");
  } catch (thrown) {
    lock?.close();
    if ((thrown as { errcode?: number }).errcode === SQLITE_BUSY) throw inUse(path, thrown);
    return () => {};
  }
  return () => {
    if (!lock.isOpen) return;
    rmSync(name, { force: true });
    lock.close();
  };
}
const SQLITE_BUSY = 5;

const inUse = (path: string, cause: unknown) =>
  new KamadoError("invalid_input", `--out ${path}: another \`kamado map\` is writing this file.`, {
    cause,
    hint: "Nothing in it was changed. Wait until it has ended, or give another file to --out.",
  });

async function writeAll(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; )
    done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
}

/** The lines that are whole. Throws for a file in which others than this command have written. */
async function readLines(
  file: FileHandle,
  path: string,
): Promise<{ earlier: Map<string, Kept>; size: number }> {
  const earlier = new Map<string, Kept>();
  let [start, number, rest] = [0, 0, Buffer.alloc(0)];
  for (;;) {
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(READ_BYTES),
      0,
      READ_BYTES,
      start + rest.length,
    );
    if (bytesRead === 0) break;
    rest = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
    for (let end = rest.indexOf(LINE_END); end >= 0; end = rest.indexOf(LINE_END)) {
      const line = readLine(rest.subarray(0, end));
      number += 1;
      if (!line) throw notOurs(path, `line ${number} is none`);
      earlier.set(line.source, { ...line, start, length: end + 1 });
      start += end + 1;
      rest = rest.subarray(end + 1);
    }
  }
  // Some file systems leave zeros where a power cut came first.
  const tail = rest.toString("latin1", 0, BEGINS.length).replace(/^\0+$/, "");
  if (!BEGINS.startsWith(tail)) throw notOurs(path, "its last line is none");
  return { earlier, size: start };
}

function readLine(bytes: Buffer) {
  try {
    const { index, source, status, inputHash } = JSON.parse(bytes.toString()) as ResultLine;
    const isOne = typeof index === "number" && typeof source === "string" && typeof status === "string";
    return isOne ? { index, source, status, inputHash } : undefined;
  } catch {
    return undefined;
  }
}

const notOurs = (path: string, why: string) =>
  new KamadoError("invalid_input", `--out ${path}: this is no file of results of \`kamado map\`: ${why}.`, {
    hint: "Nothing in it was changed. Give another file to --out.",
  });

function openError(path: string, thrown: unknown): KamadoError {
  const { code } = thrown as NodeJS.ErrnoException;
  if (code === "EEXIST")
    return new KamadoError("invalid_input", `--out ${path}: this file is there already.`, {
      cause: thrown,
      hint: "With --resume what is missing in it is done; or remove it, or give another name.",
    });
  const why =
    code === "ENOENT"
      ? "there is no such folder"
      : code === "EISDIR"
        ? "this is a folder"
        : `it cannot be written (${code})`;
  return new KamadoError("invalid_input", `--out ${path}: ${why}.`, {
    cause: thrown,
    hint: "Give another file to --out.",
  });
}

function writeError(path: string, thrown: unknown): KamadoError {
  if (thrown instanceof KamadoError) return thrown;
  const { code = "" } = thrown as NodeJS.ErrnoException;
  const isFull = ["ENOSPC", "EDQUOT", "EFBIG"].includes(code);
  const words = `${path}: ${isFull ? "there is no space for more" : `it cannot be written (${code})`}.`;
  return new KamadoError(isFull ? "disk_full" : "config_invalid", words, {
    cause: thrown,
    hint: "What is in it is whole. Make room, then run the same command with --resume.",
  });
}
