// The life of one batch, from its validation to its end. It puts lines on the queue as ordinary jobs, a bounded number at a time, and
// writes their results into the batch's files. The results are in the bucket, whichever worker ran the job, so that a kill at any moment
// loses none: what was on the queue is looked up there, and the rest is sent again under the same ids. What is kept of a batch is in
// batch-store.ts; which batches run is in batches.ts.
import { type FileHandle, open } from "node:fs/promises";
import { backoffMs } from "../async/backoff.ts";
import type { Clock } from "../async/clock.ts";
import { Semaphore } from "../async/semaphore.ts";
import { type KamadoError, toKamadoError } from "../errors.ts";
import { resultKey } from "../job/result.ts";
import type { NewJob, SendJobs } from "../job/send-jobs.ts";
import type { EventFacts, JobEvent } from "../logging/job-events.ts";
import type { Log } from "../logging/log.ts";
import type { Bucket } from "../storage/bucket.ts";
import type { Results } from "../storage/results.ts";
import {
  type Batch,
  type BatchStatus,
  type BatchStore,
  type BatchTime,
  type Line,
  TOKENS,
  type Tokens,
} from "./batch-store.ts";
import type { BatchFiles } from "./files.ts";
import { type Request, readRequest } from "./input-lines.ts";
import {
  jobIdOf,
  type LineEnd,
  outputLine,
  ResultFiles,
  resultPrefixes,
  tokensOf,
  unfinished,
} from "./output-lines.ts";
import { validate } from "./validate.ts";

export type RunDependencies = {
  store: BatchStore;
  files: BatchFiles;
  send: Pick<SendJobs, "sendMany" | "cancel">;
  results: Pick<Results, "find">;
  bucket: Pick<Bucket, "list">;
  /** How many lines of this batch may be on the queue. */
  room(): number;
  /** So many lines have ended. */
  ended(lines: number): void;
  /** Lines of a batch share a group, so that others get their turn. A FIFO queue would run them one after the other. */
  isFifo: boolean;
  clock: Clock;
  log: Log;
};

/** Below the 5 of jobs that say nothing. */
const PRIORITY = 2;
const KIND = "openai.request";
/** Lines, and bytes of them, that are read from the input file and sent in one go. */
const SENT_AT_ONCE = 50;
/** As many as one call to SQS takes; for fewer it is not worth one while others are on the queue. */
const CALL = 10;
const SENT_BYTES = 4 * 1024 * 1024;
/** Results that are held in memory. The others are read again. */
const HELD = 64;
/** Results that come within so short a time are written together. */
const GATHER_MS = 25;
/** Results of other workers are looked for in the bucket: soon after some were found, else less and less often. */
const LOOK_MS = { least: 2_000, most: 30_000 };
/** What runs when a batch is cancelled or expires may still end. */
const GRACE_MS = 30_000;
const SEND_BACKOFF = { baseMs: 500, maxMs: 30_000 };
const CANCELS_AT_ONCE = 16;
/** Lines that end without a run are written so many at a time. */
const STEP = 500;

export class BatchRun {
  readonly #id: string;
  readonly #dependencies: RunDependencies;
  /** Lines on the queue or running, as far as this run knows. */
  readonly #inFlight = new Set<number>();
  /** Lines whose job has ended; undefined where the result is to be read. */
  readonly #ready = new Map<number, LineEnd | undefined>();
  /** Every open line up to here was sent. */
  #cursor = 0;
  #sendTries = 0;
  #notBefore = 0;
  #lookAt: number;
  #lookMs = LOOK_MS.least;
  #isStopping = false;
  #wakeUp = () => {};
  #input: FileHandle | undefined;

  constructor(id: string, dependencies: RunDependencies) {
    this.#id = id;
    this.#dependencies = dependencies;
    this.#lookAt = dependencies.clock.now() + this.#lookMs;
  }

