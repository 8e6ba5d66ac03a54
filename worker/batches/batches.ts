// The batches of this worker: which of them run, in which folder they are kept, and when old ones are removed. Their HTTP API is in api.ts;
// what one batch does is in batch-run.ts. Batches are known to the worker that got them, in its data folder; their lines run on every
// worker of the queue.
import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import { backoffMs } from "../async/backoff.ts";
import type { Clock } from "../async/clock.ts";
import { KamadoError } from "../errors.ts";
import type { SendJobs } from "../job/send-jobs.ts";
import type { JobEvents } from "../logging/job-events.ts";
import type { Log } from "../logging/log.ts";
import { makeFolder } from "../make-folder.ts";
import type { Bucket } from "../storage/bucket.ts";
import type { Results } from "../storage/results.ts";
import { BatchRun } from "./batch-run.ts";
import { BatchStore } from "./batch-store.ts";
import { BatchFiles } from "./files.ts";
import { lineOf } from "./output-lines.ts";
import { SendWindow } from "./send-window.ts";

export type BatchesOptions = {
  /** Where they are kept. */
  folder: string;
  /** How long files and ended batches are kept. */
  keepDays: number;
  send: Pick<SendJobs, "sendMany" | "cancel">;
  results: Pick<Results, "find">;
  bucket: Pick<Bucket, "list">;
  jobEvents: JobEvents;
  /** Whether the queue is a FIFO one. */
  isFifo: boolean;
  clock: Clock;
  log: Log;
};

/** Each has files open. */
const RUNS_AT_ONCE = 16;
const OPEN_AGAIN_MS = 10_000;
const CLEAN_MS = 3_600_000;
const AGAIN = { baseMs: 1_000, maxMs: 60_000 };
const DAY_SECONDS = 86_400;

type Opened = { store: BatchStore; files: BatchFiles };

export class Batches {
  readonly #options: BatchesOptions;
  readonly #window: SendWindow;
  readonly #runs = new Map<string, { run: BatchRun; ended: Promise<void> }>();
  readonly #stopping = new AbortController();
  #opened: Opened | undefined;
  #whyClosed: unknown;
  #working: Promise<void> | undefined;
  #unsubscribe = () => {};

  constructor(options: BatchesOptions) {
    this.#options = options;
    this.#window = new SendWindow(() => options.clock.now());
  }

  get keepSeconds(): number {
    return this.#options.keepDays * DAY_SECONDS;
  }

