// The thread of the history: SQLite blocks, and a disk may take its time, so it must not be where jobs run. history.ts starts it. It writes
// the batches that come, answers questions in between, and removes what is too old or too much.
import { parentPort, workerData } from "node:worker_threads";
import { isDamage } from "../damaged-database.ts";
import { KamadoError } from "../errors.ts";
import type { Entry } from "./entries.ts";
import { HistoryStore, type StoreOptions } from "./history-store.ts";
import type { JobRow } from "./job-row.ts";
import { beginAnew, openDatabase, type Remark } from "./open-database.ts";

/** `path`: undefined keeps the history in memory. */
export type ThreadOptions = StoreOptions & { path: string | undefined };

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
  /** A batch is done; `lost` says how many of its entries could not be written. */
  | { is: "written"; rows: JobRow[]; lost: number }
  | { is: "answer"; number: number; value?: unknown; error?: { code: string; message: string } };

const options = workerData as ThreadOptions;
const PRUNE_MS = 60_000;
/** Of the same trouble, such as a full disk. */
const REMARK_MS = 3_600_000;
const MEMORY_BYTES = 32 * 1024 * 1024;

const post = (message: FromThread) => parentPort!.postMessage(message);
const remark = ({ level, text }: Remark) => post({ is: "remark", level, text });

let store = open();

function open(): HistoryStore {
  const { db, isOnDisk } = openDatabase(options.path, remark);
  const opened = new HistoryStore(
    db,
    isOnDisk ? options : { ...options, maxBytes: Math.min(options.maxBytes, MEMORY_BYTES) },
  );
  opened.markInterrupted(isAlive);
  return opened;
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
    return work();
  } catch (thrown) {
    if (!isDamage(thrown) || options.path === undefined) throw thrown;
    store.close();
    beginAnew(options.path, thrown, remark);
    store = open();
    return work();
  }
}

const saidAt = new Map<string, number>();

function write(entries: Entry[]): void {
  try {
    post({ is: "written", rows: guarded(() => store.apply(entries)), lost: 0 });
  } catch (thrown) {
    const { message } = thrown as Error;
    if (Date.now() - (saidAt.get(message) ?? 0) > REMARK_MS) {
      saidAt.set(message, Date.now());
      remark({ level: "warn", text: `the history cannot be written (${message}); jobs go on without it` });
    }
    post({ is: "written", rows: [], lost: entries.length });
  }
}

function answer({ number, method, args }: Extract<ToThread, { is: "call" }>): void {
  try {
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
  store.close();
  post({ is: "answer", number });
  parentPort!.close();
}

parentPort!.on("message", (message: ToThread) => {
  if (message.is === "write") write(message.entries);
  else if (message.is === "call") answer(message);
  else close(message.number);
});
const pruning = setInterval(prune, PRUNE_MS);
prune();
