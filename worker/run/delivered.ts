// Which destinations of a message already have its result, while others of its destinations are still being tried.
// Only a saving: another worker that takes the message over sends again, under the same idempotency keys.

/** Messages remembered at most; the oldest are forgotten first. */
const REMEMBERED = 1_000;

export class Delivered {
  readonly #byMessage = new Map<string, Set<string>>();

  /** The names of the destinations that need nothing more. Adding to the set remembers. */
  of(messageId: string): Set<string> {
    const known = this.#byMessage.get(messageId) ?? new Set();
    this.#byMessage.delete(messageId);
    this.#byMessage.set(messageId, known);
    const [oldest] = this.#byMessage.keys();
    if (this.#byMessage.size > REMEMBERED) this.#byMessage.delete(oldest!);
    return known;
  }

  forget(messageId: string): void {
    this.#byMessage.delete(messageId);
  }
}
