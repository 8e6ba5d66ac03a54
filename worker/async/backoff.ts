// How long to wait before the next try. Pure.

export type BackoffOptions = { baseMs: number; maxMs: number; random?: () => number };

/**
 * Exponential backoff with equal jitter: attempt 1 waits base/2..base, attempt 2 twice that, … up to `maxMs`.
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function backoffMs(attempt: number, { baseMs, maxMs, random = Math.random }: BackoffOptions): number {
  const full = Math.min(maxMs, baseMs * 2 ** Math.min(30, Math.max(0, attempt - 1)));
  return Math.round(full / 2 + (full / 2) * random());
}
