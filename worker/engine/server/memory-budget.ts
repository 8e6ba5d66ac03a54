// How many bytes the requests in flight hold together: bodies, pictures, what is kept of answers, and what a client has not read
// yet. A request that would need more than is left is refused or ended; the others go on. What counts is left to the callers.
import { KamadoError } from "../../errors.ts";

const MIB = 1024 * 1024;
/** So much of each request comes from a pool of its own, so that a few large requests leave room for the many small ones. */
const SMALL_BYTES = MIB;
const LIMITS = { small: 64 * MIB, large: 128 * MIB };

/** What one request holds. */
export type Hold = {
  /** From now on it holds so many bytes. Throws `engine_busy`, and changes nothing, if it is more than is left. */
  keep(bytes: number): void;
  /** It holds so many bytes more. Throws as `keep` does. */
  add(bytes: number): void;
  /** It holds nothing any more, whatever is added later. May be called twice. */
  release(): void;
};

export class MemoryBudget {
  readonly #limits: typeof LIMITS;
  readonly #taken = { small: 0, large: 0 };

  constructor(limits: Partial<typeof LIMITS> = {}) {
    this.#limits = { ...LIMITS, ...limits };
  }

  get bytes(): number {
    return this.#taken.small + this.#taken.large;
  }

  hold(): Hold {
    let held = 0;
    let isReleased = false;
    const keep = (bytes: number) => {
      if (isReleased) return;
      this.#move(held, bytes);
      held = bytes;
    };
    const release = () => {
      keep(0);
      isReleased = true;
    };
    return { keep, add: (bytes) => keep(held + bytes), release };
  }

  #move(from: number, to: number): void {
    const [before, after] = [partsOf(from), partsOf(to)];
    for (const pool of ["small", "large"] as const) {
      const taken = this.#taken[pool] - before[pool] + after[pool];
      if (after[pool] > before[pool] && taken > this.#limits[pool]) throw full(this.bytes, this.#limits);
    }
    for (const pool of ["small", "large"] as const) this.#taken[pool] += after[pool] - before[pool];
  }
}

function partsOf(bytes: number) {
  const small = Math.min(bytes, SMALL_BYTES);
  return { small, large: bytes - small };
}

function full(taken: number, { small, large }: typeof LIMITS): KamadoError {
  const [now, most] = [taken, small + large].map((bytes) => Math.round(bytes / MIB));
  return new KamadoError(
    "engine_busy",
    `Requests in flight hold ${now} MiB of at most ${most} MiB; there is no room for this one now.`,
  );
}
