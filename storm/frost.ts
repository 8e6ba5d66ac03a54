// Processes that are stopped with SIGSTOP, each for its time, and woken again. Which and for how long is decided elsewhere.

type Send = (signal: "SIGSTOP" | "SIGCONT") => boolean;

export class Frost {
  readonly #wakes = new Map<number, () => void>();
  readonly #onChange: () => void;

  /** `onChange` hears of each that falls asleep or wakes. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  has(pid: number): boolean {
    return this.#wakes.has(pid);
  }

  /** False when it is frozen already, or gone. */
  freeze(pid: number, forMs: number, send: Send): boolean {
    if (this.has(pid) || !send("SIGSTOP")) return false;
    this.#onChange();
    const timer = setTimeout(() => this.thaw(pid), forMs);
    this.#wakes.set(pid, () => {
      clearTimeout(timer);
      send("SIGCONT");
    });
    return true;
  }

  /** Before its time, or when it has ended. */
  thaw(pid: number): void {
    const wake = this.#wakes.get(pid);
    if (wake === undefined) return;
    this.#wakes.delete(pid);
    wake();
    this.#onChange();
  }

  thawAll(): void {
    for (const pid of [...this.#wakes.keys()]) this.thaw(pid);
  }
}
