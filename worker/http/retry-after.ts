// The Retry-After header: seconds or an HTTP date. Pure.

/** How many milliseconds to wait from `now` (epoch ms); undefined when the header is missing or invalid. */
export function parseRetryAfter(value: string | undefined, now: number): number | undefined {
  const text = value?.trim() ?? "";
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1_000;
  // A date contains letters. Date.parse alone would also accept "-5" and "2".
  const at = /[A-Za-z]{3}/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
