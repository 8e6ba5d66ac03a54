// The history of jobs, on disk under the data folder. Owns the way there: events become entries, which wait in a bounded queue and go to a
// thread in batches, so that the history never slows or stops a job; what does not fit is dropped and counted. Questions go the same way,
// and see everything that was noted before them. What is stored is left to history-store.ts.
import { once } from "node:events";
import { getCompileCacheDir } from "node:module";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { type ErrorCode, KamadoError } from "../errors.ts";
import type { Job } from "../job/envelope.ts";
import type { Result } from "../job/result.ts";
import type { Listener } from "../logging/job-events.ts";
import type { Log } from "../logging/log.ts";
import { type Entry, endedElsewhere, entryOf, keptJob } from "./entries.ts";
import type { Call, FromThread, ThreadOptions, ToThread } from "./history-thread.ts";
import type { Counts, JobFilter, JobRow, Page, Stats, StoredJob } from "./job-row.ts";

export type HistoryOptions = {
  /** The data folder. */
  folder: string;
  worker: string;
  /** With 0 nothing is written to disk: the history is that of this process. */
  days: number;
  megabytes: number;
  log: Log;
  /** After so long without anything to do the thread ends, until there is something again. [30 s] */
  restMs?: number;
};

export type Changes = { rows: JobRow[] } | { missed: number };

export type History = {
  /** Of job events. */
  listener: Listener;
  /** A job that this worker sent, which the queue has. */
  sent(job: Job, how: { jobHash: string; group?: string | undefined; replayOf?: string | undefined }): void;
  redriven(id: string): void;
  /** A result that another worker stored. */
  endedElsewhere(result: Result): void;
  /** How many entries were dropped since the start. */
  readonly dropped: number;
  /** Whether its thread runs. */
  readonly isAwake: boolean;
  /** Calls the listener with the rows that changed, at most ten times a second. The function returned ends it. */
  subscribe(listener: (changes: Changes) => void): () => void;
  list(filter: JobFilter, page: { cursor?: string | undefined; limit: number }): Promise<Page<JobRow>>;
  get(id: string): Promise<StoredJob | null>;
  /** How many known jobs wait before and behind this one; null for a job that is not known. */
  ahead(id: string): Promise<{ before: number; behind: number } | null>;
  usualRunMs(): Promise<number | null>;
  states(): Promise<Record<string, number>>;
  names(): Promise<{ kinds: string[]; tenants: string[] }>;
  counts(of: { since: number; stepMs: number; steps: number }): Promise<Counts>;
  stats(since: number): Promise<Stats>;
  destinations(): Promise<{ key: string; to: string; delivered: number; failed: number; lastAt: number }[]>;
  /** Resolves when everything noted so far is written. */
  close(): Promise<void>;
};

const FILE = "history.db";
const BATCH_MS = 100;
/** Entries that are noted and not written yet; and roughly their characters. */
const MAX_WAITING = 20_000;
const MAX_CHARACTERS = 8 * 1024 * 1024;
/** A disk that hangs must not keep a page waiting for ever. */
const PATIENCE_MS = 10_000;
const CLOSE_MS = 3_000;
/** A thread takes 10 MB, and most workers have nothing to write most of the time. */
const REST_MS = 30_000;
/** A thread that starts removes what is too old. */
const WAKE_MS = 3_600_000;
/** After the thread ended by itself. */
const RESTART_MS = 5_000;
/** A batch of long inputs takes some of it. */
const MAX_MEMORY_MB = 64;
const DAY_MS = 24 * 3_600_000;

export function openHistory(options: HistoryOptions): History {
  return new HistoryThread(options);
}

type Waiting = { resolve(value: never): void; reject(error: KamadoError): void; timer: NodeJS.Timeout };

