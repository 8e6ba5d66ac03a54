// What `Client.map` promises: one kind over many inputs. Owns the ids, which follow from the inputs, so that a map that is repeated or
// resumed finds in the bucket what was done before; and what is tried again. The order and the bound on what is in memory are in-order.ts's;
// the waiting for results is result-watch.ts's; how a job is made and sent is the client's.
import { createHash } from "node:crypto";
import { backoffMs } from "../worker/async/backoff.ts";
import { systemClock } from "../worker/async/clock.ts";
import { Semaphore } from "../worker/async/semaphore.ts";
import { ERRORS, type ErrorCode, KamadoError, toKamadoError } from "../worker/errors.ts";
import type { Job } from "../worker/job/envelope.ts";
import { canonical, jobHash } from "../worker/job/job-hash.ts";
import type { Result as Stored } from "../worker/job/result.ts";
import { canceledIds } from "../worker/job-lock/cancellations.ts";
import type { Bucket } from "../worker/storage/bucket.ts";
import type { AnyKinds, Enqueued, JobOptions, KindName, Result } from "./contract.ts";
import { inOrder } from "./in-order.ts";
import { ResultWatch } from "./result-watch.ts";
import { checkBucket, ownResult } from "./wait.ts";

/** An input, or one with a name of your own and an id of your own. An input that has a field `input` itself has to be wrapped. */
export type MapItem<I> = I | { input: I; id?: string | undefined; source?: string | undefined };
export type Inputs<I> = Iterable<MapItem<I>> | AsyncIterable<MapItem<I>>;

export type MapProgress = {
  done: number;
  succeeded: number;
  /** Jobs that failed, and inputs that did not become jobs. */
  failed: number;
  /** Of those that succeeded: their results were in the bucket before. */
  reused: number;
  /** Read and not done yet. */
  running: number;
};

export type MapOptions = Pick<JobOptions, "deliver" | "policy"> & {
  /** How many jobs are on the queue or run at the same time. [32] */
  concurrency?: number | undefined;
  /** How often something that may pass is tried again: a call that failed, a job that failed for a reason outside of it. [2] */
  retries?: number | undefined;
  /** The beginning of the ids. Another one makes other jobs of the same inputs, so that they run again. ["map"] */
  idPrefix?: string | undefined;
  /** How long to wait for the result of each job. By default until there is one. */
  timeoutSeconds?: number | undefined;
  /** Ends the map: the next result is the signal's reason. */
  signal?: AbortSignal | undefined;
  /** When the map ends early, cancels the jobs that have no result yet. Otherwise they run, and a later map finds their results. [false] */
  cancelOnEnd?: boolean | undefined;
  /** Called after each result. */
  onProgress?: ((progress: MapProgress) => unknown) | undefined;
};

/** What became of an input. `error`: there is no result. A job that failed has a result, which says why. */
export type Mapped<K extends AnyKinds = AnyKinds, N extends KindName<K> = KindName<K>> = {
  index: number;
  source: string | undefined;
  /** Undefined when the input did not become a job. */
  id: string | undefined;
} & (
  | { result: Result<K, N>; reused: boolean; error?: never }
  | { error: KamadoError; result?: never; reused?: never }
);

/** A job whose bytes are in the bucket. */
type Prepared = { job: Job; body: string; group: string };

export type MapParts = {
  bucket: Bucket;
  /** Throws `invalid_input` for what cannot be sent, before anything is read of it. */
  check(input: unknown): void;
  prepare(fields: { kind: string; input: unknown } & JobOptions): Promise<Prepared>;
  sendPrepared(prepared: readonly Prepared[]): Promise<(Enqueued | KamadoError)[]>;
  cancel(id: string): Promise<unknown>;
};

type Ended = { id: string | undefined } & (
  | { result: Stored; reused: boolean }
  | { error: KamadoError; result?: never; reused?: never }
);

const CONCURRENCY = 32;
const RETRIES = 2;
const RETRY = { baseMs: 500, maxMs: 30_000 };
/** So many may wait behind an input that takes long. */
const aheadOf = (concurrency: number) => Math.max(64, 4 * concurrency);

