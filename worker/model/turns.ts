// Whose request goes to the engine next. The engine's queue serves all jobs and is short, so a job that asks a thousand questions at
// once sends only a few at a time, and the next turn is for the job that has the fewest requests at the engine. The order among
// the requests that have arrived at the engine is the engine's.

/** How many rounds of answers may be at the engine: one is generated, one waits there, so that no slot idles. */
const ROUNDS = 2;

export type TurnsOptions = {
  /** How many requests of one job may be at the engine at the same time. Fewer where the engine has fewer slots. */
  atOnce: number;
  /** How many answers the engine generates at once, as far as it has said so. */
  slots?(): number | undefined;
};

/** One job's turns. `take` throws the signal's reason if the job ends before its turn comes. */
export type JobTurns = { take<T>(work: () => Promise<T>): Promise<T> };

type Waiting = { start(): void; drop(reason: unknown): void };
type Job = { priority: number; inFlight: number; waiting: Waiting[] };

export class Turns {
  readonly #options: TurnsOptions;
  /** Jobs with requests that wait. The one that was served last stands last. */
  readonly #jobs = new Set<Job>();
  #inFlight = 0;

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /** Of jobs with as many requests at the engine, the one with the higher priority is served first. */
  forJob({ priority, signal }: { priority: number; signal: AbortSignal }): JobTurns {
    const job: Job = { priority, inFlight: 0, waiting: [] };
    const drop = () => {
      this.#jobs.delete(job);
      for (const one of job.waiting.splice(0)) one.drop(signal.reason);
    };
    signal.addEventListener("abort", drop, { once: true });
    return {
      take: async (work) => {
        signal.throwIfAborted();
        await new Promise<void>((start, drop) => this.#enter(job, { start, drop }));
        try {
          return await work();
        } finally {
          job.inFlight -= 1;
          this.#inFlight -= 1;
          this.#startWhatMay();
        }
      },
    };
  }

  #enter(job: Job, waiting: Waiting): void {
    job.waiting.push(waiting);
    this.#jobs.add(job);
    this.#startWhatMay();
  }

  #startWhatMay(): void {
    const slots = this.#options.slots?.();
    const ofAll = slots === undefined ? Number.POSITIVE_INFINITY : ROUNDS * slots;
    const ofOne = Math.min(this.#options.atOnce, slots ?? this.#options.atOnce);
    while (this.#inFlight < ofAll) {
      const job = [...this.#jobs].filter(({ inFlight }) => inFlight < ofOne).toSorted(byTurn)[0];
      if (!job) return;
      job.inFlight += 1;
      this.#inFlight += 1;
      const next = job.waiting.shift();
      this.#jobs.delete(job);
      if (job.waiting.length > 0) this.#jobs.add(job);
      next!.start();
    }
  }
}

const byTurn = (one: Job, other: Job) => one.inFlight - other.inFlight || other.priority - one.priority;
