// How one run of a job ended: every possible end has a name, and a shutdown is not a failure.
import type { KamadoError } from "../errors.ts";
import type { Job } from "./envelope.ts";
import type { Receipt, Result } from "./result.ts";

export type Outcome =
  /** The work is done. `stored`: an earlier run did it, and its result is already in the bucket. */
  | { is: "succeeded"; job: Job; result: Result; stored: boolean }
  /**
   * Trying again cannot help. `about`: the job and its failed result, which is delivered. `keep`: the result is stored too; not
   * when the id belongs to another job's result. `deadLetter`: the message also goes to the dead-letter queue. A message that is
   * not a job has no `about` and always goes there.
   */
  | {
      is: "rejected";
      error: KamadoError;
      about?: { job: Job; result: Result };
      keep?: boolean;
      deadLetter?: boolean;
    }
  /** Trying again later may help. `about` is there if the handler was started, for the failed result of the last attempt. */
  | { is: "retry"; error: KamadoError; afterMs?: number; about?: { job: Job; receipt: Receipt } }
  /**
   * The worker stops, the lease is lost, or another worker runs the job. It says nothing about the job itself. `held_apart`: the
   * job is suspected of killing the engine, and it is not its turn; it comes back after `afterMs`.
   * So does one that is `held_back`: too many jobs wait for servers that do not answer.
   */
  | { is: "interrupted"; why: "stopping" | "lease_lost" | "already_running"; afterMs?: never }
  | { is: "interrupted"; why: "held_apart" | "held_back"; afterMs: number }
  /** It was not started before policy.expiresAt, or its sender canceled it. */
  | { is: "expired" | "canceled"; job: Job; result: Result; stored: boolean }
  /** The message asks for nothing (a test event), or its jobs were sent on as separate messages. */
  | { is: "ignored"; reason: string };
