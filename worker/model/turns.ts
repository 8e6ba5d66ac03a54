// Whose request goes to the engine next. The engine's queue serves all jobs and is short, so a job that asks a thousand questions at
// once sends only a few at a time, and the next turn is for the job that has the fewest requests at the engine. A job that has none
// there never waits. The order among the requests that have arrived is the engine's: it knows priorities and shared prefixes.

/** How many rounds of answers may be at the engine: one is generated, one waits there, so that no slot idles. */
const ROUNDS = 2;

export type TurnsOptions = {
  /** How many requests of one job may be at the engine at the same time. Fewer where the engine has fewer slots. */
  atOnce: number;
  /** How many answers the engine generates at once; where it does not say so, `atOnce` is the guess. */
  slots?(): number | undefined;
};

/** One job's turns. `take` throws the signal's reason if the job ends before its turn comes. */
export type JobTurns = { take<T>(work: () => Promise<T>): Promise<T> };

type Waiting = { start(): void; drop(reason: unknown): void };
type Job = { inFlight: number; waiting: Waiting[] };

export class Turns {
  readonly #options: TurnsOptions;
  /** Jobs with requests that wait. The one that was served last stands last. */
  readonly #jobs = new Set<Job>();
  #inFlight = 0;

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /** When the signal fires, what waits is dropped. */
  forJob(signal: AbortSignal): JobTurns {
    const job: Job = { inFlight: 0, waiting: [] };
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
    for (let job = this.#next(); job; job = this.#next()) {
      job.inFlight += 1;
      this.#inFlight += 1;
      const one = job.waiting.shift();
      this.#jobs.delete(job);
      if (job.waiting.length > 0) this.#jobs.add(job);
      one!.start();
    }
  }

  #next(): Job | undefined {
    const { atOnce } = this.#options;
    const slots = this.#options.slots?.() ?? atOnce;
    const most = this.#inFlight < ROUNDS * slots ? Math.min(atOnce, slots) : 1;
    const may = [...this.#jobs].filter(({ inFlight }) => inFlight < most);
    return may.toSorted((one, other) => one.inFlight - other.inFlight)[0];
  }
}
