// When a failed delivery is tried again: the schedule that Standard Webhooks recommends. Pure.

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** The delay before each try: the first at once, the tenth a day after the ninth. */
const USUAL_MS: readonly number[] = [
  0,
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  ...[2, 5, 10, 14, 20, 24].map((hours) => hours * HOUR),
];
/** The longest time from the first try to the last, whatever the schedule or the receiver says. */
export const LONGEST_MS = 72 * HOUR;
/** At most this share of a delay is added, so that a receiver that is up again does not get all deliveries at once. */
const JITTER = 0.1;

export type TriesSoFar = {
  /** When this round of tries began, epoch ms. */
  since: number;
  /** Tries made in it. A delivery that was held back, with nothing sent, is no try. */
  tries: number;
  now: number;
  /** What the receiver asked for, or how long its circuit stays open. */
  retryAfterMs?: number | undefined;
  /** Another schedule than the usual one. */
  delaysMs?: readonly number[] | undefined;
  random?: () => number;
};

/** When the next try is due, epoch ms; null when there is none left. */
export function nextTryAt({
  since,
  tries,
  now,
  retryAfterMs = 0,
  delaysMs = USUAL_MS,
  random = Math.random,
}: TriesSoFar): number | null {
  const end = since + LONGEST_MS;
  const delay = delaysMs[tries];
  if (delay === undefined || now >= end) return null;
  const spread = 1 + JITTER * random();
  return Math.min(end, now + Math.round(Math.max(delay, retryAfterMs) * spread));
}

/** The wait of a delivery that is held back, as a share of the time it has waited so far: short at first, about fifty waits in all. */
const HELD = 0.1;

/** When a delivery that was held back is due. It uses up no tries, and its last try comes at the end of the three days. */
export function heldUntil({
  since,
  now,
  retryAfterMs = 0,
  random = Math.random,
}: Omit<TriesSoFar, "tries" | "delaysMs">): number {
  const wait = Math.max(retryAfterMs, HELD * (now - since));
  const at = now + Math.round(wait * (1 + JITTER * random()));
  return Math.max(now, Math.min(since + LONGEST_MS, at));
}

/** An estimate of the tries when only the receives are known. Waits, stops and crashes are receives too, so receives alone never use up the schedule before its time is over. */
export function triesByReceives(
  known: number,
  receives: number,
  { since, now, delaysMs = USUAL_MS }: Pick<TriesSoFar, "since" | "now" | "delaysMs">,
): number {
  if (now >= since + LONGEST_MS) return known + receives;
  return Math.max(known, Math.min(known + receives, delaysMs.length - 2));
}

/** Whether this is the last try. It is made even if the circuit is open or the receiver asked for a pause. */
export const isLastTry = ({
  since,
  tries,
  now,
  delaysMs = USUAL_MS,
}: Pick<TriesSoFar, "since" | "tries" | "now" | "delaysMs">): boolean =>
  now >= since + LONGEST_MS || tries + 1 >= delaysMs.length;
