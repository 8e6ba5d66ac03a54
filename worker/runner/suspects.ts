// What a worker remembers of its engine's deaths, and what follows for the next job; pure: time is passed in. When the engine
// dies, every job that was in it is a suspect, because nobody can tell which of them caused it. Deaths in a row mean that one
// of them does it again, so from then on suspects are held apart:
//
//     not suspected                      runs beside the others, at once
//     its turn                           runs alone; if the engine dies again, the job was the cause
//     another suspect's turn, or a pause goes back to the queue for a while; it holds no slot
//
// Suspects take turns. First come kinds of which no job is proven to kill the engine, then kinds that have had a success since,
// then jobs with the fewest deaths, then those of the latest death. After every death there is a pause without suspects, in which
// all other jobs go on. It doubles with each death in a row, up to fifty times as long as the engine was away: however many jobs
// kill the engine, it is soon there nearly all the time. Jobs that only happened to be there do not wait for its end, if their kind
// has had a success since. How a job runs alone is left to quarantine.ts; what one job's deaths prove, to job-lock/engine-deaths.ts.
import { type Deaths, killsEngine, mustRunAlone, totalOf } from "../job-lock/engine-deaths.ts";

export type Suspect = { id: string; kind: string; deaths: Deaths };
/** The job goes back to the queue for so long. */
export type Held = { is: "held"; ms: number };
export type Verdict = { is: "beside" | "alone" } | Held;

/** One death may be an accident of the machine. */
const ROW = 2;
/** Without a death for so long, the row is over. */
const CALM_MS = 300_000;
/** A kind that was in the engine at so many deaths, without a success since, is suspected as a whole. */
const KIND_DEATHS = 2;
/** As long as the first wait of a job whose run failed: by then all suspects are known, and their order. */
const SHORTEST_PAUSE_MS = 5_000;
const LONGEST_PAUSE_MS = 240_000;
/** How many times as long as the engine was away: after the second death in a row, and at most. */
const FIRST_FACTOR = 6;
const MOST_FACTOR = 50;
/** A turn is expected to take so long. One that takes longer is expected to take as long again. */
const TURN_MS = 3_000;
/** A suspect that does not come when its time is over has gone to another worker. */
const LATE_MS = 5_000;
const MOST_HELD = 1_000;

/**
 * `until`: when it is expected back. `gaveWay`: how often it had its turn and gave it up. `diedAt`: when the engine died during it
 * the last time.
 */
type Waiting = Suspect & { until: number; gaveWay: number; diedAt: number };
/** `turnSince`: since when another suspect has its turn; null when none has. `backAt`: when the engine was there again. */
export type Situation = { turnSince: number | null; backAt: number; now: number };

export class Suspects {
  #row = 0;
  #lastAt = 0;
  /** For each kind the deaths since its last success, and when the last one was: a death counts once. */
  readonly #kinds = new Map<string, { deaths: number; at: number }>();
  /** Kinds of which a job is proven to kill the engine, in this row. */
  readonly #proven = new Set<string>();
  /** In order of arrival: a job that is held again keeps its place. */
  readonly #held = new Map<string, Waiting>();

  /** What to do with a job that comes now. */
  judge(job: Suspect, { turnSince, backAt, now }: Situation): Verdict {
    if (!this.#isSuspect(job, now)) {
      this.#held.delete(job.id);
      return { is: "beside" };
    }
    const pause = this.#mustPause(job) ? Math.max(0, this.#endOfPause(backAt) - now) : 0;
    const turn = turnSince === null ? 0 : Math.max(TURN_MS, now - turnSince);
    const ms = Math.max(pause, turn) + this.#ahead(job, now) * TURN_MS;
    if (ms === 0) return { is: "alone" };
    this.#remember(job, now + ms, this.timesGivenWay(job));
    return { is: "held", ms };
  }

  /** The suspect had its turn, but other jobs did not leave the engine in time. */
  giveWay(job: Suspect, now: number): Held {
    const gaveWay = this.timesGivenWay(job) + 1;
    const ms = TURN_MS * gaveWay;
    this.#remember(job, now + ms, gaveWay);
    return { is: "held", ms };
  }

