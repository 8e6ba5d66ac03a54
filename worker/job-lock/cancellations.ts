// Owns which jobs are canceled: the objects below cancel/, and the signal that fires in a worker that runs such a job. What the
// signal ends is left to run-job.ts. `kamado cancel ID` writes the object cancel/<id> and then cancel/.changed. A worker that
// runs jobs reads cancel/.changed every few seconds, once for all its jobs, and lists cancel/ only when it has changed.
import { randomUUID } from "node:crypto";
import type { Clock } from "../async/clock.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import type { Bucket } from "../storage/bucket.ts";
import type { Results } from "../storage/results.ts";
import { lockKey } from "./lock.ts";

const PREFIX = "cancel/";
const CHANGED = `${PREFIX}.changed`;
const CHECK_MS = 3_000;
/** As long as a queue keeps a message: a job may be canceled before its message arrives. */
const KEPT_MS = 14 * 24 * 3_600_000;

/** Not the whole log, whose type would bring the log's library into the types of `kamado/client`. */
type Debug = { debug(fields: Record<string, unknown>, text: string): void };
export type CancellationsOptions = { bucket: Bucket; clock: Clock; log: Debug };

export class Cancellations {
  readonly #options: CancellationsOptions;
  readonly #running = new Map<string, AbortController>();
  #canceled: ReadonlySet<string> = new Set();
  /** The etag of cancel/.changed at the last check; null when there was no such object, undefined before the first check. */
  #seen: string | null | undefined;
  #checkedAt = Number.NEGATIVE_INFINITY;
  #checking: Promise<void> | undefined;
  #watching: Promise<void> | undefined;

  constructor(options: CancellationsOptions) {
    this.#options = options;
  }

  /** A signal that fires with `canceled` when the job is canceled, before its run or during it. Ends with `forget`. */
  async watch(id: string): Promise<AbortSignal> {
    const controller = new AbortController();
    this.#running.set(id, controller);
    if (this.#options.clock.now() - this.#checkedAt >= CHECK_MS) await this.#check();
    this.#abortCanceled();
    this.#watching ??= this.#keepChecking().finally(() => {
      this.#watching = undefined;
    });
    return controller.signal;
  }

  /** The run is over. If the job ended as canceled, its cancellation is removed. */
  forget(id: string, how: "done" | "again"): void {
    const wasCanceled = this.#running.get(id)?.signal.aborted;
    this.#running.delete(id);
    if (!wasCanceled || how === "again") return;
    // One that stays does no harm: the job has its result.
    void this.#options.bucket.remove([`${PREFIX}${id}`]).catch(() => {});
  }

  async #keepChecking(): Promise<void> {
    while (this.#running.size > 0) {
      await this.#options.clock.sleep(CHECK_MS);
      if (this.#running.size > 0) await this.#check();
      this.#abortCanceled();
    }
  }

  #abortCanceled(): void {
    for (const [id, controller] of this.#running)
      if (this.#canceled.has(id) && !controller.signal.aborted)
        controller.abort(new KamadoError("canceled", "The job was canceled."));
  }

  /** A check that fails changes nothing. If the store is away, the job's own calls report it. */
  #check(): Promise<void> {
    this.#checking ??= this.#checkNow()
      .catch((thrown) => this.#options.log.debug({ stage: "cancel" }, (thrown as Error).message))
      .finally(() => {
        this.#checking = undefined;
      });
    return this.#checking;
  }

  async #checkNow(): Promise<void> {
    const { bucket, clock } = this.#options;
    const at = clock.now();
    const seen = await bucket.get(CHANGED, { maxBytes: 1_024 }).then(
      ({ etag }) => etag,
      (thrown) => {
        if (toKamadoError(thrown, "storage_unavailable").code === "object_not_found") return null;
        throw thrown;
      },
    );
    if (seen !== this.#seen) this.#canceled = await this.#list();
    this.#seen = seen;
    this.#checkedAt = at;
  }

  async #list(): Promise<ReadonlySet<string>> {
    const { bucket, clock } = this.#options;
    const all = (await bucket.list(PREFIX)).filter(({ key }) => key !== CHANGED);
    const isOld = ({ modified }: { modified: number }) => clock.wall() - modified > KEPT_MS;
    const old = all.filter(isOld);
    if (old.length > 0) void bucket.remove(old.map(({ key }) => key)).catch(() => {});
    return new Set(all.filter((one) => !isOld(one)).map(({ key }) => key.slice(PREFIX.length)));
  }
}

/** The ids with this beginning whose jobs are canceled: what has no result yet will not have another one. */
export async function canceledIds(
  bucket: Pick<Bucket, "list">,
  beginning: string,
): Promise<ReadonlySet<string>> {
  const all = await bucket.list(`${PREFIX}${beginning}`);
  return new Set(all.map(({ key }) => key.slice(PREFIX.length)));
}

/** What a cancel met: a job that has ended, one that runs, or one that has not started and will not start before `untilEpochMs`. */
export type Canceled =
  | { is: "ended"; status: string }
  | { is: "running" }
  | { is: "waiting"; untilEpochMs: number };

/** Cancels a job. One that has ended keeps its result. */
export async function cancelJob(
  id: string,
  { bucket, results, clock }: { bucket: Bucket; results: Results; clock: Clock },
): Promise<Canceled> {
  const ended = await results.find(id);
  if (ended) return { is: "ended", status: ended.status };
  const json = { contentType: "application/json" };
  // Listed and not read, so that who sends jobs may cancel them without a right to the locks.
  const isRunning = (await bucket.list(lockKey(id))).some(({ key }) => key === lockKey(id));
  await bucket.put(`${PREFIX}${id}`, JSON.stringify({ at: clock.wall() }), json);
  // Written last and with a new value, so that whoever sees the change finds the cancellation.
  await bucket.put(CHANGED, JSON.stringify({ change: randomUUID() }), json);
  return isRunning ? { is: "running" } : { is: "waiting", untilEpochMs: clock.wall() + KEPT_MS };
}
