// Pauses processes with SIGSTOP and wakes them with SIGCONT after a given time. Knows no worker and no plan.

type Send = (signal: "SIGSTOP" | "SIGCONT") => boolean;

export class ProcessPause {
  readonly #wakes = new Map<number, () => void>();
  readonly #onChange: () => void;

  /** `onChange` is called whenever a process is paused or wakes. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  isPaused(pid: number): boolean {
    return this.#wakes.has(pid);
  }

  /** Returns false when the process is paused already or has ended. */
  pause(pid: number, forMs: number, send: Send): boolean {
    if (this.isPaused(pid) || !send("SIGSTOP")) return false;
    this.#onChange();
    const timer = setTimeout(() => this.wake(pid), forMs);
    this.#wakes.set(pid, () => {
      clearTimeout(timer);
      send("SIGCONT");
    });
    return true;
  }

  /** Wakes it before its time. Does nothing when it is not paused. */
  wake(pid: number): void {
    const wake = this.#wakes.get(pid);
    if (wake === undefined) return;
    this.#wakes.delete(pid);
    wake();
    this.#onChange();
  }

  wakeAll(): void {
    for (const pid of [...this.#wakes.keys()]) this.wake(pid);
  }
}