  /** Resolves when the batch has ended or was stopped. Throws what its files and the store throw; then another run may go on. */
  async run(): Promise<void> {
    const { store, files } = this.#dependencies;
    if (this.#batch.status === "validating") await this.#validate();
    if (this.#isOver()) return;
    const { output_file: output, error_file: error } = this.#batch;
    try {
      await using results = await ResultFiles.open(
        { output: files.pathOf(output), error: files.pathOf(error) },
        this.#batch,
      );
      await this.#lookFor(store.open(this.#id, { upTo: this.#batch.sent_up_to }).map(numberOf));
      while (!this.#isOver()) await this.#step(results);
    } finally {
      await this.#input?.close();
    }
  }

  stop(): void {
    this.#isStopping = true;
    this.#wakeUp();
  }

  /** The batch has been changed in the store: it is to be cancelled. */
  changed(): void {
    this.#wakeUp();
  }

  /** The job of a line has ended in this worker. Quick, and throws nothing. */
  jobEnded(number: number, event: Extract<JobEvent, { stage: "ended" }>, { result }: EventFacts): void {
    const isDone = event.ending === "delete" || event.ending === "dead-lettered";
    // Another job cannot have this id; the same line in another form can, and its result is in the bucket.
    if (!isDone || !this.#inFlight.has(number) || event.error === "duplicate_id") return;
    const lost = { code: event.error ?? "attempts_exhausted", message: "The job was dead-lettered." };
    const end =
      result ?? (event.ending === "delete" ? undefined : { status: "failed" as const, error: lost });
    this.#ready.set(number, this.#ready.size < HELD ? end : undefined);
    this.#wakeUp();
  }

  get #batch(): Batch {
    return this.#dependencies.store.batch(this.#id)!;
  }

  #isOver(): boolean {
    const { status } = this.#batch;
    return this.#isStopping || !["in_progress", "finalizing", "cancelling"].includes(status);
  }

  async #validate(): Promise<void> {
    const { store, files } = this.#dependencies;
    const batch = this.#batch;
    const stopped = new AbortController();
    this.#wakeUp = () => {
      if (this.#isStopping || this.#batch.status !== "validating") stopped.abort();
    };
    const found = await validate(store, batch, files.pathOf(batch.input_file), stopped.signal).catch(
      (thrown: unknown) => {
        if (stopped.signal.aborted) return null;
        throw thrown;
      },
    );
    if (found === null || this.#batch.status !== "validating") return;
    const { errors, total, model } = found;
    if (errors.length === 0) return this.#enter("in_progress", "in_progress_at", { total, model });
    store.removeLines(this.#id);
    this.#enter("failed", "failed_at", { errors: JSON.stringify(errors) });
  }

  #enter(status: BatchStatus, time: BatchTime, more: Partial<Batch> = {}): void {
    const { store, clock, log } = this.#dependencies;
    store.change(this.#id, { status, [time]: seconds(clock), ...more });
    log.info({ stage: "batch", batch: this.#id, status }, `${this.#id} is ${status}`);
  }

  async #step(files: ResultFiles): Promise<void> {
    const { clock } = this.#dependencies;
    await this.#collect(files);
    const { status, expires_at } = this.#batch;
    const left = expires_at * 1_000 - clock.wall();
    if (status === "cancelling") return this.#cut(files, "cancelled");
    if (left <= 0) return this.#cut(files, "expired");
    const isAllSent = await this.#send();
    if (isAllSent && this.#inFlight.size === 0) return this.#finish(files, "completed");
    if (clock.now() >= this.#lookAt) await this.#lookFor(this.#inFlight);
    await this.#wait(Math.min(left, this.#lookAt - clock.now(), isAllSent ? Infinity : this.#pause()));
  }

  /** How long nothing may be sent; for ever while the window is full, because an end opens it. */
  #pause(): number {
    const ms = this.#notBefore - this.#dependencies.clock.now();
    return ms > 0 ? ms : Number.POSITIVE_INFINITY;
  }

  async #wait(ms: number): Promise<void> {
    const { clock } = this.#dependencies;
    const woken = new AbortController();
    this.#wakeUp = () => woken.abort();
    if (this.#isStopping || this.#batch.status === "cancelling") return;
    if (this.#ready.size === 0) await clock.sleep(Math.max(1, ms), woken.signal);
    if (this.#ready.size > 0 && !this.#isStopping) await clock.sleep(GATHER_MS);
  }

  /** Puts lines on the queue while there is room. Whether all of them were sent. */
  async #send(): Promise<boolean> {
    const { store, room, clock } = this.#dependencies;
    for (;;) {
      const size = room();
      const left = size - this.#inFlight.size;
      const most = left < Math.min(CALL, size / 4) ? 0 : Math.min(SENT_AT_ONCE, left);
      const lines = store.open(this.#id, { after: this.#cursor, limit: Math.max(1, most) });
      if (lines.length === 0) return true;
      if (most <= 0 || this.#isStopping || this.#notBefore > clock.now()) return false;
      const now = withinBytes(lines);
      this.#cursor = now.at(-1)!.number;
      await this.#sendLines(now.filter(({ number }) => !this.#inFlight.has(number)));
    }
  }

  async #sendLines(lines: readonly Line[]): Promise<void> {
    if (lines.length === 0) return;
    const { store, send, clock } = this.#dependencies;
    const batch = this.#batch;
    const jobs: NewJob[] = [];
    for (const line of lines) jobs.push(await this.#jobOf(batch, line));
    store.change(this.#id, { sent_up_to: Math.max(batch.sent_up_to, this.#cursor) });
    for (const { number } of lines) this.#inFlight.add(number);
    const outcomes = await send.sendMany(jobs).catch((thrown: unknown) => {
      const error = toKamadoError(thrown, "queue_unavailable");
      return jobs.map(({ id }) => ({ ok: false as const, id, error }));
    });
    const again: number[] = [];
    for (const [index, outcome] of outcomes.entries()) {
      const { number } = lines[index]!;
      if (outcome.ok) continue;
      if (outcome.error.retry) again.push(number);
      else this.#ready.set(number, { status: "failed", error: shown(outcome.error) });
      if (outcome.error.retry)
        this.#dependencies.log.warn(aboutOf(batch, outcome.error), outcome.error.message);
    }
    this.#sendTries = again.length > 0 ? this.#sendTries + 1 : 0;
    if (again.length === 0) return;
    for (const number of again) this.#inFlight.delete(number);
    this.#cursor = Math.min(...again) - 1;
    this.#notBefore = clock.now() + backoffMs(this.#sendTries, SEND_BACKOFF);
  }

  /** The same for the same line at any time: it must be the same job. */
  async #jobOf(batch: Batch, line: Line): Promise<NewJob> {
    this.#input ??= await open(this.#dependencies.files.pathOf(batch.input_file));
    const bytes = Buffer.alloc(line.length);
    await this.#input.read(bytes, 0, line.length, line.start);
    const { body } = readRequest(bytes, batch.endpoint) as Request;
    return {
      id: jobIdOf(batch.id, line.number),
      kind: KIND,
      input: { url: batch.endpoint, body },
      policy: { priority: PRIORITY, expiresAt: new Date(batch.expires_at * 1_000).toISOString() },
      ...(!this.#dependencies.isFifo && { group: batch.id }),
    };
  }

  /** Writes the results that are there. A line that has its result already is left alone, so that each is written once. */
  async #collect(files: ResultFiles): Promise<void> {
    const { store, ended } = this.#dependencies;
    while (this.#ready.size > 0) {
      const ends = await this.#readyEnds();
      if (ends.length === 0) return;
      const lines = ends.flatMap(([number, end]) => {
        const line = store.openLine(this.#id, number);
        return line ? [{ line, end }] : [];
      });
      await this.#settle(files, lines);
      for (const [number] of ends) {
        this.#ready.delete(number);
        this.#inFlight.delete(number);
      }
      ended(lines.length);
    }
  }

  /** Writes the lines to the files first: they count when the store has them. */
  async #settle(files: ResultFiles, ends: readonly { line: Line; end: LineEnd }[]): Promise<void> {
    const counts = { ...this.#batch };
    for (const { line, end } of ends) {
      files.add(outputLine(this.#id, line, end));
      counts[end.status === "succeeded" ? "completed" : "failed"] += 1;
      const tokens = tokensOf(end);
      for (const name of TOKENS) counts[name] += tokens[name];
    }
    const lengths = await files.flush();
    const { completed, failed } = counts;
    const tokens = Object.fromEntries(TOKENS.map((name) => [name, counts[name]])) as Tokens;
    const numbers = ends.map(({ line }) => line.number);
    this.#dependencies.store.settle(this.#id, numbers, { ...lengths, ...tokens, completed, failed });
  }

  /** The first results, read where they have to be. Those that cannot be read now are looked for later. */
  async #readyEnds(): Promise<[number, LineEnd][]> {
    const first = [...this.#ready].slice(0, HELD);
    const ends = await Promise.all(
      first.map(async ([number, given]): Promise<[number, LineEnd] | null> => {
        try {
          const end = given ?? (await this.#dependencies.results.find(jobIdOf(this.#id, number)));
          if (end) return [number, end];
          // It is damaged, or somebody removed it: the job runs again.
          this.#inFlight.delete(number);
          this.#cursor = Math.min(this.#cursor, number - 1);
        } catch (thrown) {
          const error = toKamadoError(thrown, "storage_unavailable");
          this.#dependencies.log.warn(aboutOf(this.#batch, error), error.message);
        }
        this.#ready.delete(number);
        return null;
      }),
    );
    return ends.filter((end) => end !== null);
  }

  /** Looks in the bucket for the results of lines that may have been on the queue. */
  async #lookFor(numbers: Iterable<number>): Promise<boolean> {
    const { bucket, clock, log } = this.#dependencies;
    const wanted = new Map([...numbers].map((number) => [resultKey(jobIdOf(this.#id, number)), number]));
    let found = 0;
    try {
      for (const prefix of resultPrefixes(this.#id, wanted.values()))
        for (const { key } of await bucket.list(prefix)) {
          const number = wanted.get(key);
          if (number === undefined || this.#ready.has(number)) continue;
          found += 1;
          this.#inFlight.add(number);
          this.#ready.set(number, undefined);
        }
    } catch (thrown) {
      const error = toKamadoError(thrown, "storage_unavailable");
      log.warn(aboutOf(this.#batch, error), error.message);
    }
    this.#lookMs = found > 0 ? LOOK_MS.least : Math.min(LOOK_MS.most, 2 * this.#lookMs);
    this.#lookAt = clock.now() + this.#lookMs;
    return found > 0;
  }

  /** Ends the batch before all of its lines have run. */
  async #cut(files: ResultFiles, status: "cancelled" | "expired"): Promise<void> {
    const { store, clock } = this.#dependencies;
    // Its validation may have been broken off.
    if (this.#batch.in_progress_at === null) store.removeLines(this.#id);
    const running = await this.#cancelLines(store.open(this.#id, { upTo: this.#batch.sent_up_to }));
    const until = clock.now() + GRACE_MS;
    for (;;) {
      await this.#collect(files);
      const left = running.filter((number) => store.openLine(this.#id, number));
      if (left.length === 0 || clock.now() >= until || this.#isStopping) break;
      if (!(await this.#lookFor(left))) await this.#wake(1_000);
    }
    if (this.#isStopping) return;
    for (let lines = this.#nextOpen(); lines.length > 0; lines = this.#nextOpen()) {
      const end = unfinished(status);
      await this.#settle(
        files,
        lines.map((line) => ({ line, end })),
      );
    }
    await this.#finish(files, status);
  }

  #nextOpen(): Line[] {
    return this.#dependencies.store.open(this.#id, { limit: STEP });
  }

  async #wake(ms: number): Promise<void> {
    const woken = new AbortController();
    this.#wakeUp = () => woken.abort();
    if (this.#ready.size === 0 && !this.#isStopping) await this.#dependencies.clock.sleep(ms, woken.signal);
  }

  /** Which of them run. One that has its result keeps it; one that waits will never start. */
  async #cancelLines(lines: readonly Line[]): Promise<number[]> {
    const { send } = this.#dependencies;
    const atOnce = new Semaphore(CANCELS_AT_ONCE);
    const running: number[] = [];
    const cancel = async ({ number }: Line) => {
      const { is } = await send.cancel(jobIdOf(this.#id, number)).catch(() => ({ is: "running" }));
      this.#inFlight.add(number);
      if (is === "ended" && !this.#ready.has(number)) this.#ready.set(number, undefined);
      if (is === "running") running.push(number);
    };
    await Promise.all(lines.map((line) => atOnce.take(() => cancel(line))));
    return running;
  }

  async #finish(files: ResultFiles, status: "completed" | "cancelled" | "expired"): Promise<void> {
    const { store, files: disk, clock } = this.#dependencies;
    if (status === "completed") this.#enter("finalizing", "finalizing_at");
    const lengths = await files.flush();
    const batch = this.#batch;
    const made = [
      { id: batch.output_file, bytes: lengths.output_bytes, filename: `${batch.id}_output.jsonl` },
      { id: batch.error_file, bytes: lengths.error_bytes, filename: `${batch.id}_error.jsonl` },
    ];
    for (const { id, bytes } of made) if (bytes === 0) await disk.remove(id);
    const created_at = seconds(clock);
    const expires_at = created_at + batch.output_seconds;
    store.durably(() => {
      for (const one of made)
        if (one.bytes > 0) store.addFile({ ...one, purpose: "batch_output", created_at, expires_at });
      this.#enter(status, `${status}_at`);
    });
    // The places of the lines are of no more use.
    store.removeLines(this.#id);
  }
}

const seconds = (clock: Clock) => Math.floor(clock.wall() / 1_000);
const numberOf = ({ number }: Line) => number;
const shown = ({ code, message, hint }: KamadoError) => ({ code, message, hint });
const aboutOf = ({ id }: Batch, { code }: KamadoError) => ({ stage: "batch", batch: id, error: code });

/** The first ones, of not too many bytes in all; at least one. */
function withinBytes(lines: readonly Line[]): Line[] {
  let bytes = 0;
  const end = lines.findIndex(({ length }, index) => {
    bytes += length;
    return bytes > SENT_BYTES && index > 0;
  });
  return end === -1 ? [...lines] : lines.slice(0, end);
}
