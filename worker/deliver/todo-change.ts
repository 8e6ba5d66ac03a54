// Delivers to a todo service that the destinations file names: reads what the service needs to know first, and makes the change. A service
// that remembers no keys is asked whether it has the change already, so that a repeated delivery adds nothing.
import type { Clock } from "../async/clock.ts";
import { ERRORS, KamadoError, toKamadoError } from "../errors.ts";
import type { TodoChange } from "../job/handler.ts";
import type { Outbound } from "../outbound/outbound.ts";
import type { TodoService } from "../todos/service.ts";
import { type Delivery, deliveryId } from "./deliver.ts";
import { FIRST_TIMEOUT_MS, pauseAfter, TIMEOUT_MS } from "./http-answer.ts";

/** Throws as `Deliver` does. */
export async function deliverTodo(
  service: TodoService,
  change: TodoChange,
  { job, destination, isFirstTry, signal }: Delivery,
  { outbound, clock }: { outbound: Outbound; clock: Pick<Clock, "wall"> },
): Promise<void> {
  const until = clock.wall() + (isFirstTry ? FIRST_TIMEOUT_MS : TIMEOUT_MS);
  const send: Outbound["send"] = (request) => {
    const timeoutMs = Math.max(1, until - clock.wall());
    return outbound.send({ ...request, timeoutMs, ...(signal && { signal }) });
  };
  await service.apply(change, deliveryId(job.id, destination), send).catch((thrown) => {
    signal?.throwIfAborted();
    throw asDelivery(thrown);
  });
}

/** 409: the service still works on an earlier try, or somebody changes the same todo. */
export function asDelivery(thrown: unknown): KamadoError {
  const error = toKamadoError(thrown, "delivery_failed");
  if (error.code === "address_refused" || error.code.startsWith("delivery_")) return error;
  const { detail, message, hint, retry } = error;
  const isLater = retry || detail?.httpStatus === 409;
  const wait = detail?.retryAfterMs ?? pauseAfter(detail?.httpStatus);
  return new KamadoError(isLater ? "delivery_failed" : "delivery_rejected", message, {
    cause: error,
    detail: { ...detail, ...(wait !== undefined && { retryAfterMs: wait }) },
    ...(hint !== ERRORS[error.code].hint && { hint }),
  });
}
