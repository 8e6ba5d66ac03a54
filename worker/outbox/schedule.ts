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
  /** Tries made in it. One that was held back, with nothing sent, is none. */
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

/** How long a delivery that waits behind a receiver in trouble stays away, as a part of the time it has waited: it is seen often at first, and some fifty times in all. */
const HELD = 0.1;

/** When a delivery that was held back comes again. The schedule stands still meanwhile, and the last try is made at its end. */
export function heldUntil({
  since,
  now,
  retryAfterMs = 0,
  random = Math.random,
}: Omit<Tried, "tries" | "delaysMs">): number {
  const wait = Math.max(retryAfterMs, HELD * (now - since));
  const at = now + Math.round(wait * (1 + JITTER * random()));
  return Math.max(now, Math.min(since + LONGEST_MS, at));
}

/** How many tries were made where only the receipts are known: waits, stops and crashes are receipts too, so they never use the schedule up before its time is over. */
export function triesByReceipts(
  known: number,
  receipts: number,
  { since, now, delaysMs = USUAL_MS }: Pick<Tried, "since" | "now" | "delaysMs">,
): number {
  if (now >= since + LONGEST_MS) return known + receipts;
  return Math.max(known, Math.min(known + receipts, delaysMs.length - 2));
}

/** Whether this is the last try there will be: then it is made, whatever circuit and quiet say. */
export const isLastTry = ({
  since,
  tries,
  now,
  delaysMs = USUAL_MS,
}: Pick<Tried, "since" | "tries" | "now" | "delaysMs">): boolean =>
  now >= since + LONGEST_MS || tries + 1 >= delaysMs.length;
