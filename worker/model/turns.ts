// Whose request goes to the engine next. The engine's queue serves all jobs and is short, so a job that asks a thousand questions at
// once sends only a few at a time, and the next turn is for the job that has the fewest requests at the engine. A job that has none
// there never waits. While jobs come and go, those that ask much share half of the slots, so that a newcomer finds a free one. The
// order among the requests that have arrived is the engine's: it knows priorities and shared prefixes.

/** How many rounds of answers may be at the engine: one is generated, one waits there, so that no slot idles. */
const ROUNDS = 2;
/** After a job came while others were asking: so long the next one is expected. */
const SHARED_MS = 10_000;

export type TurnsOptions = {
  /** How many requests of one job may be at the engine at the same time. Fewer where the engine has fewer slots. */
  atOnce: number;
  /** How many answers the engine generates at once; where it does not say so, `atOnce` is the guess. */
  slots?(): number | undefined;
  now?(): number;
};

/**
 * One job's turns. `work` is told whether the job has other requests at the engine. `take` throws the signal's reason if the job
 * ends before its turn comes.
 */
export type JobTurns = { take<T>(work: (hasOthers: boolean) => Promise<T>): Promise<T> };

type Waiting = { start(hasOthers: boolean): void; drop(reason: unknown): void };
type Job = { isNew: boolean; inFlight: number; waiting: Waiting[] };

export class Turns {
  readonly #options: TurnsOptions;
  /** Jobs with requests that wait. The one that was served last stands last. */
  readonly #jobs = new Set<Job>();
  #inFlight = 0;
  #sharedUntil = Number.NEGATIVE_INFINITY;

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /** When the signal fires, what waits is dropped. */
  forJob(signal: AbortSignal): JobTurns {
    const job: Job = { isNew: true, inFlight: 0, waiting: [] };
    const drop = () => {
      this.#jobs.delete(job);
      for (const one of job.waiting.splice(0)) one.drop(signal.reason);
    };
    signal.addEventListener("abort", drop, { once: true });
    return {
      take: async (work) => {
        signal.throwIfAborted();
        const hasOthers = await new Promise<boolean>((start, drop) => this.#enter(job, { start, drop }));
        try {
          return await work(hasOthers);
        } finally {
          job.inFlight -= 1;
          this.#inFlight -= 1;
          this.#startWhatMay();
        }
      },
    };
  }

  #enter(job: Job, waiting: Waiting): void {
    if (job.isNew && this.#jobs.size > 0) this.#sharedUntil = this.#now() + SHARED_MS;
    job.isNew = false;
    job.waiting.push(waiting);
    this.#jobs.add(job);
    this.#startWhatMay();
  }

  #startWhatMay(): void {
    for (let job = this.#next(); job; job = this.#next()) {
      job.inFlight += 1;
      this.#inFlight += 1;
      const one = job.waiting.shift();
      this.#jobs.delete(job);
      if (job.waiting.length > 0) this.#jobs.add(job);
      one!.start(job.inFlight > 1);
    }
  }

  #next(): Job | undefined {
    const { atOnce } = this.#options;
    const slots = this.#options.slots?.() ?? atOnce;
    const room = this.#now() < this.#sharedUntil ? Math.ceil(slots / 2) : ROUNDS * slots;
    const most = this.#inFlight < room ? Math.min(atOnce, slots) : 1;
    const may = [...this.#jobs].filter(({ inFlight }) => inFlight < most);
    return may.toSorted((one, other) => one.inFlight - other.inFlight)[0];
  }

  #now = () => this.#options.now?.() ?? performance.now();
}
