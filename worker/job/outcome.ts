// How one run of a job ended. A closed union: every end has a name, and a shutdown is not a failure.
import type { KamadoError } from "../errors.ts";
import type { Job } from "./envelope.ts";
import type { Result } from "./result.ts";

export type Outcome =
  /** The work is done; the result may be new or one that was stored by an earlier run. */
  | { is: "succeeded"; job: Job; result: Result }
  /** Trying again cannot help. With a job there is a failed result to deliver; without one the message is dead-lettered. */
  | { is: "rejected"; error: KamadoError; job?: Job; result?: Result }
  /** Trying again later may help. */
  | { is: "retry"; error: KamadoError; afterMs?: number }
  /** Cut short by a stop or a lost lease; nothing is known about the job itself. */
  | { is: "interrupted"; why: "stopping" | "lease_lost" }
  /** It waited too long and was not started. */
  | { is: "expired"; job: Job; result: Result };
