// Owns the messages that a consumer holds and has not started. It says how many more to pull and which message starts next: tenants take
// turns (tenant-shares.ts), and in a message group one runs at a time. Pulling, running and giving back are left to consumer.ts.
//
// Most of them are kept: their leases are renewed. Where tenants are named, it also looks ahead, past what it will start soon, for messages
// of others. What it finds beyond that is set aside: ours to start until its visibility ends, and not renewed. Then it is in the queue again,
// where other workers find it too.
import type { Message } from "../queue/queue.ts";
import type { Lease } from "./lease.ts";
import type { Tenant, TenantShares } from "./tenant-shares.ts";

/** What decides when a message starts. */
export type Turn = { priority: number; tenant: Tenant };

type Buffered = Turn & { lease: Lease; group: string | null; isKept: boolean };

export type PrefetchBufferOptions = {
  turnOf(message: Message): Turn;
  shares: TenantShares;
  /** How many to keep beside those that run. */
  prefetch(): number;
  /** Renews a lease that was not renewed until now. */
  keep(lease: Lease): void;
  /** A message that was set aside is in the queue again. */
  onExpired(lease: Lease): void;
  /** Called with a message that cannot wait any longer, because its lease has ended. */
  onLeave(lease: Lease): void;
};

export class PrefetchBuffer {
  readonly #options: PrefetchBufferOptions;
  readonly #runningGroups = new Set<string>();
  /** Those that have a slot, and whose they are. */
  readonly #running = new Map<Lease, Tenant>();
  #buffered: Buffered[] = [];

  constructor(options: PrefetchBufferOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#buffered.length;
  }
  /** Those whose leases are renewed. */
  get kept(): number {
    return this.#buffered.filter(({ isKept }) => isKept).length;
  }
  /** How much memory those take that are set aside. */
  get charactersAside(): number {
    return this.#buffered.reduce((sum, one) => sum + (one.isKept ? 0 : one.lease.message.body.length), 0);
  }

  /** Takes in messages that were received. Those that there is no room to keep come back: they are set aside. */
  enter(leases: readonly Lease[], room = Number.POSITIVE_INFINITY): { aside: Lease[]; hasTenant: boolean } {
    this.#dropExpired();
    let left = room;
    const entered = leases.map((lease): Buffered => {
      const turn = this.#options.turnOf(lease.message);
      const isKept = left > 0 || lease.message.receiveCount >= KEPT_FROM || !this.#keepsOneOf(turn.tenant);
      left -= 1;
      return this.#add({ lease, ...turn, group: lease.message.group, isKept });
    });
    return {
      aside: entered.filter(({ isKept }) => !isKept).map(({ lease }) => lease),
      hasTenant: entered.some(({ tenant }) => tenant !== null),
    };
  }

