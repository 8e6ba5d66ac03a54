// Owns the file of the history: opened for this user alone, brought to the current version, set aside when it is damaged. What is in
// its tables is left to history-store.ts. Everything here may block, so it belongs into the thread of the history.
import { chmodSync, closeSync, mkdirSync, openSync, readdirSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ASIDE, checkDatabase, isDamage, setAside } from "../damaged-database.ts";

/** Each brings the tables from the version before it to its own: the first one makes them. Never change one that was released. */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE jobs (
     key INTEGER PRIMARY KEY,
     id TEXT NOT NULL UNIQUE,
     at INTEGER NOT NULL,
     kind TEXT NOT NULL,
     state TEXT NOT NULL,
     tenant TEXT,
     summary TEXT NOT NULL,
     sentAt INTEGER,
     receivedAt INTEGER,
     startedAt INTEGER,
     endedAt INTEGER,
     attempts INTEGER NOT NULL,
     error TEXT,
     isDeadLettered INTEGER NOT NULL,
     model TEXT,
     promptTokens INTEGER NOT NULL,
     completionTokens INTEGER NOT NULL,
     joules REAL,
     runMs REAL,
     replayOf TEXT,
     jobHash TEXT,
     worker TEXT NOT NULL,
     pid INTEGER NOT NULL,
     text TEXT NOT NULL
   ) STRICT;
   CREATE INDEX jobs_at ON jobs (at, key);
   CREATE INDEX jobs_ended ON jobs (endedAt, state, promptTokens, completionTokens, runMs, sentAt, startedAt);
   CREATE INDEX jobs_state ON jobs (state, endedAt, at);
   CREATE INDEX jobs_replay ON jobs (replayOf) WHERE replayOf IS NOT NULL;
   CREATE TABLE bodies (
     key INTEGER PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
     input TEXT, inputNote TEXT, output TEXT, outputNote TEXT, receipt TEXT, deliver TEXT, policy TEXT
   ) STRICT;
   CREATE TABLE marks (
     key INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
     number INTEGER NOT NULL, step TEXT NOT NULL, at INTEGER NOT NULL, attempt INTEGER,
     PRIMARY KEY (key, number)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE deliveries (
     key INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
     number INTEGER NOT NULL, destination TEXT NOT NULL, isDelivered INTEGER NOT NULL, at INTEGER NOT NULL, attempt TEXT NOT NULL,
     PRIMARY KEY (key, number)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX deliveries_to ON deliveries (destination);`,
];
export const VERSION = MIGRATIONS.length;

/** Why the history is not where it should be, for the log. */
export type Remark = { level: "warn" | "info"; text: string };

/** `hasMoved`: the file was removed or exchanged. `isNewer`: a worker of a newer version has changed it. Either has to be opened again. */
export type Opened = { db: DatabaseSync; isOnDisk: boolean; hasMoved(): boolean; isNewer(): boolean };

/**
 * Opens or makes the file; undefined or a file that cannot be had gives a history of this process alone, in memory. Never throws for
 * what is wrong with the file: `remark` hears of it.
 */
export function openDatabase(path: string | undefined, remark: (remark: Remark) => void): Opened {
  if (path === undefined) return inMemory();
  for (const isSecond of [false, true]) {
    try {
      const db = openFile(path);
      const place = placeOf(path);
      const hasMoved = () => placeOf(path) !== place;
      return { db, isOnDisk: true, hasMoved, isNewer: () => versionOf(db) > VERSION };
    } catch (thrown) {
      if (isDamage(thrown) && !isSecond && beginAnew(path, thrown, remark)) continue;
      remark({
        level: "warn",
        text: `${whyNot(path, thrown)}; the history is kept in memory until the worker ends`,
      });
      return inMemory();
    }
  }
  return inMemory();
}

function inMemory(): Opened {
  const db = new DatabaseSync(":memory:");
  migrate(db);
  return { db, isOnDisk: false, hasMoved: () => false, isNewer: () => false };
}

/** SQLite goes on in a file that has no name any more, and nobody would ever read that. */
function placeOf(path: string): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found && `${found.dev}:${found.ino}`;
}

function openFile(path: string): DatabaseSync {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  // Inputs and outputs are nobody else's business. SQLite gives the files beside it the same mode.
  closeSync(openSync(path, "a", 0o600));
  chmodSync(path, 0o600);
  const db = new DatabaseSync(path, { timeout: OPEN_MS });
  try {
    prepare(db);
    return db;
  } catch (thrown) {
    db.close();
    throw thrown;
  }
}

/** How long another process may write; it may bring the file to this version. */
const OPEN_MS = 15_000;
/** Questions wait meanwhile; what is to be written is tried again. */
const BUSY_MS = 100;
const NEWER = "is of a newer version of Kamado";

function prepare(db: DatabaseSync): void {
  if (versionOf(db) > VERSION) throw new Error(NEWER);
  // Before the first table: afterwards it would need the whole file to be written anew.
  if (versionOf(db) === 0) db.exec("PRAGMA auto_vacuum = INCREMENTAL");
  // Where the file system has no shared memory, it stays what it is, and works as well, only slower.
  db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");
  db.exec(`PRAGMA journal_size_limit = ${JOURNAL_BYTES}; PRAGMA cache_size = -2000`);
  checkDatabase(db);
  // To write, it needs a lock that another process may hold.
  if (versionOf(db) < VERSION) migrate(db);
  db.exec(`PRAGMA busy_timeout = ${BUSY_MS}`);
}

const JOURNAL_BYTES = 4 * 1024 * 1024;

const versionOf = (db: DatabaseSync): number =>
  (db.prepare("PRAGMA user_version").get() as { user_version: number }).user_version;

/** Two workers may start at the same time on one folder: the second one waits, and finds it done. */
function migrate(db: DatabaseSync): void {
  db.exec("PRAGMA foreign_keys = ON; BEGIN IMMEDIATE");
  try {
    for (const [index, sql] of MIGRATIONS.entries())
      if (index >= versionOf(db)) db.exec(`${sql}PRAGMA user_version = ${index + 1}`);
    db.exec("COMMIT");
  } catch (thrown) {
    db.exec("ROLLBACK");
    throw thrown;
  }
}

/** Of SQLite: SQLITE_BUSY and SQLITE_LOCKED. Another process is writing. */
export const isBusy = (thrown: unknown): boolean =>
  [5, 6].includes(((thrown as { errcode?: number }).errcode ?? 0) & 0xff);

/** Only the latest damaged file is kept, because it may be large. False when it cannot be moved. */
export function beginAnew(path: string, why: unknown, remark: (remark: Remark) => void): boolean {
  try {
    for (const name of readdirSync(dirname(path)))
      if (name.startsWith(`${basename(path)}${ASIDE}`)) rmSync(join(dirname(path), name), { force: true });
    const aside = path + setAside(path);
    const { message } = why as Error;
    const text = `${path} is damaged (${message}); it was moved to ${aside}, and a new history begins`;
    remark({ level: "warn", text });
    return true;
  } catch {
    return false;
  }
}

function whyNot(path: string, thrown: unknown): string {
  const { message } = thrown as Error;
  return message === NEWER ? `${path} ${NEWER} and is left as it is` : `${path} cannot be used (${message})`;
}
