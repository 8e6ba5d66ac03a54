// One try of one delivery, wherever it is made: measured, judged, told. What follows from it belongs to its callers,
// deliver-all.ts with the job's message in hand and retry-delivery.ts from the outbox.
import type { Clock } from "../async/clock.ts";
import { type Deliver, destinationKey, labelOf } from "../deliver/deliver.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import type { JobEvents } from "../logging/job-events.ts";
import type { Attempt } from "./delivery-log.ts";
import { type DeliveryRecord, iso } from "./delivery-record.ts";
import type { DisabledDestinations } from "./disabled-destinations.ts";
import { heldUntil, isLastTry, nextTryAt } from "./schedule.ts";

/** How a try ended. `later` has the moment of the next one. */
export type Tried = { attempt: Attempt } & (
  | { is: "delivered" }
  | { is: "later"; at: number; error: KamadoError }
  | { is: "refused"; error: KamadoError }
);

/** `tries`: made before this one in the same round; one that is held back is not made. Throws only when it is not ours any more, or the worker stops: then nothing is known. */
export type TryDelivery = (record: DeliveryRecord, tries: number, right: Right) => Promise<Tried>;
/** Whether what is delivered is still ours, and a signal for when it is not, or when the worker stops. */
export type Right = { isOurs(): Promise<boolean>; signal: AbortSignal };

export type TryDeliveryOptions = {
  deliver: Deliver;
  marks: Pick<DisabledDestinations, "off" | "turnOff">;
  jobEvents: JobEvents;
  worker: string;
  /** The schedule, when it is another than the usual one. */
  delaysMs?: readonly number[] | undefined;
  clock: Clock;
};

export function createTryDelivery(options: TryDeliveryOptions): TryDelivery {
  const { deliver, marks, jobEvents, worker, delaysMs, clock } = options;

  async function hand(record: DeliveryRecord, insist: boolean, right: Right): Promise<void> {
    const { destination, result, input } = record;
    const mark = await marks.off(destination);
    if (mark)
      throw new KamadoError("destination_off", `${mark.to} was turned off at ${mark.at}: ${mark.reason}`, {
        detail: { heldBack: true },
      });
    const job = { ...record.job, input, deliver: [destination], policy: {} };
    await deliver({ job, result, input, destination, insist, ...right });
  }

  /** Only a receiver's own 410: one destination of many behind an origin is gone, for everybody. */
  async function turnOff({ job, destination }: DeliveryRecord, error: KamadoError): Promise<void> {
    await marks.turnOff(destination, error.message).catch((thrown) => {
      const why = toKamadoError(thrown, "storage_unavailable").message;
      jobEvents.emit(
        { stage: "delivery_failed", job: job.id, to: labelOf(destination), error: "storage_unavailable" },
        why,
      );
    });
  }

  return async (record, tries, right) => {
    const [began, since] = [clock.now(), Date.parse(record.since)];
    const at = clock.wall();
    const insist = isLastTry({ since, tries, now: at, delaysMs });
    const error = await hand(record, insist, right).then(
      () => null,
      (thrown) => toKamadoError(thrown, "delivery_failed"),
    );
    if (error) right.signal.throwIfAborted();
    if (error?.code === "lease_lost") throw error;
    if (error?.detail?.httpStatus === 410) await turnOff(record, error);
    const tried = judge(error, { since, tries: tries + 1, now: clock.wall(), delaysMs });
    const attempt: Attempt = {
      at: iso(at),
      key: destinationKey(record.destination),
      to: labelOf(record.destination),
      result: record.result.status,
      attempt: tries + 1,
      ...describe(error, tried),
      tookMs: Math.round(clock.now() - began),
      worker,
    };
    emit(jobEvents, record, attempt, tried, error);
    return { ...tried, attempt };
  };
}

type Judged =
  | { is: "delivered" }
  | { is: "later"; at: number; error: KamadoError }
  | { is: "refused"; error: KamadoError };

type Round = { since: number; tries: number; now: number; delaysMs: readonly number[] | undefined };

function judge(error: KamadoError | null, round: Round): Judged {
  if (!error) return { is: "delivered" };
  if (!error.retry) return { is: "refused", error };
  const asks = { ...round, retryAfterMs: error.detail?.retryAfterMs };
  const at = isHeldBack(error) ? heldUntil(asks) : nextTryAt(asks);
  if (at !== null) return { is: "later", at, error };
  const last = new KamadoError(
    "attempts_exhausted",
    `Not delivered in ${round.tries} tries; the last: ${error.code}: ${error.message}`,
    { cause: error },
  );
  return { is: "refused", error: last };
}

/** Nothing was sent: no try was made. */
export const isHeldBack = ({ detail }: KamadoError) => detail?.heldBack === true;

function describe(
  error: KamadoError | null,
  tried: Judged,
): Pick<Attempt, "outcome" | "status" | "error" | "nextAt"> {
  if (!error) return { outcome: "delivered" };
  const status = error.detail?.httpStatus;
  return {
    outcome: isHeldBack(error) ? "held back" : tried.is === "refused" ? "refused" : "failed",
    ...(status !== undefined && { status }),
    error: tried.is === "refused" ? tried.error.code : error.code,
    ...(tried.is === "later" && { nextAt: iso(tried.at) }),
  };
}

function emit(
  jobEvents: JobEvents,
  { job, result }: DeliveryRecord,
  { to, attempt, nextAt }: Attempt,
  tried: Judged,
  error: KamadoError | null,
): void {
  const about = { job: job.id, kind: job.kind, to, attempt };
  if (tried.is === "delivered")
    jobEvents.emit({ stage: "delivered", ...about, status: result.status }, `delivered to ${to}`);
  else
    jobEvents.emit(
      { stage: "delivery_failed", ...about, error: tried.error.code, ...(nextAt && { nextAt }) },
      error!.message,
    );
}
