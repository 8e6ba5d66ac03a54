// Sends a delivery over HTTP and judges the answer: the receiver took it, may take it later, or never will.
import { ERRORS, type ErrorDetail, KamadoError, toKamadoError } from "../errors.ts";
import { parseRetryAfter } from "../http/retry-after.ts";
import type { Answer } from "../outbound/answer.ts";
import { isPassing, redirectOf } from "../outbound/answer.ts";
import type { Outbound, Send } from "../outbound/outbound.ts";

export type Verdict = "taken" | "again" | "never";

export const TIMEOUT_MS = 20_000;
/** The first try is made while the worker holds the job's message. A receiver that needs longer gets its time from the outbox. */
export const FIRST_TIMEOUT_MS = 10_000;
/** So much of an answer's body is read, for the log. */
const SAID_BYTES = 2_048;
/** The wait after an answer that asks for one without saying how long. */
const SLOW_DOWN_MS = 5_000;
/** SQS cannot hide a message for longer. */
const LONGEST_WAIT_MS = 12 * 3_600_000;

/** A redirect may pass, for example while a gateway is reconfigured. A refusal stays until a person looks at it. */
export function judgeCallback(status: number): Verdict {
  if (isTaken(status)) return "taken";
  return status < 400 || isPassing(status) ? "again" : "never";
}

/**
 * A redirect refuses a REST call: the handler forms the address, so the handler must be corrected. 409 is what a receiver
 * answers while it still works on our first try.
 */
export function judgeRest(status: number): Verdict {
  if (isTaken(status)) return "taken";
  return status === 409 || isPassing(status) ? "again" : "never";
}

const isTaken = (status: number) => status >= 200 && status < 300;

/**
 * Resolves when the receiver took the delivery. Throws `delivery_failed` or `delivery_rejected` as `judge` decides,
 * `address_refused`, and the signal's reason when it fires.
 */
export async function sendDelivery(
  outbound: Outbound,
  request: Pick<Send, "method" | "url" | "headers" | "body" | "signal"> & {
    isFirstTry?: boolean | undefined;
  },
  judge: (status: number) => Verdict,
  now: number,
): Promise<void> {
  const { isFirstTry, ...rest } = request;
  const timeoutMs = isFirstTry ? FIRST_TIMEOUT_MS : TIMEOUT_MS;
  // The status alone counts. A receiver that took the result may be slow with its answer's body.
  const answer = await outbound
    .send({ ...rest, timeoutMs, maxBytes: SAID_BYTES, answer: "start" })
    .catch((thrown) => {
      // A lost lease or a stop says nothing about the receiver.
      request.signal?.throwIfAborted();
      throw asDelivery(thrown);
    });
  const verdict = judge(answer.status);
  if (verdict === "taken") return;
  const code = verdict === "again" ? "delivery_failed" : "delivery_rejected";
  const { hostname } = new URL(answer.url);
  throw new KamadoError(code, `${hostname} answered ${answer.status}${redirectWords(answer)}.`, {
    detail: detailOf(answer, hostname, now),
  });
}

/** Only the host: an address may hold a secret. What was signed for one receiver is not sent to another. */
function redirectWords(answer: Answer): string {
  const to = redirectOf(answer)?.hostname;
  return to === undefined ? "" : `, a redirect to ${to}, which a delivery does not follow`;
}

function detailOf({ status, headers, bytes }: Answer, host: string, now: number): ErrorDetail {
  const wait = parseRetryAfter(headers["retry-after"], now) ?? pauseAfter(status);
  const said = new TextDecoder().decode(bytes).trim();
  return {
    host,
    httpStatus: status,
    ...(wait !== undefined && { retryAfterMs: Math.min(wait, LONGEST_WAIT_MS) }),
    ...(said !== "" && { receiverSaid: said.slice(0, 300) }),
  };
}

const pauseAfter = (status: number | undefined) =>
  status !== undefined && [429, 502, 503, 504].includes(status) ? SLOW_DOWN_MS : undefined;

/** What an error of the HTTP client, or of a todo service, means for a delivery. 409 is judged as in `judgeRest`. */
export function asDelivery(thrown: unknown): KamadoError {
  const error = toKamadoError(thrown, "delivery_failed");
  const { code, detail, message, hint, retry } = error;
  if (code === "address_refused" || code === "lease_lost" || code.startsWith("delivery_")) return error;
  const isLater = retry || detail?.httpStatus === 409;
  const wait = detail?.retryAfterMs ?? pauseAfter(detail?.httpStatus);
  return new KamadoError(isLater ? "delivery_failed" : "delivery_rejected", message, {
    cause: error,
    detail: { ...detail, ...(wait !== undefined && { retryAfterMs: wait }) },
    ...(hint !== ERRORS[code].hint && { hint }),
  });
}
