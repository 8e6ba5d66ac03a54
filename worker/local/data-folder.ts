// The folder in which the embedded AWS keeps its database. Owns who may read it, that one process uses it at a time, and that a
// database which was there is still there: jobs that were lost with it must not look like a queue that has nothing to do. What is
// in the database is left to fauxqs.ts.
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { KamadoError } from "../errors.ts";
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
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  keepPrivate(folder, 0o700);
  const [lock, unfinished] = [join(folder, LOCK), join(folder, UNFINISHED)];
  if (!existsSync(lock) && !existsSync(join(folder, DATABASE))) create(unfinished);
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
  const file = new DatabaseSync(path, { timeout: 0 });
  try {
    file.exec("BEGIN EXCLUSIVE");
  } catch (cause) {
    file.close();
    const why = `${folder}: another Kamado already keeps its queues in this folder.`;
    throw new KamadoError("config_invalid", why, { cause });
  }
  return () => file.isOpen && file.close();
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
  const said = cause === undefined ? "" : ` (${String((cause as Error).message ?? cause).slice(0, SHOWN)})`;
  return new KamadoError(
    "config_invalid",
    `${join(folder, DATABASE)}: the database of the embedded queue ${what}${said}. Nothing was changed. Put it back from a backup, or move the whole folder ${folder} away to begin with an empty queue.`,
    { cause },
  );
}
