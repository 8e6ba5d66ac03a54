// The messages that are held and do not run yet, and which of them may be next: one at a time of each message group.
import type { Message } from "../queue/queue.ts";
import type { Lease } from "./lease.ts";

type Waiting = { lease: Lease; priority: number; group: string | null };

export class PrefetchBuffer {
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

// Who runs next and how many to pull: pure decisions, so that tables can test them.
export type Room = { slots: number; prefetch: number; held: number };

/** The most a queue gives in one receive. */
const MAX_BATCH = 10;

/**
 * How many messages to ask for. 0: wait for room. A poll costs a call whatever it brings, so a worker that is busy
 * waits until half of those it holds in advance have gone.
 */
export function howManyToPull({ slots, prefetch, held }: Room): number {
  const room = slots + prefetch - held;
  const idle = held < slots;
  const worthIt = Math.min(MAX_BATCH, Math.max(1, Math.ceil(prefetch / 2)));
  return idle || room >= worthIt ? Math.max(0, Math.min(MAX_BATCH, room)) : 0;
}

export type Candidate = { priority: number; group: string | null };

/**
 * The index of the waiting message to start next, -1 for none: the highest priority first, the oldest among equals
 * (`waiting` is in order of arrival), one at a time of each message group and those in order.
 */
export function nextToRun(waiting: readonly Candidate[], runningGroups: ReadonlySet<string>): number {
  const barred = new Set(runningGroups);
  let best = -1;
  waiting.forEach(({ priority, group }, index) => {
    if (group !== null && barred.has(group)) return;
    if (group !== null) barred.add(group);
    if (best < 0 || priority > waiting[best]!.priority) best = index;
  });
  return best;
}
