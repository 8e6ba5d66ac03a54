// The messages that are held and do not run yet, and which of them may be next: one at a time of each message group.
import type { Message } from "../queue/queue.ts";
import { nextToRun } from "./admission.ts";
import type { Lease } from "./lease.ts";

type Waiting = { lease: Lease; priority: number; group: string | null };

export class WaitingRoom {
  readonly #priorityOf: (message: Message) => number;
  readonly #onLeave: (lease: Lease) => void;
  readonly #running = new Set<string>();
  #waiting: Waiting[] = [];

  /** `onLeave` is told of a message that cannot wait any longer: its lease has ended. */
  constructor(options: { priorityOf(message: Message): number; onLeave(lease: Lease): void }) {
    this.#priorityOf = options.priorityOf;
    this.#onLeave = options.onLeave;
  }

  get size(): number {
    return this.#waiting.length;
  }

  enter(lease: Lease): void {
    const { message } = lease;
    this.#waiting.push({ lease, priority: this.#priorityOf(message), group: message.group });
    const leave = () => this.#takeOut((one) => one.lease === lease).length > 0 && this.#onLeave(lease);
    lease.signal.addEventListener("abort", leave, { once: true });
  }

  /** Takes out who is next; its group is barred until `leave`. */
  next(): Lease | undefined {
    const index = nextToRun(this.#waiting, this.#running);
    if (index < 0) return undefined;
    const [{ lease, group }] = this.#waiting.splice(index, 1) as [Waiting];
    if (group !== null) this.#running.add(group);
    return lease;
  }

  /** The run of this message's group is over. */
  leave({ message: { group } }: Lease): void {
    if (group !== null) this.#running.delete(group);
  }

  /** Takes out everything, or one group. */
  clear(group?: string): Lease[] {
    return this.#takeOut((one) => group === undefined || one.group === group).map(({ lease }) => lease);
  }

  #takeOut(which: (one: Waiting) => boolean): Waiting[] {
    const out = this.#waiting.filter(which);
    this.#waiting = this.#waiting.filter((one) => !out.includes(one));
    return out;
  }
}
