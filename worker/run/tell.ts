// What the journal hears of a run's beginning and its end.
import type { Outcome } from "../job/outcome.ts";
import type { Message } from "../queue/queue.ts";
import type { Read } from "./attempt.ts";
import type { Journal } from "./journal.ts";
import type { Ending } from "./settle.ts";

export function tellReceived(read: Read, message: Message, journal: Journal): void {
  const about = read.is === "job" ? { job: read.job.id, kind: read.job.kind } : { job: message.id };
  journal.tell("received", { ...about, message: message.id, attempt: message.receiveCount }, "received");
}

export function tellEnd(outcome: Outcome, ending: Ending, message: Message, journal: Journal): void {
  const job = "job" in outcome ? outcome.job : "about" in outcome ? outcome.about?.job : undefined;
  const result = resultOf(outcome);
  const error = "error" in outcome ? outcome.error : undefined;
  journal.tell(
    "ended",
    {
      job: job?.id ?? message.id,
      outcome: outcome.is,
      ending: typeof ending === "string" ? ending : `back in ${ending.releaseAfterSeconds} s`,
      ...(job && { kind: job.kind }),
      ...(error && { error: error.code }),
      ...(result && { receipt: result.receipt }),
    },
    error ? `${outcome.is}: ${error.message}` : outcome.is,
  );
}

function resultOf(outcome: Outcome) {
  if ("result" in outcome) return outcome.result;
  return outcome.is === "rejected" ? outcome.about?.result : undefined;
}