  timesGivenWay({ id }: Suspect): number {
    return this.#held.get(id)?.gaveWay ?? 0;
  }

  died(now: number): void {
    if (now - this.#lastAt >= CALM_MS) this.#forget();
    this.#lastAt = now;
    this.#row += 1;
  }

  #endOfPause(backAt: number): number {
    if (this.#row === 0) return Number.NEGATIVE_INFINITY;
    const from = Math.max(backAt, this.#lastAt);
    const factor = Math.min(MOST_FACTOR, FIRST_FACTOR * 2 ** Math.max(0, this.#row - ROW));
    const pause = factor * (from - this.#lastAt);
    return from + Math.min(LONGEST_PAUSE_MS, Math.max(SHORTEST_PAUSE_MS, pause));
  }

  /** A job that was in the engine when it died. It is expected back soon; then its place in the order is known. */
  wasThere(job: Suspect, now: number): void {
    const known = this.#kinds.get(job.kind);
    if (known?.at !== this.#lastAt)
      this.#kinds.set(job.kind, { deaths: (known?.deaths ?? 0) + 1, at: this.#lastAt });
    this.#held.delete(job.id);
    if (killsEngine(job.deaths)) this.#proven.add(job.kind);
    else this.#remember(job, now + SHORTEST_PAUSE_MS, 0);
  }

  succeeded({ id, kind }: Suspect): void {
    this.#kinds.delete(kind);
    this.#held.delete(id);
  }

  #isSuspect(job: Suspect, now: number): boolean {
    if (mustRunAlone(job.deaths)) return true;
    const isRow = this.#row >= ROW && now - this.#lastAt < CALM_MS;
    return isRow && (totalOf(job.deaths) > 0 || this.#deathsOf(job.kind) >= KIND_DEATHS);
  }

  #mustPause(job: Suspect): boolean {
    return this.#proven.has(job.kind) || (!isNew(job) && this.#deathsOf(job.kind) > 0);
  }

  /** A new job of a suspected kind is the next to run: if it succeeds, its kind is no longer suspected. */
  #ahead(job: Suspect, now: number): number {
    if (isNew(job)) return 0;
    const waiting = [...this.#held.values()].filter(
      ({ id, until }) => id === job.id || until + LATE_MS > now,
    );
    const inOrder = waiting.toSorted((one, other) => this.#compare(one, other));
    const place = inOrder.findIndex(({ id }) => id === job.id);
    return place >= 0 ? place : inOrder.filter((other) => this.#compare(other, job) <= 0).length;
  }

  /**
   * Of equals those of the latest death go first: a crowd that was sent together is in the first ones, and the last of it beside
   * others. Those of one death keep the order in which they came.
   */
  #compare(one: Suspect, other: Suspect): number {
    const byKind = this.#blameOf(one) - this.#blameOf(other);
    return byKind || totalOf(one.deaths) - totalOf(other.deaths) || this.#diedAt(other) - this.#diedAt(one);
  }

  #diedAt = ({ id }: Suspect) => this.#held.get(id)?.diedAt ?? this.#lastAt;

  /** Of a job's kind; 0 when nothing speaks against it. A proven one has more than any number of deaths. */
  #blameOf = ({ kind }: Suspect) => this.#deathsOf(kind) + (this.#proven.has(kind) ? 1e6 : 0);
  #deathsOf = (kind: string) => this.#kinds.get(kind)?.deaths ?? 0;

  #remember(job: Suspect, until: number, gaveWay: number): void {
    const diedAt = this.#held.get(job.id)?.diedAt ?? this.#lastAt;
    this.#held.set(job.id, { ...job, until, gaveWay, diedAt });
    const [oldest] = this.#held.keys();
    if (this.#held.size > MOST_HELD) this.#held.delete(oldest!);
  }

  #forget(): void {
    this.#row = 0;
    this.#kinds.clear();
    this.#proven.clear();
  }
}

/** It was in the engine at no death: only its kind is suspected. */
const isNew = ({ deaths }: Suspect) => totalOf(deaths) === 0;
