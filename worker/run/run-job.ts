// The whole life of a job, as verbs, in order. Every station is a file of its own.
import { toKamadoError } from "../errors.ts";
import type { Acks } from "./acks.ts";
import { type AttemptHouse, attempt } from "./attempt.ts";
import { backoffMs } from "./backoff.ts";
import type { DeadLetters } from "./dead-letters.ts";
import type { DeliverAll } from "./deliver-all.ts";
import { Hold, type Holds } from "./hold.ts";
import type { Journal } from "./journal.ts";
import type { Lease } from "./lease.ts";
import { type Ending, type Plan, retryBackoff, settle } from "./settle.ts";
import { storeResult } from "./store-result.ts";
import { tellEnd, tellReceived } from "./tell.ts";

export type House = AttemptHouse &
  Holds & {
    deliverAll: DeliverAll;
    deadLetters: DeadLetters;
    acks: Acks;
    journal: Journal;
    maxAttempts: number;
    /** Before the second attempt, when it is another wait than the usual one. */
    retryMs?: number;
  };

/** Runs one message to its end. Never throws. Resolves with false when the message went back and its group must wait for it. */
export async function runJob(lease: Lease, cut: AbortSignal, house: House): Promise<boolean> {
  const { message } = lease;
  const hold = new Hold(house);
  const onRead: Parameters<typeof attempt>[3]["onRead"] = (read) =>
    tellReceived(read, message, house.journal);
  const outcome = await attempt(lease, cut, hold, { ...house, onRead });
  const plan = settle(outcome, { ...house, receiveCount: message.receiveCount });
  const ending = await carryOut(plan, lease, hold, cut, house);
  // Before the message goes back: whoever receives it next must not find the job taken.
  await hold.end(ending === "delete" ? "done" : "again");
  finish(lease, ending, house);
  tellEnd(outcome, ending, message, house.journal);
  return ending === "delete";
}

/** store -> deliver -> dead-letter. Before each effect lease and marker are confirmed: what another worker holds is not ours to finish. */
async function carryOut(
  plan: Plan,
  lease: Lease,
  hold: Hold,
  cut: AbortSignal,
  house: House,
): Promise<Ending> {
  const isOurs = async () => (await lease.confirm()) && (await hold.confirm());
  try {
    const signal = AbortSignal.any([lease.signal, cut]);
    if (plan.store && (await isOurs())) await storeResult(plan.store, house, isOurs, signal);
    const gone = AbortSignal.any([lease.lost, hold.lost, cut]);
    if (plan.deliver && (await isOurs()))
      await house.deliverAll(plan.deliver, lease.message, { isOurs, signal: gone });
    if (plan.deadLetter && (await isOurs()))
      await house.deadLetters.message(lease.message, plan.deadLetter, receiptOf(plan));
    return (await isOurs()) ? plan.message : "leave";
  } catch (thrown) {
    if (lease.signal.aborted || hold.lost.aborted) return "leave";
    if (cut.aborted) return { releaseAfterSeconds: 0 };
    // The result is stored, or will be worked out again: either way the message comes back later.
    const error = toKamadoError(thrown, "delivery_failed");
    house.journal.tell(
      "delivery_failed",
      { job: plan.deliver?.job.id ?? lease.message.id, error: error.code },
      error.message,
    );
    const asked = error.detail?.retryAfterMs;
    const ms = Math.max(
      typeof asked === "number" ? asked : 0,
      backoffMs(lease.message.receiveCount, retryBackoff(house.retryMs)),
    );
    return { releaseAfterSeconds: Math.ceil(ms / 1_000) };
  }
}

const receiptOf = ({ store, deliver }: Plan) => (store ?? deliver?.result)?.receipt;

/** The message goes last. The call is gathered with others; the slot is free meanwhile. */
function finish(lease: Lease, ending: Ending, { acks }: House): void {
  if (ending === "delete") void acks.delete(lease);
  else if (ending === "leave") lease.lose("left to the queue");
  else void acks.release(lease, ending.releaseAfterSeconds);
}
