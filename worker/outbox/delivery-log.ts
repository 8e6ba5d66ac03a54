// The delivery log: every try of every delivery, kept in the bucket beside the results and never in them. Each object has
// one writer: the tries with a job's message in hand stand in one, those of each outbox message in one of their own.
import { z } from "zod";
import { toKamadoError } from "../errors.ts";
import type { Log } from "../logging/log.ts";
import type { Bucket } from "../storage/bucket.ts";

const Attempt = z.object({
  at: z.string(),
  /** Which destination; its label alone is no name, for it leaves out what may be a token. */
  key: z.string(),
  to: z.string(),
  /** What was carried: a failure that was told is no success that was told. */
  result: z.string(),
  attempt: z.int(),
  /** `held back`: the destination was left alone, nothing was sent. */
  outcome: z.enum(["delivered", "failed", "refused", "held back"]),
  status: z.int().optional(),
  error: z.string().optional(),
  tookMs: z.number(),
  nextAt: z.string().optional(),
  worker: z.string(),
});
export type Attempt = z.output<typeof Attempt>;
const Kept = z.object({ job: z.string(), attempts: z.array(Attempt) });

/** An object's latest; a delivery makes ten tries in a round. */
const KEPT = 200;
const LIMIT = 4 * 1024 * 1024;
/** The log is worth waiting for, but not for long: nothing depends on it that would be lost. */
const PATIENCE_MS = 5_000;

export type DeliveryLog = {
  /** Adds tries made with the job's message in hand. False when they could not be written. */
  addInHand(job: string, attempts: readonly Attempt[]): Promise<boolean>;
  /** Adds a try made from the outbox. */
  add(job: string, attempt: Attempt): Promise<boolean>;
  /** Every try of one destination, wherever it was made, in order. Null when the bucket does not say. */
  of(job: string, key: string): Promise<Attempt[] | null>;
  /** Every try of a job. Throws what the bucket throws. */
  all(job: string): Promise<Attempt[]>;
};

export function createDeliveryLog(options: { bucket: Bucket; log: Pick<Log, "warn"> }): DeliveryLog {
  const { bucket, log } = options;
  // Not under results/: a job may be called anything, also what a log beside its neighbour's result would be.
  const inHand = (job: string) => `deliveries/${job}.json`;
  const own = (job: string, key: string) => `deliveries/${job}/${key}.json`;
  const patience = () => ({ signal: AbortSignal.timeout(PATIENCE_MS) });

  async function read(key: string): Promise<Attempt[]> {
    try {
      const { bytes } = await bucket.get(key, { maxBytes: LIMIT, ...patience() });
      return parse(new TextDecoder().decode(bytes));
    } catch (thrown) {
      if (toKamadoError(thrown, "storage_unavailable").code === "object_not_found") return [];
      throw thrown;
    }
  }

  async function append(job: string, key: string, attempts: readonly Attempt[]): Promise<boolean> {
    try {
      const kept = [...(await read(key)), ...attempts].slice(-KEPT);
      const body = JSON.stringify({ job, attempts: kept });
      await bucket.put(key, body, { contentType: "application/json", ...patience() });
      return true;
    } catch (thrown) {
      const error = toKamadoError(thrown, "storage_unavailable");
      log.warn(
        { job, stage: "deliver", error: error.code },
        `the delivery log cannot be written: ${error.message}`,
      );
      return false;
    }
  }

  return {
    addInHand: (job, attempts) => append(job, inHand(job), attempts),
    add: (job, attempt) => append(job, own(job, attempt.key), [attempt]),
    of: (job, key) =>
      Promise.all([read(inHand(job)), read(own(job, key))]).then(
        (both) => inOrder(both.flat().filter((attempt) => attempt.key === key)),
        () => null,
      ),
    async all(job) {
      const owns = (await bucket.list(own(job, "").replace(/\.json$/, ""))).map(({ key }) => key);
      return inOrder((await Promise.all([inHand(job), ...owns].map(read))).flat());
    },
  };
}

const inOrder = (attempts: readonly Attempt[]) => attempts.toSorted((a, b) => a.at.localeCompare(b.at));

// What cannot be read is no reason to hold a delivery back.
function parse(text: string): Attempt[] {
  try {
    return Kept.parse(JSON.parse(text)).attempts;
  } catch {
    return [];
  }
}
