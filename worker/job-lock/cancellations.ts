// Which jobs their senders took back. `kamado cancel ID` leaves a mark at cancel/<id> and then touches cancel/.changed. A
// worker with something to run reads only the second, every few seconds and for all its jobs at once, and lists the marks when it changed.
import { randomUUID } from "node:crypto";
import type { Clock } from "../async/clock.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import type { Log } from "../logging/log.ts";
import type { Bucket } from "../storage/bucket.ts";
import type { Results } from "../storage/results.ts";
import { lockKey } from "./lock-object.ts";

const PREFIX = "cancel/";
const CHANGED = `${PREFIX}.changed`;
const LOOK_MS = 3_000;
/** As long as a queue keeps a message: a mark may wait for a job that has not come yet. */
const KEPT_MS = 14 * 24 * 3_600_000;

export type CancellationsOptions = { bucket: Bucket; clock: Clock; log: Log };

export class Cancellations {
  readonly #options: CancellationsOptions;
  readonly #running = new Map<string, AbortController>();
  #marked: ReadonlySet<string> = new Set();
  /** Of cancel/.changed as it was read last; null when it was not there, undefined before the first look. */
  #seen: string | null | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;
  #watching: Promise<void> | undefined;

  constructor(options: CancellationsOptions) {
    this.#options = options;
  }

  /** A signal that fires with `canceled` when the job is taken back, from before its start until `forget`. */
  async watch(id: string): Promise<AbortSignal> {
    const controller = new AbortController();
    this.#running.set(id, controller);
    if (this.#options.clock.now() - this.#lookedAt >= LOOK_MS) await this.#look();
    this.#tell();
    this.#watching ??= this.#keepLooking().finally(() => {
      this.#watching = undefined;
    });
    return controller.signal;
  }

  /** The run is over. A mark that did its work is removed: the job has ended with it. */
  forget(id: string, how: "done" | "again"): void {
    const wasCanceled = this.#running.get(id)?.signal.aborted;
    this.#running.delete(id);
    if (!wasCanceled || how === "again") return;
    // One that stays does nothing more: the job has its result.
    void this.#options.bucket.remove([`${PREFIX}${id}`]).catch(() => {});
  }

  async #keepLooking(): Promise<void> {
    while (this.#running.size > 0) {
      await this.#options.clock.sleep(LOOK_MS);
      if (this.#running.size > 0) await this.#look();
      this.#tell();
    }
  }

  #tell(): void {
    for (const [id, controller] of this.#running)
      if (this.#marked.has(id) && !controller.signal.aborted)
        controller.abort(new KamadoError("canceled", "The job was canceled."));
  }

  /** A look that fails changes nothing: what the job itself needs of the store says that it is away. */
  #look(): Promise<void> {
    this.#looking ??= this.#lookNow()
      .catch((thrown) => this.#options.log.debug({ stage: "cancel" }, (thrown as Error).message))
      .finally(() => {
        this.#looking = undefined;
      });
    return this.#looking;
  }

  async #lookNow(): Promise<void> {
    const { bucket, clock } = this.#options;
    const at = clock.now();
    const seen = await bucket.get(CHANGED, { maxBytes: 1_024 }).then(
      ({ etag }) => etag,
      (thrown) => {
        if (toKamadoError(thrown, "storage_unavailable").code === "object_not_found") return null;
        throw thrown;
      },
    );
    if (seen !== this.#seen) this.#marked = await this.#list();
    this.#seen = seen;
    this.#lookedAt = at;
  }

  async #list(): Promise<ReadonlySet<string>> {
    const { bucket, clock } = this.#options;
    const marks = (await bucket.list(PREFIX)).filter(({ key }) => key !== CHANGED);
    const isOld = ({ modified }: { modified: number }) => clock.wall() - modified > KEPT_MS;
    const old = marks.filter(isOld);
    if (old.length > 0) void bucket.remove(old.map(({ key }) => key)).catch(() => {});
    return new Set(marks.filter((mark) => !isOld(mark)).map(({ key }) => key.slice(PREFIX.length)));
  }
}

/** What became of a wish to cancel: too late, under way, or kept for when the job comes. */
export type Canceled =
  | { is: "ended"; status: string }
  | { is: "running" }
  | { is: "waiting"; untilEpochMs: number };

/** Takes a job back. Of one that has ended nothing is changed. */
export async function cancelJob(
  id: string,
  { bucket, results, clock }: { bucket: Bucket; results: Results; clock: Clock },
): Promise<Canceled> {
  const ended = await results.find(id);
  if (ended) return { is: "ended", status: ended.status };
  const json = { contentType: "application/json" };
  const isRunning = await bucket.exists(lockKey(id));
  await bucket.put(`${PREFIX}${id}`, JSON.stringify({ at: clock.wall() }), json);
  // After the mark, and never the same twice: whoever sees the change finds the mark.
  await bucket.put(CHANGED, JSON.stringify({ change: randomUUID() }), json);
  return isRunning ? { is: "running" } : { is: "waiting", untilEpochMs: clock.wall() + KEPT_MS };
}
