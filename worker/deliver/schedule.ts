// When a delivery that failed is tried again: the schedule Standard Webhooks recommends. Pure.
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** How long after one try the next one comes: the first at once, the tenth a day after the ninth. */
const USUAL_MS: readonly number[] = [
  0,
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  ...[2, 5, 10, 14, 20, 24].map((hours) => hours * HOUR),
];
/** From the first try to the last, whatever the schedule or the receiver says. */
export const LONGEST_MS = 72 * HOUR;
/** Added at most, as a part of the delay: receivers that come back must not meet everybody at once. */
const JITTER = 0.1;

export type Tried = {
  /** When this round of tries began, epoch ms. */
  since: number;
  /** Tries made in it; one that an open circuit held back counts, or a dead receiver's deliveries would go round for ever. */
  tries: number;
  now: number;
  /** What the receiver, or the circuit, asked for. */
  retryAfterMs?: number | undefined;
  /** Another schedule than the usual one. */
  delaysMs?: readonly number[] | undefined;
  random?: () => number;
};

/** The moment of the next try, epoch ms; null when the delivery has had its time. */
export function nextTryAt({
  since,
  tries,
  now,
  retryAfterMs = 0,
  delaysMs = USUAL_MS,
  random = Math.random,
}: Tried): number | null {
  const end = since + LONGEST_MS;
  const delay = delaysMs[tries];
  if (delay === undefined || now >= end) return null;
  const spread = 1 + JITTER * random();
  return Math.min(end, now + Math.round(Math.max(delay, retryAfterMs) * spread));
}

/** Whether this is the last try there will be: then it is made, whatever a circuit says. */
export const isLastTry = ({
  since,
  tries,
  now,
  delaysMs = USUAL_MS,
}: Pick<Tried, "since" | "tries" | "now" | "delaysMs">): boolean =>
  now >= since + LONGEST_MS || tries + 1 >= delaysMs.length;
