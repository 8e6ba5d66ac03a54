// Reads from servers that senders name, for jobs that hold a slot meanwhile. A server that does not answer holds the slot of each job
// that waits for it, so jobs that wait for servers of which nobody knows that they answer get half of the slots. A job that finds no
// room is held back: it gives up its slot and comes back later. How one request is made safe is left to outbound.ts.
import { setTimeout as sleep } from "node:timers/promises";
import { RecentMap } from "../async/recent-map.ts";
import { KamadoError } from "../errors.ts";
import type { Get, Outbound } from "./outbound.ts";

type Reads = Pick<Outbound, "getBytes" | "getJson" | "send">;
type Read = { job: object; origin: string; since: number; ended: PromiseWithResolvers<void> };
export type JobReadsOptions = { outbound: Reads; slots(): number; now?: () => number };

/** A read that takes longer counts as one that gets no answer. */
const SLOW_MS = 3_000;
/** Nobody knows a server before its first answer. So long others wait for that, before they are held back. */
const FIRST_ANSWER_MS = 1_000;
/** When a job that found no room comes back. */
const HELD_MS = 5_000;
const REMEMBERED = 2_000;

export class JobReads {
  readonly #options: JobReadsOptions;
  readonly #now: () => number;
  readonly #reads = new Set<Read>();
  /** Whether the last read of an origin was answered soon. */
  readonly #answered = new RecentMap<string, boolean>(REMEMBERED);

  constructor(options: JobReadsOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** As in `Outbound`; throws `fetch_failed` (held back) too. `job`: whatever stands for the run, the same for all of its reads. */
  for(job: object): Reads {
    const { outbound } = this.#options;
    return {
      getBytes: (url, get) => this.#read(job, url, get, () => outbound.getBytes(url, get)),
      getJson: (url, get) => this.#read(job, url, get, () => outbound.getJson(url, get)),
      send: (request) => this.#read(job, request.url, request, () => outbound.send(request)),
    };
  }

  async #read<T>(job: object, url: string, get: Get | undefined, work: () => Promise<T>): Promise<T> {
    const origin = URL.canParse(url) ? new URL(url).origin : "";
    const read = { job, origin, since: this.#now(), ended: Promise.withResolvers<void>() };
    const first = this.#firstOf(origin);
    if (first && !this.#hasRoom(read)) {
      const over = sleep(FIRST_ANSWER_MS, undefined, get?.signal && { signal: get.signal }).catch(() => {});
      await Promise.race([first.ended.promise, over]);
    }
    if (!this.#hasRoom(read)) throw heldBack();
    this.#reads.add(read);
    try {
      const answer = await work();
      this.#answered.set(read.origin, !this.#isSlow(read));
      return answer;
    } catch (thrown) {
      const isAnswer = thrown instanceof KamadoError && thrown.detail?.httpStatus !== undefined;
      // A job that ends early says nothing about the server.
      if (isAnswer || !get?.signal?.aborted || this.#isSlow(read))
        this.#answered.set(read.origin, isAnswer && !this.#isSlow(read));
      throw thrown;
    } finally {
      this.#reads.delete(read);
      read.ended.resolve();
    }
  }

  /** The read under way of a server that nobody has asked before. */
  #firstOf(origin: string): Read | undefined {
    if (this.#answered.get(origin) !== undefined) return undefined;
    return [...this.#reads].find((other) => other.origin === origin && !this.#isSlow(other));
  }

  /** A job that reads already has its room: it holds one slot, however much it reads. */
  #hasRoom(read: Read): boolean {
    const others = [...this.#reads];
    if (others.some(({ job }) => job === read.job)) return true;
    const slots = this.#options.slots();
    if (jobsOf(others) >= Math.ceil((slots * 7) / 8)) return false;
    const silent = others.filter((other) => this.#isSilent(other));
    return !this.#isSilent(read) || jobsOf(silent) < Math.ceil(slots / 2);
  }

  #isSilent = (read: Read) => !this.#answered.get(read.origin) || this.#isSlow(read);
  #isSlow = ({ since }: Read) => this.#now() - since > SLOW_MS;
}

const jobsOf = (reads: readonly Read[]) => new Set(reads.map(({ job }) => job)).size;

const heldBack = () =>
  new KamadoError("fetch_failed", "As many jobs as may wait for servers that do not answer do so already.", {
    detail: { retryAfterMs: HELD_MS, heldBack: true },
  });
