// What jobs have found out so far, as checkpoints/<job id>/<name>.json in Kamado's own bucket: a run that takes up a job again, on
// whichever worker, finds it. Owns their names, their limits, and when they go: with the job's result, and after a week at the latest.
// What is worth a checkpoint is left to the handlers.
import { createHash } from "node:crypto";
import { z } from "zod";
import { KamadoError } from "../errors.ts";
import type { Job } from "../job/envelope.ts";
import type { Checkpoints } from "../job/handler.ts";
import { jobHash } from "../job/job-hash.ts";
import type { Bucket } from "./bucket.ts";
import { readStored } from "./stored-json.ts";

const CHECKPOINTS = "checkpoints/";
/** No job sees an older one, and none stays in the bucket for longer while a worker runs. */
export const CHECKPOINT_DAYS = 7;
const MAX_AGE_MS = CHECKPOINT_DAYS * 86_400_000;
const SWEEP_MS = 86_400_000;
/** Of one checkpoint. */
const MAX_BYTES = 8 * 1024 * 1024;
/** Of one run: a handler that never stops must not fill the bucket. */
const MAX_RUN_BYTES = 256 * 1024 * 1024;
const MAX_RUN_PUTS = 10_000;
/** So many jobs are remembered; others are cleaned up by their age. */
const REMEMBERED = 1_000;

/** `jobHash` tells the job from others that were sent with its id. */
const Stored = z.object({ jobHash: z.string(), value: z.unknown() });

export type JobCheckpoints = {
  /** Of one run. After `signal` has fired nothing is written any more. */
  of(job: Job, signal: AbortSignal): Checkpoints;
  /**
   * The job has its result. `attempts`: how many runs of it were started, because earlier ones may have been another worker's. Never
   * throws: what cannot be removed goes by its age.
   */
  remove(id: string, attempts: number): Promise<void>;
};

type Options = {
  bucket: Bucket;
  clock: { wall(): number };
  log: {
    debug(fields: Record<string, unknown>, text: string): void;
    warn(fields: Record<string, unknown>, text: string): void;
  };
};

export function createCheckpoints({ bucket, clock, log }: Options): JobCheckpoints {
  const used = new Set<string>();
  let sweptAt = Number.NEGATIVE_INFINITY;

  function sweep(): void {
    if (clock.wall() - sweptAt < SWEEP_MS) return;
    sweptAt = clock.wall();
    void removeAll(CHECKPOINTS, (modified) => clock.wall() - modified > MAX_AGE_MS);
  }

  async function removeAll(prefix: string, isDue: (modified: number) => boolean): Promise<void> {
    try {
      const due = (await bucket.list(prefix)).filter(({ modified }) => isDue(modified));
      if (due.length > 0) await bucket.remove(due.map(({ key }) => key));
    } catch (thrown) {
      log.debug({ stage: "checkpoints" }, `some could not be removed: ${(thrown as Error).message}`);
    }
  }

  return {
    of(job, signal) {
      const { id } = job;
      let hash: string | undefined;
      // Only for jobs that ask: an input may be long.
      const ownHash = () => {
        hash ??= jobHash(job);
        return hash;
      };
      const room = roomOf((why) => log.warn({ stage: "checkpoints", job: id }, why));
      sweep();
      return {
        async get(name) {
          const found = await readStored(bucket, keyOf(id, name), Stored, { maxBytes: MAX_BYTES, signal });
          if (found.is !== "found" || found.ageMs > MAX_AGE_MS) return undefined;
          return found.value.jobHash === ownHash() ? found.value.value : undefined;
        },
        async put(name, value) {
          signal.throwIfAborted();
          const body = JSON.stringify({ jobHash: ownHash(), value } satisfies z.input<typeof Stored>);
          if (!room.takes(name, Buffer.byteLength(body))) return;
          remember(used, id);
          await bucket
            .put(keyOf(id, name), body, { contentType: "application/json", signal })
            .catch((thrown) => {
              throw unavailable(thrown);
            });
        },
      };
    },
    async remove(id, attempts) {
      if (!used.delete(id) && attempts < 2) return;
      await removeAll(`${CHECKPOINTS}${id}/`, () => true);
    },
  };
}

/** A name that could be anything but the last part of a key becomes its hash, so that none leaves the folder of its job. */
function keyOf(id: string, name: string): string {
  const isPlain = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name) && !name.startsWith(HASHED);
  const file = isPlain ? name : HASHED + createHash("sha256").update(name).digest("hex");
  return `${CHECKPOINTS}${id}/${file}.json`;
}
const HASHED = "sha256-";

/** Counts what a run keeps. The job goes on without what is too much, which is said once. */
function roomOf(warn: (why: string) => void) {
  let [bytes, puts, isTold] = [0, 0, false];
  const tell = (why: string) => {
    if (!isTold) warn(why);
    isTold = true;
    return false;
  };
  return {
    takes(name: string, size: number): boolean {
      if (size > MAX_BYTES)
        return tell(`the checkpoint ${name} is not kept: it has ${size} bytes, the limit is ${MAX_BYTES}`);
      if (bytes + size > MAX_RUN_BYTES || puts + 1 > MAX_RUN_PUTS)
        return tell(
          `no more checkpoints of this run are kept: the limit is ${MAX_RUN_BYTES} bytes in ${MAX_RUN_PUTS} writes`,
        );
      bytes += size;
      puts += 1;
      return true;
    },
  };
}

function remember(ids: Set<string>, id: string): void {
  ids.add(id);
  if (ids.size > REMEMBERED) ids.delete(ids.values().next().value!);
}

/** The worker lacks a right on its own bucket: that is not the sender's fault, and the operator can correct it. */
function unavailable(thrown: unknown): unknown {
  if (!(thrown instanceof KamadoError) || thrown.code !== "object_forbidden") return thrown;
  const message = `The worker may not write to ${CHECKPOINTS} of its bucket: ${thrown.message}`;
  return new KamadoError("storage_unavailable", message, { cause: thrown });
}
