// The delivery log: every try of every delivery. It is in the bucket, under deliveries/ and not under results/, because a job
// may have any id, also one that equals a log's key. Each object has one writer at a time: one for the tries that a job's own
// worker made, and one for each destination's tries from the outbox.
import { z } from "zod";
import { toKamadoError } from "../errors.ts";
import type { Log } from "../logging/log.ts";
import type { Bucket } from "../storage/bucket.ts";
import { readStored } from "../storage/stored-json.ts";

const Attempt = z.object({
  at: z.string(),
  /** The destination. Its label is not unique, because it leaves out what may be a token. */
  key: z.string(),
  to: z.string(),
  /** What was sent, as `eventOf` says. An earlier `failed` delivery does not count as delivering `succeeded`. */
  result: z.string(),
  attempt: z.int(),
  /** `held back`: nothing was sent, because the receiver is down or asked for a pause. */
  outcome: z.enum(["delivered", "failed", "refused", "held back"]),
  status: z.int().optional(),
  error: z.string().optional(),
  tookMs: z.number(),
  nextAt: z.string().optional(),
  worker: z.string(),
});
export type Attempt = z.output<typeof Attempt>;
/** A try that another version wrote in a way this one does not understand is left out; the others count. */
const Stored = z.object({
  attempts: z.array(z.unknown()).transform((all) =>
    all.flatMap((one) => {
      const { success, data } = Attempt.safeParse(one);
      return success ? [data] : [];
    }),
  ),
});

/** An object keeps its latest tries; one round of a delivery makes ten. */
const KEPT = 200;
const LIMIT = 4 * 1024 * 1024;
/** A delivery waits only so long for the log, because it can go on without it. */
const PATIENCE_MS = 5_000;

export type DeliveryLog = {
  /** Adds the tries that were made before the job's message was deleted. False when they could not be written. */
  addDirect(job: string, attempts: readonly Attempt[]): Promise<boolean>;
  /** Adds a try that was made from the outbox. False when it could not be written. */
  add(job: string, attempt: Attempt): Promise<boolean>;
  /** Every try of one destination, in order. Null when the bucket cannot be read. */
  of(job: string, key: string): Promise<Attempt[] | null>;
  /** Every try of a job, in order. Throws what the bucket throws. */
  all(job: string): Promise<Attempt[]>;
};

export function createDeliveryLog(options: { bucket: Bucket; log: Pick<Log, "warn"> }): DeliveryLog {
  const { bucket, log } = options;
  const directKey = (job: string) => `deliveries/${job}.json`;
  const outboxPrefix = (job: string) => `deliveries/${job}/`;
  const outboxKey = (job: string, key: string) => `${outboxPrefix(job)}${key}.json`;
  const patience = () => ({ signal: AbortSignal.timeout(PATIENCE_MS) });

  // A damaged log must not stop a delivery: it counts as empty, and the next try replaces it.
  async function read(key: string): Promise<Attempt[]> {
    const stored = await readStored(bucket, key, Stored, { maxBytes: LIMIT, ...patience() });
    return stored.is === "found" ? stored.value.attempts : [];
  }

  async function append(job: string, key: string, attempts: readonly Attempt[]): Promise<boolean> {
    try {
      const kept = [...(await read(key)), ...attempts].slice(-KEPT);
      const body = JSON.stringify({ job, attempts: kept });
      await bucket.put(key, body, { contentType: "application/json", ...patience() });
      return true;
    } catch (thrown) {
      const { code, message } = toKamadoError(thrown, "storage_unavailable");
      log.warn({ job, stage: "deliver", error: code }, `the delivery log cannot be written: ${message}`);
      return false;
    }
  }

  return {
    addDirect: (job, attempts) => append(job, directKey(job), attempts),
    add: (job, attempt) => append(job, outboxKey(job, attempt.key), [attempt]),
    of: (job, key) =>
      Promise.all([read(directKey(job)), read(outboxKey(job, key))]).then(
        (both) => inOrder(both.flat().filter((attempt) => attempt.key === key)),
        () => null,
      ),
    async all(job) {
      const fromOutbox = (await bucket.list(outboxPrefix(job))).map(({ key }) => key);
      return inOrder((await Promise.all([directKey(job), ...fromOutbox].map(read))).flat());
    },
  };
}

const inOrder = (attempts: readonly Attempt[]) => attempts.toSorted((a, b) => a.at.localeCompare(b.at));
