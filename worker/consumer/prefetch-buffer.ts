// Owns the messages that a consumer holds and has not started. It says how many more to pull and which message starts next, and
// lets only one message of a group run at a time. Pulling, running and giving back are left to consumer.ts.
import type { Message } from "../queue/queue.ts";
import type { Lease } from "./lease.ts";

type Buffered = { lease: Lease; priority: number; group: string | null };

export class PrefetchBuffer {
  readonly #priorityOf: (message: Message) => number;
  readonly #onLeave: (lease: Lease) => void;
  readonly #runningGroups = new Set<string>();
  #buffered: Buffered[] = [];

  /** `onLeave` is called with a message that cannot wait any longer, because its lease has ended. */
  constructor(options: { priorityOf(message: Message): number; onLeave(lease: Lease): void }) {
    this.#priorityOf = options.priorityOf;
    this.#onLeave = options.onLeave;
  }

  get size(): number {
    return this.#buffered.length;
  }

  enter(lease: Lease): void {
    const { message } = lease;
    this.#buffered.push({ lease, priority: this.#priorityOf(message), group: message.group });
    const leave = () => this.#takeOut((one) => one.lease === lease).length > 0 && this.#onLeave(lease);
    lease.signal.addEventListener("abort", leave, { once: true });
  }

  /** Takes out the message to run next; no other of its group follows until `leave`. */
  next(): Lease | undefined {
    const index = nextToRun(this.#buffered, this.#runningGroups);
    if (index < 0) return undefined;
    const [{ lease, group }] = this.#buffered.splice(index, 1) as [Buffered];
    if (group !== null) this.#runningGroups.add(group);
    return lease;
  }

  /** The run of this message is over: the next one of its group may follow. */
  leave({ message: { group } }: Lease): void {
    if (group !== null) this.#runningGroups.delete(group);
  }

  /** Takes out everything, or one group. */
  clear(group?: string): Lease[] {
    return this.#takeOut((one) => group === undefined || one.group === group).map(({ lease }) => lease);
  }

  #takeOut(which: (one: Buffered) => boolean): Buffered[] {
    const out = this.#buffered.filter(which);
    this.#buffered = this.#buffered.filter((one) => !out.includes(one));
    return out;
  }
}

/** The most messages that SQS gives in one receive. */
const MAX_BATCH = 10;

/**
 * How many messages to ask for; 0 means wait for room. A poll costs a call whatever it brings, so a worker that is busy
 * waits until half of its prefetched messages have gone. Pure.
 */
export function howManyToPull({
  slots,
  prefetch,
  taken,
}: {
  slots: number;
  prefetch: number;
  /** Messages in the buffer and running. */
  taken: number;
}): number {
  const room = slots + prefetch - taken;
  const isIdle = taken < slots;
  const worthACall = Math.min(MAX_BATCH, Math.max(1, Math.ceil(prefetch / 2)));
  return isIdle || room >= worthACall ? Math.max(0, Math.min(MAX_BATCH, room)) : 0;
}

/**
 * The index of the message to start next, -1 for none: the highest priority first, the oldest among equals (`buffered` is in
 * order of arrival), one at a time of each message group and those in order. Pure.
 */
export function nextToRun(
  buffered: readonly Pick<Buffered, "priority" | "group">[],
  runningGroups: ReadonlySet<string>,
): number {
  const barred = new Set(runningGroups);
  let best = -1;
  buffered.forEach(({ priority, group }, index) => {
    if (group !== null && barred.has(group)) return;
    if (group !== null) barred.add(group);
    if (best < 0 || priority > buffered[best]!.priority) best = index;
  });
  return best;
}
