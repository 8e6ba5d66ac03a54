// Whose turn it is among the tenants of one queue that have messages waiting: the one with the fewest running slots, among equals the one
// that has had the least slot time. Knows neither messages nor their priorities: prefetch-buffer.ts keeps those.
//
// Slot time is compared on a clock of its own (as in weighted fair queueing): it runs as fast as one of the tenants that are there would be
// served if all were served evenly. A tenant that comes begins at that clock's time, so that it claims nothing for the past; one that
// was served is ahead of it by what it had. So a tenant that waits is overtaken by newcomers only until the clock has caught up with it, and
// none starves, however many come.

/** Null stands for all that name no tenant: together they are one. */
export type Tenant = string | null;

/** So far ahead of the clock at most, so that a very long job is forgiven after a while. Milliseconds of slot time. */
const WINDOW_MS = 600_000;

type Account = { waiting: number; running: number; served: number };

export class TenantShares {
  readonly #now: () => number;
  /** Those that have messages here, and those that are still ahead of the clock. */
  readonly #accounts = new Map<Tenant, Account>();
  #at: number;
  #clock = 0;

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
    this.#at = now();
  }

  /** Negative when `one` is before `other`, 0 when neither is. */
  compare(one: Tenant, other: Tenant): number {
    const [a, b] = [this.#accounts.get(one), this.#accounts.get(other)];
    return (a?.running ?? 0) - (b?.running ?? 0) || this.#servedOf(a) - this.#servedOf(b);
  }

  /** Brings the slot times up to date; before tenants are compared. */
  update(): void {
    const now = this.#now();
    const elapsed = Math.max(0, now - this.#at);
    this.#at = now;
    const present = [...this.#accounts.values()].filter(isPresent);
    const busy = present.reduce((sum, { running }) => sum + running, 0);
    for (const account of present) account.served += elapsed * account.running;
    // Nobody waits for anybody: what was used is of no interest.
    if (present.length === 0) this.#accounts.clear();
    else this.#clock += (elapsed * busy) / present.length;
    for (const [tenant, account] of this.#accounts) {
      account.served = Math.min(account.served, this.#clock + WINDOW_MS);
      if (!isPresent(account) && account.served <= this.#clock) this.#accounts.delete(tenant);
    }
  }

  /** A message of the tenant waits here. */
  entered(tenant: Tenant): void {
    this.#change(tenant, { waiting: 1 });
  }

  /** One that waited is gone without a start. */
  left(tenant: Tenant): void {
    this.#change(tenant, { waiting: -1 });
  }

  started(tenant: Tenant): void {
    this.#change(tenant, { waiting: -1, running: 1 });
  }

  /** A run has given its slot up. */
  ended(tenant: Tenant): void {
    this.#change(tenant, { running: -1 });
  }

  /** Whether one of those that are here has a name. */
  get areNamed(): boolean {
    return [...this.#accounts].some(([tenant, account]) => tenant !== null && isPresent(account));
  }

  /** How many messages of each wait and run. */
  list(): { tenant: Tenant; waiting: number; running: number }[] {
    return [...this.#accounts]
      .filter(([, account]) => isPresent(account))
      .map(([tenant, { waiting, running }]) => ({ tenant, waiting, running }));
  }

  #change(tenant: Tenant, by: { waiting?: number; running?: number }): void {
    this.update();
    const account = this.#accounts.get(tenant) ?? { waiting: 0, running: 0, served: this.#clock };
    if (!isPresent(account)) account.served = Math.max(account.served, this.#clock);
    account.waiting += by.waiting ?? 0;
    account.running += by.running ?? 0;
    this.#accounts.set(tenant, account);
  }

  #servedOf = (account: Account | undefined): number => account?.served ?? this.#clock;
}

const isPresent = ({ waiting, running }: Account): boolean => waiting + running > 0;
