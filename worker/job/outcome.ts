// How one run of a job ended. A closed union: every end has a name, and a shutdown is not a failure.
import type { KamadoError } from "../errors.ts";
import type { Job } from "./envelope.ts";
import type { Receipt, Result } from "./result.ts";

export type Outcome =
  /** The work is done; `stored` when an earlier run did it and the result is already in the bucket. */
  | { is: "succeeded"; job: Job; result: Result; stored: boolean }
  /**
   * Trying again cannot help. With a job (`about`) there is a failed result to deliver, kept in the bucket unless the
   * place is taken, and with `putAside` the message is dead-lettered as well; without a job it always is, with its reason.
   */
  | {
      is: "rejected";
      error: KamadoError;
      about?: { job: Job; result: Result };
      keep?: boolean;
      putAside?: boolean;
    }
  /** Trying again later may help; `about` is what a failed result would say if this was the last try. */
  | { is: "retry"; error: KamadoError; afterMs?: number; about?: { job: Job; receipt: Receipt } }
  /** Cut short by a stop or a lost lease, or held while another run of the job is under way; nothing is known about the job itself. */
  | { is: "interrupted"; why: "stopping" | "lease_lost" | "already_running" }
  /** It waited too long and was not started, or its sender took it back. */
  | { is: "expired" | "canceled"; job: Job; result: Result; stored: boolean }
  /** A message that asks for nothing (a test event), or whose jobs went into messages of their own. */
  | { is: "ignored"; reason: string };
