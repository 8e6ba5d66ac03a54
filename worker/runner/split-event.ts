// Sends the jobs that came together in one message as messages of their own. It goes in batches and can be interrupted between any
// two of them. How far it came is then kept in the bucket, and the next receive of the message continues there. A process that dies
// keeps nothing: its jobs are sent again, with the same ids, so that each still runs once.
import { createHash } from "node:crypto";
import { z } from "zod";
import { toKamadoError } from "../errors.ts";
import type { Job } from "../job/envelope.ts";
import { traceFields } from "../job/trace-context.ts";
import { isFifo, type Message, type NewMessage, type Queue, TENANT_ATTRIBUTE } from "../queue/queue.ts";
import type { Bucket } from "../storage/bucket.ts";
import { readStored } from "../storage/stored-json.ts";

/** Resolves when the queue has every job. Throws the signal's reason, and what the queue throws. */
export type SplitEvent = (jobs: readonly Job[], message: Message, signal: AbortSignal) => Promise<void>;

export type SplitOptions = {
  queue: Pick<Queue, "url" | "sendAll">;
  bucket: Pick<Bucket, "name" | "get" | "put" | "remove">;
};

/** One call's worth, so that a stop waits for one call. */
const BATCH = 10;

/** `of`: a hash of the jobs. A message may be given the id of another one, and rules may change between two receives. */
const Progress = z.object({ sent: z.int().min(0), of: z.string() });
const PROGRESS_LIMIT = 1_000;

export function createSplitEvent({ queue, bucket }: SplitOptions): SplitEvent {
  // In a FIFO queue a message of a batch that fails would be overtaken by those behind it.
  const atOnce = isFifo(queue) ? 1 : BATCH;

  return async (jobs, message, signal) => {
    const progress = new ProgressObject(jobs, message, bucket);
    let sent = await progress.read();
    try {
      for (; sent < jobs.length; sent += atOnce) {
        signal.throwIfAborted();
        await queue.sendAll(jobs.slice(sent, sent + atOnce).map((job) => asMessage(job, message)));
      }
    } catch (thrown) {
      // Without a lease, another worker may be further by now.
      const isOurs = toKamadoError(thrown, "queue_unavailable").code !== "lease_lost";
      if (isOurs && sent > 0) await progress.write(sent);
      throw thrown;
    }
    await progress.remove();
  };
}

/**
 * In a FIFO queue the jobs keep the group of their message, and a second send within five minutes is dropped. Trace and tenant stand beside
 * the body: an older worker at the same queue refuses a job with a field that it does not know.
 */
function asMessage({ traceparent, tracestate, ...job }: Job, { group, tenant }: Message): NewMessage {
  const attributes = {
    ...traceFields({ traceparent, tracestate }),
    ...(tenant !== undefined && { [TENANT_ATTRIBUTE]: tenant }),
  };
  return {
    body: JSON.stringify(job),
    deduplicationId: job.id,
    ...(group !== null && { group }),
    ...(Object.keys(attributes).length > 0 && { attributes }),
  };
}

/** How far an event was sent on. It never fails: without it jobs are sent again, which does no harm. */
class ProgressObject {
  readonly #jobs: readonly Job[];
  readonly #key: string;
  readonly #isAgain: boolean;
  readonly #bucket: SplitOptions["bucket"];

  constructor(jobs: readonly Job[], { id, receiveCount }: Message, bucket: SplitOptions["bucket"]) {
    this.#jobs = jobs;
    this.#key = `split/${id}.json`;
    this.#isAgain = receiveCount > 1;
    this.#bucket = bucket;
  }

  async read(): Promise<number> {
    if (!this.#isAgain) return 0;
    const limit = { maxBytes: PROGRESS_LIMIT };
    const stored = await readStored(this.#bucket, this.#key, Progress, limit).catch(() => null);
    return stored?.is === "found" && stored.value.of === hashOf(this.#jobs) ? stored.value.sent : 0;
  }

  async write(sent: number): Promise<void> {
    const body = JSON.stringify({ sent, of: hashOf(this.#jobs) });
    await this.#bucket.put(this.#key, body, { contentType: "application/json" }).catch(() => {});
  }

  async remove(): Promise<void> {
    if (this.#isAgain) await this.#bucket.remove([this.#key]).catch(() => {});
  }
}

const hashOf = (jobs: readonly Job[]) => createHash("sha256").update(JSON.stringify(jobs)).digest("hex");
