// One try of one delivery: it is sent, measured, judged and reported. What follows is up to the callers: deliver-result.ts for
// a fresh result, redeliver.ts for a delivery from the outbox.
import type { Clock } from "../async/clock.ts";
import { type Deliver, destinationKey, labelOf } from "../deliver/deliver.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import { eventOf } from "../job/result.ts";
import type { JobEvents } from "../logging/job-events.ts";
import { passOn, type Span, type Tracer } from "../tracing/tracer.ts";
import type { Attempt } from "./delivery-log.ts";
import { type DeliveryRecord, iso } from "./delivery-record.ts";
import type { DisabledDestinations } from "./disabled-destinations.ts";
import { heldUntil, isLastTry, nextTryAt } from "./schedule.ts";

/** How a try ended; `at` is when the next one is due. */
export type Tried = { attempt: Attempt } & Verdict;
type Verdict =
  | { is: "delivered" }
  | { is: "later"; at: number; error: KamadoError }
  | { is: "refused"; error: KamadoError };

/**
 * `tries` were made before this one in the same round. Throws only when another worker has the delivery or this worker stops;
 * then it is unknown whether the receiver has it.
 */
export type TryDelivery = (record: DeliveryRecord, tries: number, ownership: Ownership) => Promise<Tried>;

/** Whether the delivery is still this worker's. The signal fires when it is not, or when the worker stops. */
export type Ownership = { isOurs(): Promise<boolean>; signal: AbortSignal };

export type TryDeliveryOptions = {
  deliver: Deliver;
  disabledDestinations: Pick<DisabledDestinations, "off" | "turnOff" | "worked">;
  jobEvents: JobEvents;
  /** [passes on the trace of the delivery] */
  tracer?: Tracer | undefined;
  worker: string;
  /** Undefined: the usual schedule. */
  delaysMs?: readonly number[] | undefined;
  clock: Clock;
};

export function createTryDelivery(options: TryDeliveryOptions): TryDelivery {
  const { deliver, disabledDestinations, jobEvents, tracer = passOn, worker, delaysMs, clock } = options;

  type How = { insist: boolean; isFirstTry: boolean; span: Span };

  async function send(record: DeliveryRecord, { span, ...how }: How, ownership: Ownership): Promise<void> {
    const { destination, result, input } = record;
    const off = await disabledDestinations.off(destination);
    if (off)
      throw new KamadoError("destination_off", `${off.to} was turned off at ${off.at}: ${off.reason}`, {
        detail: { heldBack: true },
      });
    const job = { ...record.job, input, deliver: [destination], policy: {}, ...span.trace };
    const sent = await deliver({ job, result, input, destination, ...how, ...ownership });
    if (sent === "sent") await disabledDestinations.worked(destination);
  }

  /** After a 410 of the address that the job names. It turns off this one destination, not its whole origin. */
  async function turnOff({ job, destination }: DeliveryRecord, error: KamadoError): Promise<void> {
    await disabledDestinations.turnOff(destination, error.message).catch((thrown) => {
      const why = toKamadoError(thrown, "storage_unavailable").message;
      jobEvents.emit(
        { stage: "delivery_failed", job: job.id, to: labelOf(destination), error: "storage_unavailable" },
        why,
      );
    });
  }

  return async (record, tries, ownership) => {
    const [began, since] = [clock.now(), Date.parse(record.since)];
    const at = clock.wall();
    const insist = isLastTry({ since, tries, now: at, delaysMs });
    const span = tracer.begin(...spanOf(record, tries));
    const error = await send(record, { insist, isFirstTry: tries === 0, span }, ownership).then(
      () => null,
      (thrown) => toKamadoError(thrown, "delivery_failed"),
    );
    span.set({ "http.response.status_code": error?.detail?.httpStatus });
    span.end(error?.code);
    if (error) ownership.signal.throwIfAborted();
    if (error?.code === "lease_lost") throw error;
    // A REST service that answers so for one of its items refuses this job's result only.
    if (error?.detail?.httpStatus === 410 && !error.detail.isOfItem) await turnOff(record, error);
    const verdict = judge(error, { since, tries: tries + 1, now: clock.wall(), delaysMs });
    const attempt: Attempt = {
      at: iso(at),
      key: destinationKey(record.destination),
      to: labelOf(record.destination),
      result: eventOf(record.result),
      attempt: tries + 1,
      ...describe(error, verdict),
      tookMs: Math.round(clock.now() - began),
      worker,
    };
    report(jobEvents, record, attempt, verdict, error);
    return { ...verdict, attempt };
  };
}

function spanOf({ job, destination, trace }: DeliveryRecord, tries: number): Parameters<Tracer["begin"]> {
  const [kind = ""] = Object.keys(destination);
  const attributes = {
    "kamado.job.id": job.id,
    "kamado.delivery.destination": kind,
    "kamado.delivery.to": labelOf(destination),
    "kamado.delivery.attempt": tries + 1,
  };
  const isMessage = "sns" in destination || "sqs" in destination;
  return [`deliver ${kind}`, { parent: trace ?? {}, kind: isMessage ? "producer" : "client", attributes }];
}

type Round = { since: number; tries: number; now: number; delaysMs: readonly number[] | undefined };

function judge(error: KamadoError | null, round: Round): Verdict {
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

/** Nothing was sent, so it does not count as a try. */
export const isHeldBack = ({ detail }: KamadoError) => detail?.heldBack === true;

function describe(
  error: KamadoError | null,
  verdict: Verdict,
): Pick<Attempt, "outcome" | "status" | "error" | "nextAt"> {
  if (!error) return { outcome: "delivered" };
  const status = error.detail?.httpStatus;
  return {
    outcome: isHeldBack(error) ? "held back" : verdict.is === "refused" ? "refused" : "failed",
    ...(status !== undefined && { status }),
    error: verdict.is === "refused" ? verdict.error.code : error.code,
    ...(verdict.is === "later" && { nextAt: iso(verdict.at) }),
  };
}

/** "delivered, status failed" would read as if the delivery had failed. */
const ENDED = { failed: "failed", expired: "expired", canceled: "was canceled" } as const;

function report(
  jobEvents: JobEvents,
  { job, result }: DeliveryRecord,
  delivery: Attempt,
  verdict: Verdict,
  error: KamadoError | null,
): void {
  const { to, attempt, nextAt } = delivery;
  const about = { job: job.id, kind: job.kind, to, attempt };
  if (verdict.is === "delivered")
    jobEvents.emit(
      { stage: "delivered", ...about, result: result.status },
      result.status === "succeeded"
        ? `delivered to ${to}`
        : `told ${to} that the job ${ENDED[result.status]}`,
      { delivery },
    );
  else
    jobEvents.emit(
      { stage: "delivery_failed", ...about, error: verdict.error.code, ...(nextAt && { nextAt }) },
      error!.message,
      { delivery },
    );
}
