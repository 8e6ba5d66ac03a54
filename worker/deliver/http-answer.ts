// What a receiver's HTTP answer means for a delivery: taken, again later, or never. Pure but for the one call.
import { type ErrorDetail, KamadoError } from "../errors.ts";
import { parseRetryAfter } from "../http/retry-after.ts";
import type { Answer } from "../outbound/answer.ts";
import { isPassing } from "../outbound/answer.ts";
import type { Outbound, Send } from "../outbound/outbound.ts";

export type Verdict = "taken" | "again" | "never";

const TIMEOUT_MS = 20_000;
/** Of what a receiver says, so much is read; it is only for the log. */
const SAID_BYTES = 2_048;
/** Where the receiver does not say how long it wants to be left alone. */
const SLOW_DOWN_MS = 5_000;
/** No message can be hidden for longer. */
const LONGEST_WAIT_MS = 12 * 3_600_000;

/** A redirect is a failure that may pass (a gateway in the middle of a change); a refusal stays one until somebody looks at it. */
export function judgeCallback(status: number): Verdict {
  if (isTaken(status)) return "taken";
  return status < 400 || isPassing(status) ? "again" : "never";
}

/**
 * A REST call is refused by a redirect as well: its handler names the address, and another one is the handler's to
 * correct. 409 is what a receiver says while our first try is still being worked on.
 */
export function judgeRest(status: number): Verdict {
  if (isTaken(status)) return "taken";
  return status === 409 || isPassing(status) ? "again" : "never";
}

const isTaken = (status: number) => status >= 200 && status < 300;

/**
 * Sends a delivery and resolves when it is taken. Throws `delivery_failed` or `delivery_rejected` as `judge` says, and
 * `address_refused`; when the signal fires, its reason.
 */
export async function sendDelivery(
  outbound: Outbound,
  request: Pick<Send, "method" | "url" | "headers" | "body" | "signal">,
  judge: (status: number) => Verdict,
  now: number,
): Promise<void> {
  // The status says all; a receiver that took the result and then dawdles with its page has still taken it.
  const answer = await outbound
    .send({ ...request, timeoutMs: TIMEOUT_MS, maxBytes: SAID_BYTES, answer: "start" })
    .catch(asDelivery);
  const verdict = judge(answer.status);
  if (verdict === "taken") return;
  const code = verdict === "again" ? "delivery_failed" : "delivery_rejected";
  const { hostname } = new URL(answer.url);
  throw new KamadoError(code, `${hostname} answered ${answer.status}.`, {
    detail: detailOf(answer, hostname, now),
  });
}

function detailOf({ status, headers, bytes }: Answer, host: string, now: number): ErrorDetail {
  const slow = [429, 502, 503, 504].includes(status) ? SLOW_DOWN_MS : undefined;
  const wait = parseRetryAfter(headers["retry-after"], now) ?? slow;
  const said = new TextDecoder().decode(bytes).trim();
  return {
    host,
    httpStatus: status,
    ...(wait !== undefined && { retryAfterMs: Math.min(wait, LONGEST_WAIT_MS) }),
    ...(said !== "" && { receiverSaid: said.slice(0, 300) }),
  };
}

function asDelivery(thrown: unknown): never {
  if (!(thrown instanceof KamadoError) || thrown.code === "address_refused") throw thrown;
  const code = thrown.retry ? "delivery_failed" : "delivery_rejected";
  throw new KamadoError(code, thrown.message, { cause: thrown, detail: thrown.detail });
}
