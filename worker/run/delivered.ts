// Which destinations already have the end that a message came to, while others of its destinations are still being tried.
// Only a saving: another worker that takes the message over sends again, under the same idempotency keys.

/** Ends remembered at most; the oldest are forgotten first. */
const REMEMBERED = 1_000;

export class Delivered {
  readonly #byEnd = new Map<string, Set<string>>();

  /** The names of the destinations that need nothing more. Adding to the set remembers. */
  of(end: string): Set<string> {
    const known = this.#byEnd.get(end) ?? new Set();
    this.#byEnd.delete(end);
    this.#byEnd.set(end, known);
    const [oldest] = this.#byEnd.keys();
    if (this.#byEnd.size > REMEMBERED) this.#byEnd.delete(oldest!);
    return known;
  }

  forget(end: string): void {
    this.#byEnd.delete(end);
  }
}
