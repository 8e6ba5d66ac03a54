// The thread of the history: SQLite blocks, and a disk may take its time, so it must not be where jobs run. history.ts starts it. It writes
// the batches that come, answers questions in between, and removes what is too old or too much.
import { parentPort, workerData } from "node:worker_threads";
import { isDamage } from "../damaged-database.ts";
import { KamadoError } from "../errors.ts";
import type { Entry } from "./entries.ts";
import { HistoryStore, type StoreOptions } from "./history-store.ts";
import type { JobRow } from "./job-row.ts";
import { beginAnew, isBusy, type Opened, openDatabase, type Remark } from "./open-database.ts";

/** `path`: undefined keeps the history in memory. */
export type ThreadOptions = StoreOptions & {
  path: string | undefined;
  /** Of its process. A later one must not take the jobs of its own process for interrupted. */
  isFirst: boolean;
};

export type Call = {
  [M in Readable]: { method: M; args: Parameters<HistoryStore[M]> };
}[Readable];
type Readable =
  | "list"
  | "get"
  | "ahead"
  | "usualRunMs"
  | "states"
  | "names"
  | "counts"
  | "stats"
  | "destinations";

export type ToThread =
  | { is: "write"; entries: Entry[] }
  | ({ is: "call"; number: number } & Call)
  | { is: "close"; number: number };

export type FromThread =
  | ({ is: "remark" } & Remark)
  | { is: "opened"; isOnDisk: boolean }
  /** A batch is done; `lost` says how many of its entries could not be written. */
  | { is: "written"; rows: JobRow[]; lost: number }
  | { is: "answer"; number: number; value?: unknown; error?: { code: string; message: string } };

const options = workerData as ThreadOptions;
const PRUNE_MS = 60_000;
/** Of the same trouble, such as a full disk. */
const REMARK_MS = 3_600_000;
/** After another process held the lock. */
const RETRY_MS = 250;
const MEMORY_BYTES = 32 * 1024 * 1024;

const post = (message: FromThread) => parentPort!.postMessage(message);
const remark = ({ level, text }: Remark) => post({ is: "remark", level, text });

/** Batches that are not written yet. There are several only while another process holds the lock of the file. */
const waiting: Entry[][] = [];
let retrying: NodeJS.Timeout | undefined;
/** Jobs that ran when the process before this one ended are marked before anything else is written. */
let hasMarked = !options.isFirst;
let database: Opened;
let store = open();

function open(): HistoryStore {
  database = openDatabase(options.path, remark);
  const { db, isOnDisk } = database;
  post({ is: "opened", isOnDisk });
  return new HistoryStore(
    db,
    isOnDisk ? options : { ...options, maxBytes: Math.min(options.maxBytes, MEMORY_BYTES) },
  );
}

function openAgain(): void {
  store.close();
  store = open();
}

function keepUp(): void {
  if (database.hasMoved()) {
    remark({ level: "warn", text: `${options.path} was removed or exchanged; a new history begins there` });
    openAgain();
  } else if (database.isNewer()) openAgain();
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Runs the work; a file that turns out to be damaged is exchanged, and the work is tried once more. */
function guarded<T>(work: () => T): T {
  try {
    keepUp();
    return work();
  } catch (thrown) {
    if (!isDamage(thrown) || options.path === undefined) throw thrown;
    // Another worker may have set it aside already.
    const hasMoved = database.hasMoved();
    store.close();
    if (!hasMoved) beginAnew(options.path, thrown, remark);
    store = open();
    return work();
  }
}

/** Nothing is lost while another process writes: the batches wait, and how many may wait is bounded where they come from. */
function writeWaiting(): void {
  clearTimeout(retrying);
  retrying = undefined;
  try {
    markInterrupted();
    for (let batch = waiting[0]; batch; batch = waiting[0]) {
      const written = write(batch);
      waiting.shift();
      post({ is: "written", ...written });
    }
  } catch (thrown) {
    if (!isBusy(thrown)) throw thrown;
    say("another process has locked the history; what happens meanwhile is written later");
    retrying = setTimeout(writeWaiting, RETRY_MS);
  }
}

function markInterrupted(): void {
  if (hasMarked) return;
  try {
    guarded(() => store.markInterrupted(isAlive));
  } catch (thrown) {
    if (isBusy(thrown)) throw thrown;
    // Writing says what is wrong.
  }
  hasMarked = true;
}

/** Throws only what may pass by itself. */
function write(entries: Entry[]): { rows: JobRow[]; lost: number } {
  try {
    return { rows: guarded(() => store.apply(entries)), lost: 0 };
  } catch (thrown) {
    if (isBusy(thrown)) throw thrown;
    say(`the history cannot be written (${(thrown as Error).message}); jobs go on without it`);
    return { rows: [], lost: entries.length };
  }
}

const saidAt = new Map<string, number>();

function say(text: string): void {
  if (Date.now() - (saidAt.get(text) ?? 0) <= REMARK_MS) return;
  saidAt.set(text, Date.now());
  remark({ level: "warn", text });
}

function answer({ number, method, args }: Extract<ToThread, { is: "call" }>): void {
  try {
    // Their answers show what was noted before them.
    if (waiting.length > 0) writeWaiting();
    const value = guarded(() => (store[method] as (...all: unknown[]) => unknown)(...args));
    post({ is: "answer", number, value });
  } catch (thrown) {
    const code = thrown instanceof KamadoError ? thrown.code : "history_unavailable";
    post({ is: "answer", number, error: { code, message: (thrown as Error).message } });
  }
}

function prune(): void {
  try {
    guarded(() => store.prune());
  } catch {
    // Writing says what is wrong.
  }
}

function close(number: number): void {
  clearInterval(pruning);
  writeWaiting();
  clearTimeout(retrying);
  const left = waiting.flat().length;
  if (left > 0) remark({ level: "warn", text: `the history is still locked: ${left} entries are lost` });
  store.close();
  post({ is: "answer", number });
  parentPort!.close();
}

parentPort!.on("message", (message: ToThread) => {
  if (message.is === "write") {
    waiting.push(message.entries);
    if (retrying === undefined) writeWaiting();
  } else if (message.is === "call") answer(message);
  else close(message.number);
});
const pruning = setInterval(prune, PRUNE_MS);
writeWaiting();
prune();