export async function* mapInputs(
  kind: string,
  inputs: Inputs<unknown>,
  options: MapOptions,
  parts: MapParts,
): AsyncGenerator<Mapped, void, undefined> {
  const { concurrency = CONCURRENCY, retries = RETRIES, cancelOnEnd = false, onProgress } = options;
  checkCount("concurrency", concurrency, 1);
  checkCount("retries", retries, 0);
  await checkBucket(parts.bucket);
  const over = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, over.signal]) : over.signal;
  const jobs = new MapJobs(kind, options, parts, signal);
  const progress = { done: 0, succeeded: 0, failed: 0, reused: 0, running: 0 };
  const work = async (given: unknown, index: number): Promise<Mapped> => {
    progress.running += 1;
    const { input, id, source } = asItem(given);
    const ended = await jobs.run(input, id, retries);
    count(progress, ended);
    onProgress?.({ ...progress });
    return { index, source, ...ended } as Mapped;
  };
  try {
    yield* inOrder(inputs, work, { concurrency, ahead: aheadOf(concurrency), signal });
  } finally {
    over.abort(new KamadoError("canceled", "The map has ended."));
    await jobs.end({ cancel: cancelOnEnd });
  }
}

function checkCount(name: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least) return;
  throw new KamadoError("invalid_input", `${name}: expected a whole number of ${least} or more.`);
}

function asItem(given: unknown): { input: unknown; id?: string; source?: string } {
  const isItem =
    typeof given === "object" &&
    given !== null &&
    "input" in given &&
    Object.keys(given).every((name) => ["input", "id", "source"].includes(name));
  return isItem ? (given as { input: unknown }) : { input: given };
}

function count(progress: MapProgress, ended: Ended): void {
  progress.running -= 1;
  progress.done += 1;
  const isGood = ended.result?.status === "succeeded";
  progress[isGood ? "succeeded" : "failed"] += 1;
  if (isGood && ended.reused) progress.reused += 1;
}

/** As many as one call to SQS takes. */
const CALL = 10;
/** Jobs that are ready within so short a time are sent together. */
const GATHER_MS = 5;
const CANCELS_AT_ONCE = 16;

class MapJobs {
  readonly #kind: string;
  readonly #options: MapOptions;
  readonly #parts: MapParts;
  readonly #signal: AbortSignal;
  readonly #results: ResultWatch;
  readonly #toSend: { prepared: Prepared; done: (outcome: Enqueued | KamadoError) => void }[] = [];
  readonly #sending = new Set<Promise<void>>();
  /** Sent, and without a result yet. */
  readonly #open = new Set<string>();
  readonly #idPrefix: string;
  #canceled: Promise<ReadonlySet<string>> | undefined;

  constructor(kind: string, options: MapOptions, parts: MapParts, signal: AbortSignal) {
    this.#kind = kind;
    this.#options = options;
    this.#idPrefix = options.idPrefix ?? "map";
    this.#parts = parts;
    this.#signal = signal;
    this.#results = new ResultWatch(parts.bucket, signal);
  }