  /** Unix seconds. */
  now(): number {
    return Math.floor(this.#options.clock.wall() / 1_000);
  }

  /** Throws `storage_unavailable` while the folder cannot be used. */
  get opened(): Opened {
    if (this.#opened) return this.#opened;
    const why = (this.#whyClosed as Error | undefined)?.message ?? "it is not open yet";
    throw new KamadoError("storage_unavailable", `Batches cannot be used: ${this.#options.folder}: ${why}.`, {
      hint: "Another worker may use the same KAMADO_DATA_DIR, or the folder cannot be written.",
    });
  }

  /** Goes on with the batches that have not ended. Waits for nothing, and never throws: jobs run without batches too. */
  start(): void {
    this.#working ??= this.#work();
  }

  /** Gives up nothing: what is on the queue stays there, and the next start goes on with it. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const { run } of this.#runs.values()) run.stop();
    await this.#working;
  }

  /** A batch has come to the store. */
  created(): void {
    this.#startRuns();
  }

  /** A batch is to be cancelled, as the store says. */
  changed(id: string): void {
    this.#startRun(id);
    this.#runs.get(id)?.run.changed();
  }

  async #work(): Promise<void> {
    const { signal } = this.#stopping;
    const { clock, jobEvents } = this.#options;
    while (!signal.aborted && !this.#opened) {
      this.#opened = this.#open();
      if (!this.#opened) await clock.sleep(OPEN_AGAIN_MS, signal);
    }
    if (!this.#opened) return;
    this.#unsubscribe = jobEvents.subscribe((event, facts) => {
      const line = event.stage === "ended" ? lineOf(event.job) : null;
      if (line && event.stage === "ended")
        this.#runs.get(line.batch)?.run.jobEnded(line.number, event, facts);
    });
    while (!signal.aborted) {
      this.#startRuns();
      await this.#clean();
      await clock.sleep(CLEAN_MS, signal);
    }
    this.#unsubscribe();
    await Promise.all([...this.#runs.values()].map(({ ended }) => ended));
    const { store } = this.#opened;
    this.#opened = undefined;
    store.close();
  }

  #open(): Opened | undefined {
    const { folder, log } = this.#options;
    const names = { list: join(folder, "batches.sqlite"), files: join(folder, "files") };
    let store: BatchStore | undefined;
    try {
      makeFolder(folder, 0o700);
      store = BatchStore.open(names.list, (end) => {
        // Nothing names them any more, but they are somebody's.
        if (existsSync(names.files)) renameSync(names.files, names.files + end);
        log.error(
          { stage: "batch" },
          `${names.list} was damaged: it is now ${names.list}${end}, and a new list begins`,
        );
      });
      const files = new BatchFiles(names.files);
      files.keepOnly(store.namesOnDisk());
      return { store, files };
    } catch (thrown) {
      store?.close();
      const why = (thrown as Error).message;
      if (why !== (this.#whyClosed as Error | undefined)?.message)
        log.warn({ stage: "batch", err: thrown }, `batches cannot be used: ${folder}: ${why}; tried again`);
      this.#whyClosed = thrown;
      return undefined;
    }
  }

  /** The oldest first. Never throws: what a failing disk keeps from starting now is started later. */
  #startRuns(): void {
    try {
      for (const { id } of this.opened.store.unfinished()) {
        if (this.#runs.size >= RUNS_AT_ONCE) return;
        this.#startRun(id);
      }
    } catch (thrown) {
      this.#options.log.error({ stage: "batch", err: thrown }, "batches could not be started");
    }
  }

  #startRun(id: string): void {
    if (this.#runs.has(id) || this.#stopping.signal.aborted) return;
    const ended = Promise.withResolvers<void>();
    this.#runs.set(id, { run: this.#newRun(id), ended: ended.promise });
    void this.#keepRunning(id).then(() => {
      this.#runs.delete(id);
      if (!this.#stopping.signal.aborted) this.#startRuns();
      ended.resolve();
    });
  }

  #newRun(id: string): BatchRun {
    const { send, results, bucket, isFifo, clock, log } = this.#options;
    return new BatchRun(id, {
      ...this.opened,
      ...{ send, results, bucket, isFifo, clock, log },
      room: () => Math.max(1, Math.floor(this.#window.size / this.#runs.size)),
      ended: (lines) => this.#window.ended(lines),
    });
  }

  /** A disk that is full, or whatever else goes wrong, does not end a batch. */
  async #keepRunning(id: string): Promise<void> {
    const { clock, log } = this.#options;
    for (let tries = 1; !this.#stopping.signal.aborted; tries++) {
      try {
        return await this.#runs.get(id)!.run.run();
      } catch (thrown) {
        log.error({ stage: "batch", batch: id, err: thrown }, `${id} stopped: ${(thrown as Error).message}`);
        await clock.sleep(backoffMs(tries, AGAIN), this.#stopping.signal);
        this.#runs.get(id)!.run = this.#newRun(id);
      }
    }
  }

  async #clean(): Promise<void> {
    const { store, files } = this.opened;
    try {
      for (const { id } of store.expiredFiles(this.now())) {
        store.removeFile(id);
        await files.remove(id);
      }
      store.forgetBatches(this.now() - this.keepSeconds);
    } catch (thrown) {
      this.#options.log.warn({ stage: "batch", err: thrown }, "old files could not be removed");
    }
  }
}