  #add(one: Buffered): Buffered {
    this.#buffered.push(one);
    this.#options.shares.entered(one.tenant);
    const leave = () =>
      this.#takeOut((other) => other === one).length > 0 && this.#options.onLeave(one.lease);
    one.lease.signal.addEventListener("abort", leave, { once: true });
    return one;
  }

  /** Takes out the message to run next; no other of its group follows until `leave`. */
  next(): Lease | undefined {
    this.#dropExpired();
    const { shares, keep } = this.#options;
    shares.update();
    const compare = (one: Tenant, other: Tenant) => shares.compare(one, other);
    const index = nextToRun(this.#buffered, this.#runningGroups, compare);
    if (index < 0) return undefined;
    const [{ lease, group, tenant, isKept }] = this.#buffered.splice(index, 1) as [Buffered];
    if (group !== null) this.#runningGroups.add(group);
    this.#running.set(lease, tenant);
    shares.started(tenant);
    if (!isKept) keep(lease);
    this.#keepMore();
    return lease;
  }

  /** This message has given its slot up, though its run may not be over. */
  free(lease: Lease): void {
    this.#options.shares.ended(this.#running.get(lease) ?? null);
    this.#running.delete(lease);
  }

  /** The run of this message is over: the next one of its group may follow. */
  leave({ message: { group } }: Lease): void {
    if (group !== null) this.#runningGroups.delete(group);
  }

  /** Takes out everything, or one group. */
  clear(group?: string): Lease[] {
    this.#dropExpired();
    return this.#takeOut((one) => group === undefined || one.group === group).map(({ lease }) => lease);
  }

  /** The next message of each tenant is kept, however long it waits. The others of those aside follow in batches: each costs a renewal. */
  #keepMore(): void {
    const aside = this.#buffered.filter(({ isKept }) => !isKept);
    for (const one of aside) if (!this.#keepsOneOf(one.tenant)) this.#keep(one);
    const prefetch = this.#options.prefetch();
    const { kept } = this;
    if (kept > prefetch / 2) return;
    for (const one of aside.filter(({ isKept }) => !isKept).slice(0, prefetch - kept)) this.#keep(one);
  }

  #keep(one: Buffered): void {
    one.isKept = true;
    this.#options.keep(one.lease);
  }

  #keepsOneOf = (tenant: Tenant): boolean =>
    this.#buffered.some((one) => one.isKept && one.tenant === tenant);

  #dropExpired(): void {
    const expired = this.#takeOut(({ isKept, lease }) => !isKept && lease.isOver);
    for (const { lease } of expired) this.#options.onExpired(lease);
  }

  #takeOut(which: (one: Buffered) => boolean): Buffered[] {
    const out = new Set(this.#buffered.filter(which));
    if (out.size === 0) return [];
    this.#buffered = this.#buffered.filter((one) => !out.has(one));
    for (const { tenant } of out) this.#options.shares.left(tenant);
    return [...out];
  }
}

/**
 * A message that was received so often is kept until it starts, because a queue gives up what it has given out too often. Each time that it is
 * set aside takes twice as long as the one before, so that only a wait of many hours comes so far.
 */
const KEPT_FROM = 10;
/** The longest time for which a message is set aside at once. Seconds. */
const LONGEST_ASIDE = 6 * 3_600;

/**
 * How long a message is set aside: the first time its visibility, then twice as long each time. So another worker waits for it no longer than
 * about as long as it has waited already, and a wait of hours costs few receives. Pure.
 */
export const secondsAside = (receiveCount: number, visibilitySeconds: number): number =>
  Math.max(visibilitySeconds, Math.min(LONGEST_ASIDE, visibilitySeconds * 2 ** (receiveCount - 1)));

/** The most messages that SQS gives in one receive. */
export const MAX_BATCH = 10;

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
  /** Messages that are kept and that run. */
  taken: number;
}): number {
  const room = slots + prefetch - taken;
  const isIdle = taken < slots;
  const worthACall = Math.min(MAX_BATCH, Math.max(1, Math.ceil(prefetch / 2)));
  return isIdle || room >= worthACall ? Math.max(0, Math.min(MAX_BATCH, room)) : 0;
}

/**
 * The index of the message to start next, -1 for none. First the tenant whose turn it is, of those that may start one; of that tenant the
 * highest priority, the oldest among equals (`buffered` is in order of arrival). One at a time of each message group, and those in order.
 * `compare` is negative when its first tenant is before its second. Pure.
 */
export function nextToRun(
  buffered: readonly Pick<Buffered, "priority" | "group" | "tenant">[],
  runningGroups: ReadonlySet<string>,
  compare: (one: Tenant, other: Tenant) => number,
): number {
  const barred = new Set(runningGroups);
  let best = -1;
  buffered.forEach(({ priority, group, tenant }, index) => {
    if (group !== null && barred.has(group)) return;
    if (group !== null) barred.add(group);
    const before = buffered[best];
    const isBefore =
      before === undefined ||
      (tenant === before.tenant ? priority > before.priority : compare(tenant, before.tenant) < 0);
    if (isBefore) best = index;
  });
  return best;
}
