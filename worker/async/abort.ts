// Waiting that ends when a signal fires, for work that knows no signals.

/**
 * The promise's value, or the signal's reason if the signal fires first. The work itself goes on; what becomes of it is
 * ignored.
 */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  // Whichever of the two loses the race must not count as an unhandled rejection.
  work.catch(() => {});
  aborted.catch(() => {});
  return Promise.race([aborted, work]).finally(() => signal.removeEventListener("abort", onAbort));
}

/** Resolves when the signal fires. */
export function whenAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
