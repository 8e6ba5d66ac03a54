// The folder in which the embedded AWS keeps its database. Owns who may read it, that one process uses it at a time, and that a
// database which was there is still there: jobs that were lost with it must not look like a queue that has nothing to do. What is
// in the database is left to fauxqs.ts.
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { KamadoError } from "../errors.ts";
import { freeBytesOf } from "../free-disk.ts";
import { DATABASE } from "./fauxqs.ts";

export type DataFolder = {
  /** The database holds what it must from now on. Until then a start may find none. */
  created(): void;
  /** Lets another process use the folder. */
  close(): void;
};

/** Held while a process uses the folder, and left behind: where it is, there was a database. */
const LOCK = "lock.db";
/** There until the first start has finished. */
const UNFINISHED = "unfinished";

/** Throws `config_invalid` when another process uses the folder, or when its database is not whole. */
export function openDataFolder(folder: string): DataFolder {
  const [lock, unfinished] = [join(folder, LOCK), join(folder, UNFINISHED)];
  writable(folder, () => {
    makeFolder(folder);
    keepPrivate(folder, 0o700);
    if (!existsSync(lock) && !existsSync(join(folder, DATABASE))) create(unfinished);
    // Also on a file system that has become read-only since.
    else accessSync(folder, constants.W_OK);
  });
  const close = lockFile(lock, folder);
  try {
    if (!existsSync(unfinished)) checkDatabase(folder);
    // SQLite gives the files beside it the database's own mode.
    create(join(folder, DATABASE));
    for (const name of readdirSync(folder)) keepPrivate(join(folder, name), 0o600);
  } catch (error) {
    close();
    throw error;
  }
  return { created: () => rmSync(unfinished, { force: true }), close };
}

/** Node's own `recursive` calls a read-only file system ENOENT, and never ends below a folder that takes no others, such as /proc. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  if (dirname(folder) !== folder) makeFolder(dirname(folder));
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    // Another process may have made it in between.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

/** What the operating system says of a folder, for people. */
const WHY: Record<string, string> = {
  EACCES: "this user may not write there",
  EPERM: "this user may not write there",
  ENOENT: "a folder cannot be made there",
  EROFS: "the file system is read-only",
  ENOTDIR: "a part of its path is a file",
  EEXIST: "it is a file",
  ENOSPC: "the disk is full",
  EDQUOT: "this user's share of the disk is full",
};

function writable(folder: string, prepare: () => void): void {
  try {
    prepare();
  } catch (cause) {
    if (cause instanceof KamadoError) throw cause;
    const { code = "" } = cause as NodeJS.ErrnoException;
    const why = `KAMADO_DATA_DIR: ${folder} cannot be written: ${WHY[code] ?? String((cause as Error).message)} (${code}).`;
    throw new KamadoError("config_invalid", why, { cause, hint: WRITABLE_HINT });
  }
}

const WRITABLE_HINT =
  "Mend that, or set KAMADO_DATA_DIR to a folder that this user may write. Without one: `kamado serve --in-memory`.";

const create = (path: string) => closeSync(openSync(path, "a", 0o600));

/** Set at every start: a backup that was put back, or an older version, may have left the messages readable to everybody. */
function keepPrivate(path: string, mode: number): void {
  try {
    if ((statSync(path).mode & 0o777) !== mode) chmodSync(path, mode);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    // Some file systems have no modes.
    if (code === "ENOTSUP" || code === "ENOSYS") return;
    const why = `${path}: its mode cannot be set (${code}); it must belong to the user who runs Kamado.`;
    throw new KamadoError("config_invalid", why, { cause });
  }
}

/**
 * Keeps a second server off the folder: two would hand out every message twice. The lock is an open SQLite transaction; the
 * operating system releases it when the process ends, however it ends.
 */
function lockFile(path: string, folder: string): () => void {
  let file: DatabaseSync | undefined;
  try {
    file = new DatabaseSync(path, { timeout: 0 });
    file.exec("BEGIN EXCLUSIVE");
  } catch (cause) {
    file?.close();
    throw notLocked(path, folder, cause as Error & { errcode?: number });
  }
  return () => file.isOpen && file.close();
}

/** SQLite's word for a file that somebody else has locked. */
const SQLITE_BUSY = 5;

/** SQLite's word for a disk without space. Nothing is damaged then, and nothing must be put back or deleted. */
const SQLITE_FULL = 13;

/** What it calls a file that cannot be made longer where it shares it between processes, on a full disk too. */
const SQLITE_IOERR = 10;
/** Bytes. That file grows by 32 KiB at a time. */
const LEAST_FREE = 64 * 1_024;

function diskFull(folder: string, cause: unknown): KamadoError | undefined {
  const { errcode = 0, code } = (cause ?? {}) as NodeJS.ErrnoException & { errcode?: number };
  // The rest of an extended code says in which call it failed.
  const isInputOutput = (errcode & 0xff) === SQLITE_IOERR;
  const isFull =
    errcode === SQLITE_FULL ||
    code === "ENOSPC" ||
    (isInputOutput && (freeBytesOf(folder) ?? LEAST_FREE) < LEAST_FREE);
  if (!isFull) return undefined;
  const why = `KAMADO_DATA_DIR: the disk of ${folder}, where the embedded queue is kept, is full. Nothing was lost.`;
  return new KamadoError("disk_full", why, {
    cause,
    hint: "Free some space there and start again, or set KAMADO_DATA_DIR to a folder on another disk.",
  });
}

function notLocked(path: string, folder: string, cause: Error & { errcode?: number }): KamadoError {
  const full = diskFull(folder, cause);
  if (full) return full;
  const isBusy = cause.errcode === SQLITE_BUSY;
  const why = isBusy
    ? `KAMADO_DATA_DIR: another Kamado already keeps its queues in ${folder}.`
    : `${path}: this file keeps a second Kamado off the folder, and it is damaged (${cause.message.slice(0, SHOWN)}).`;
  const hint = isBusy
    ? "Stop the other one, or set KAMADO_DATA_DIR to a folder of its own for this one."
    : "Stop every Kamado that uses the folder and delete this one file; nothing else is in it.";
  return new KamadoError("config_invalid", why, { cause, hint });
}

/** Nothing is written here, so that a damaged database stays as it was found. */
function checkDatabase(folder: string): void {
  const path = join(folder, DATABASE);
  if (!existsSync(path)) throw notWhole(folder, "is gone");
  if (statSync(path).size === 0) throw notWhole(folder, "is empty");
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { readOnly: true });
    const { quick_check: found } = database.prepare("PRAGMA quick_check(1)").get() as { quick_check: string };
    if (found !== "ok") throw notWhole(folder, "is damaged", found);
    const { queues } = database.prepare("SELECT count(*) AS queues FROM sqs_queues").get() as {
      queues: number;
    };
    if (queues === 0) throw notWhole(folder, "holds no queue any more");
  } catch (thrown) {
    throw thrown instanceof KamadoError ? thrown : notWhole(folder, "is damaged", thrown);
  } finally {
    database?.close();
  }
}

/** What SQLite says may be long. */
const SHOWN = 200;

export function notWhole(folder: string, what: string, cause?: unknown): KamadoError {
  const full = diskFull(folder, cause);
  if (full) return full;
  const said = cause === undefined ? "" : ` (${String((cause as Error).message ?? cause).slice(0, SHOWN)})`;
  return new KamadoError(
    "config_invalid",
    `${join(folder, DATABASE)}: the database of the embedded queue ${what}${said}. Nothing was changed. Put it back from a backup, or move the whole folder ${folder} away to begin with an empty queue.`,
    { cause },
  );
}