class HistoryThread implements History {
  readonly #options: HistoryOptions;
  readonly #listeners = new Set<(changes: Changes) => void>();
  readonly #questions = new Map<number, Waiting>();
  #thread: Worker | null = null;
  /** It ended by itself, and is started again in a while. */
  #isBroken = false;
  #hasStarted = false;
  /** What is in memory alone ends with its thread. */
  #isOnDisk = false;
  #resting: NodeJS.Timeout | undefined;
  #ending: Promise<unknown> | undefined;
  readonly #waking: NodeJS.Timeout;
  #batch: Entry[] = [];
  #batchCharacters = 0;
  /** Of the batches that the thread has not written yet: entries and characters. */
  #sentBatches: { entries: number; characters: number }[] = [];
  #timer: NodeJS.Timeout | undefined;
  #number = 0;
  #closed: Promise<void> | undefined;
  dropped = 0;

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.#waking = setInterval(() => this.#wake(), WAKE_MS).unref();
  }

  get isAwake(): boolean {
    return this.#thread !== null;
  }

  readonly listener: Listener = (event, facts) => {
    const entry = entryOf(event, facts);
    if (entry) this.#note(entry);
  };

  sent(job: Job, { jobHash, replayOf = undefined }: Parameters<History["sent"]>[1]): void {
    const entry = { is: "sent", at: Date.now(), id: job.id, job: keptJob(job), jobHash } as const;
    this.#note({ ...entry, replayOf: replayOf ?? null });
  }

  redriven(id: string): void {
    this.#note({ is: "redriven", at: Date.now(), id });
  }

  endedElsewhere(result: Result): void {
    this.#note(endedElsewhere(result));
  }

  subscribe(listener: (changes: Changes) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  list = (...args: Parameters<History["list"]>) => this.#ask<Page<JobRow>>({ method: "list", args });
  get = (id: string) => this.#ask<StoredJob | null>({ method: "get", args: [id] });
  ahead = (id: string) =>
    this.#ask<{ before: number; behind: number } | null>({ method: "ahead", args: [id] });
  usualRunMs = () => this.#ask<number | null>({ method: "usualRunMs", args: [] });
  states = () => this.#ask<Record<string, number>>({ method: "states", args: [] });
  names = () => this.#ask<{ kinds: string[]; tenants: string[] }>({ method: "names", args: [] });
  counts = (of: Parameters<History["counts"]>[0]) => this.#ask<Counts>({ method: "counts", args: [of] });
  stats = (since: number) => this.#ask<Stats>({ method: "stats", args: [since] });
  destinations = () => this.#ask<never>({ method: "destinations", args: [] });

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  #note(entry: Entry): void {
    const characters = sizeOf(entry);
    const waiting = this.#sentBatches.reduce((sum, one) => sum + one.entries, this.#batch.length);
    const held = this.#sentBatches.reduce((sum, one) => sum + one.characters, this.#batchCharacters);
    if (this.#closed || waiting >= MAX_WAITING || held + characters > MAX_CHARACTERS) {
      this.#drop(1);
      return;
    }
    this.#batch.push(entry);
    this.#batchCharacters += characters;
    this.#timer ??= setTimeout(() => this.#flush(), BATCH_MS).unref();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const entries = this.#batch;
    if (entries.length === 0 || !this.#wake()) return;
    this.#sentBatches.push({ entries: entries.length, characters: this.#batchCharacters });
    [this.#batch, this.#batchCharacters] = [[], 0];
    this.#post({ is: "write", entries });
  }

  #drop(count: number): void {
    if (this.dropped === 0)
      this.#options.log.warn(
        { stage: "history" },
        "the history cannot keep up; what it leaves out is counted",
      );
    this.dropped += count;
    this.#tell({ missed: count });
  }

  #tell(changes: Changes): void {
    for (const listener of this.#listeners) listener(changes);
  }

  #ask<T>(call: Call): Promise<T> {
    if (this.#closed || !this.#wake()) return Promise.reject(unavailable("it is not open"));
    this.#flush();
    return this.#question<T>((number) => ({ is: "call", number, ...call }), PATIENCE_MS);
  }

  #question<T>(message: (number: number) => ToThread, patienceMs: number): Promise<T> {
    const number = ++this.#number;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const timer = setTimeout(() => {
      this.#questions.delete(number);
      reject(unavailable("it does not answer"));
    }, patienceMs).unref();
    this.#questions.set(number, { resolve: resolve as Waiting["resolve"], reject, timer });
    // Whoever waits for an answer needs the process.
    this.#thread?.ref();
    this.#post(message(number));
    return promise;
  }

  #post(message: ToThread): void {
    this.#thread?.postMessage(message);
  }

  /** False while it cannot be had. */
  #wake(): boolean {
    if (this.#isBroken) return false;
    this.#thread ??= this.#start();
    this.#restLater();
    return true;
  }

  #restLater(): void {
    clearTimeout(this.#resting);
    this.#resting = setTimeout(() => this.#rest(), this.#options.restMs ?? REST_MS).unref();
  }

  #rest(): void {
    const thread = this.#thread;
    if (!thread || this.#closed) return;
    const left = this.#questions.size + this.#sentBatches.length + this.#batch.length;
    if (left > 0 || !this.#isOnDisk) {
      this.#restLater();
      return;
    }
    this.#thread = null;
    this.#ending = once(thread, "exit");
    thread.postMessage({ is: "close", number: 0 } satisfies ToThread);
  }

  #start(): Worker {
    const { folder, worker, days, megabytes } = this.#options;
    const workerData: ThreadOptions = {
      path: days === 0 ? undefined : join(folder, FILE),
      worker,
      pid: process.pid,
      isFirst: !this.#hasStarted,
      maxAgeMs: Math.max(days, 1) * DAY_MS,
      maxBytes: megabytes * 1024 * 1024,
    };
    const thread = new Worker(new URL("./history-thread.mjs", import.meta.url), {
      workerData: { ...workerData, compileCache: getCompileCacheDir() },
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: MAX_MEMORY_MB },
    });
    thread.on("message", (message: FromThread) => this.#onMessage(message));
    thread.on("error", ({ message }) => {
      this.#options.log.error(
        { stage: "history" },
        `the history's thread ended: ${message}; it starts again`,
      );
    });
    thread.on("exit", () => {
      if (thread === this.#thread) this.#onExit();
    });
    thread.unref();
    this.#hasStarted = true;
    return thread;
  }

  #onMessage(message: FromThread): void {
    if (message.is === "remark") this.#options.log[message.level]({ stage: "history" }, message.text);
    else if (message.is === "opened") this.#isOnDisk = message.isOnDisk;
    else if (message.is === "written") this.#onWritten(message);
    else this.#onAnswer(message);
  }

  #onWritten({ rows, lost }: Extract<FromThread, { is: "written" }>): void {
    this.#sentBatches.shift();
    if (lost > 0) this.#drop(lost);
    if (rows.length > 0) this.#tell({ rows });
  }

  #onAnswer({ number, value, error }: Extract<FromThread, { is: "answer" }>): void {
    const waiting = this.#questions.get(number);
    this.#forget(number);
    if (error) waiting?.reject(new KamadoError(error.code as ErrorCode, error.message));
    else waiting?.resolve(value as never);
  }

  #forget(number: number): void {
    clearTimeout(this.#questions.get(number)?.timer);
    this.#questions.delete(number);
    if (this.#questions.size === 0) this.#thread?.unref();
  }

  #onExit(): void {
    this.#thread = null;
    for (const [number, { reject }] of this.#questions) {
      this.#forget(number);
      reject(unavailable("its thread ended"));
    }
    const lost = this.#sentBatches.reduce((sum, { entries }) => sum + entries, 0);
    this.#sentBatches = [];
    if (this.#closed) return;
    if (lost > 0) this.#drop(lost);
    this.#isBroken = true;
    setTimeout(() => {
      this.#isBroken = false;
      this.#flush();
    }, RESTART_MS).unref();
  }

  async #close(): Promise<void> {
    clearInterval(this.#waking);
    clearTimeout(this.#resting);
    this.#flush();
    await this.#ending;
    const thread = this.#thread;
    if (!thread) return;
    await this.#question((number) => ({ is: "close", number }), CLOSE_MS).catch(() => {});
    await thread.terminate();
  }
}

const unavailable = (why: string) =>
  new KamadoError("history_unavailable", `The history cannot be read: ${why}.`);

/** Roughly. */
function sizeOf(entry: Entry): number {
  const job = "job" in entry && entry.job ? entry.job : null;
  const result = entry.is === "ended" ? entry.result : null;
  return (
    500 + (job?.input.json?.length ?? 0) + (job?.excerpt.length ?? 0) + (result?.output.json?.length ?? 0)
  );
}