  async run(input: unknown, ownId: string | undefined, retries: number): Promise<Ended> {
    let id = ownId;
    try {
      this.#parts.check(input);
      const first = ownId ?? (await this.#idFor(input));
      id = first;
      return await this.#runAs(first, input, { isOwnId: ownId !== undefined, retries });
    } catch (thrown) {
      return { id, error: toKamadoError(thrown, "invalid_input") };
    }
  }

  /** Under the id itself, and after a failure under another one that follows from it: a job that has a result never runs again. */
  async #runAs(
    first: string,
    input: unknown,
    { isOwnId, retries }: { isOwnId: boolean; retries: number },
  ): Promise<Ended> {
    // What is uploaded with the first of an input's jobs is there for all of them.
    let made: Prepared | undefined;
    const jobUnder = async (id: string) => {
      made ??= await this.#again(retries, () => this.#prepare(first, input));
      return id === first ? made : this.#parts.prepare({ ...made.job, id });
    };
    // An id of one's own may be that of another job.
    if (isOwnId) await jobUnder(first);
    for (let turn = 1, tries = 0; ; turn++) {
      const id = turn === 1 ? first : `${first}-${turn}`;
      const stored = await this.#again(retries, () => this.#results.look(id));
      const before = stored && this.#own(stored, id, made);
      if (before?.status === "succeeded") return { id, result: before, reused: true };
      // It failed or was canceled before, and counts no more.
      if (before || (await this.#isCanceled(id, isOwnId))) continue;
      const result = await this.#send(await jobUnder(id), retries);
      if (result.status === "succeeded" || tries >= retries || !mayPass(result.error?.code))
        return { id, result, reused: false };
      await pause(++tries, this.#signal);
    }
  }

  /** By an earlier map that was ended, say. Those whose ids follow from inputs are listed once; what is canceled from then on stays so. */
  async #isCanceled(id: string, isOwnId: boolean): Promise<boolean> {
    const { bucket } = this.#parts;
    if (isOwnId) return (await canceledIds(bucket, id)).has(id);
    this.#canceled ??= canceledIds(bucket, `${this.#idPrefix}-`);
    return (await this.#canceled).has(id);
  }

  #prepare(id: string, input: unknown): Promise<Prepared> {
    const { deliver, policy } = this.#options;
    return this.#parts.prepare({ kind: this.#kind, input, id, deliver, policy });
  }

  /** The jobs that are still open are canceled, or left to run. */
  async end({ cancel }: { cancel: boolean }): Promise<void> {
    for (const { done } of this.#toSend.splice(0)) done(toKamadoError(this.#signal.reason, "canceled"));
    await Promise.all(this.#sending);
    if (!cancel) return;
    const places = new Semaphore(CANCELS_AT_ONCE);
    const work = [...this.#open].map((id) => places.take(() => this.#parts.cancel(id)));
    await Promise.all(work.map((one) => one.catch(() => {})));
  }

  async #idFor(input: unknown): Promise<string> {
    const { policy } = this.#options;
    return `${this.#idPrefix}-${await digestOfInput({ kind: this.#kind, model: policy?.model, input })}`;
  }

  #own(stored: Stored, id: string, prepared: Prepared | undefined): Stored {
    const job = prepared && { id, kind: this.#kind, messageId: "", jobHash: jobHash(prepared.job) };
    return ownResult(job ?? id, stored) as Stored;
  }

  async #send(prepared: Prepared, retries: number): Promise<Stored> {
    const sent = await this.#again(retries, async () => {
      const outcome = await this.#sendSoon(prepared);
      if (outcome instanceof KamadoError) throw outcome;
      return outcome;
    });
    const result = await this.#results.wait(sent, this.#options.timeoutSeconds);
    this.#open.delete(sent.id);
    return result;
  }

  #sendSoon(prepared: Prepared): Promise<Enqueued | KamadoError> {
    return new Promise((resolve) => {
      this.#signal.throwIfAborted();
      this.#toSend.push({ prepared, done: resolve });
      if (this.#toSend.length >= CALL) this.#sendNow();
      else if (this.#toSend.length === 1) setTimeout(() => this.#sendNow(), GATHER_MS);
    });
  }

  #sendNow(): void {
    const batch = this.#toSend.splice(0, CALL);
    if (batch.length === 0) return;
    const sending = this.#parts
      .sendPrepared(batch.map(({ prepared }) => prepared))
      .catch((thrown) => batch.map(() => toKamadoError(thrown, "queue_unavailable")))
      .then((outcomes) => {
        for (const [index, outcome] of outcomes.entries()) {
          if (!(outcome instanceof KamadoError)) this.#open.add(outcome.id);
          batch[index]!.done(outcome);
        }
        this.#sending.delete(sending);
      });
    this.#sending.add(sending);
  }

  #again<T>(retries: number, work: () => Promise<T>): Promise<T> {
    return again(retries, this.#signal, work);
  }
}

/** What may pass is tried again, after waits that grow. */
export async function again<T>(retries: number, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++)
    try {
      return await work();
    } catch (thrown) {
      if (tries > retries || !(thrown instanceof KamadoError) || !thrown.retry) throw thrown;
      await pause(tries, signal);
    }
}

async function pause(tries: number, signal: AbortSignal): Promise<void> {
  await systemClock.sleep(backoffMs(tries, RETRY), signal);
  signal.throwIfAborted();
}

/** Codes of results whose job may succeed another time, beside those of errors that pass. */
const MAY_PASS = ["attempts_exhausted", "timed_out"];

const digestOf = (content: string | Uint8Array) => createHash("sha256").update(content).digest("hex");

const mayPass = (code = ""): boolean =>
  MAY_PASS.includes(code) || (code in ERRORS && ERRORS[code as ErrorCode].retry);

/** Of what decides what comes of an input. Bytes count by their content and their name. */
export async function digestOfInput({
  kind,
  model,
  input,
}: {
  kind: string;
  model: string | undefined;
  input: unknown;
}): Promise<string> {
  const hashed = { kind, model: model ?? null, input: await withDigests(input) };
  return digestOf(canonical(hashed)).slice(0, 32);
}

/** The input as its id is made of it. */
async function withDigests(value: unknown): Promise<unknown> {
  if (value instanceof Blob)
    return {
      bytes: digestOf(new Uint8Array(await value.arrayBuffer())),
      name: value instanceof File ? value.name : "",
    };
  if (value instanceof Uint8Array || value instanceof ArrayBuffer)
    return { bytes: digestOf(value instanceof ArrayBuffer ? new Uint8Array(value) : value) };
  if (Array.isArray(value)) return Promise.all(value.map(withDigests));
  if (typeof value !== "object" || value === null) return value;
  if ("toJSON" in value) return JSON.parse(JSON.stringify(value));
  const entries = Object.entries(value).map(async ([name, one]) => [name, await withDigests(one)] as const);
  return Object.fromEntries(await Promise.all(entries));
}
