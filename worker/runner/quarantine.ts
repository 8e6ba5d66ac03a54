// Owns which jobs of this worker may use the engine at the same time: all of them, but a suspect runs alone. Jobs enter in order
// of arrival. A suspect that has its turn waits until the others have left, but not for long: behind it new jobs wait. Nor is it
// alone for long: a job that kills the engine usually does so soon, and an honest one may take minutes. Which job is a suspect, and
// whose turn it is, is decided in suspects.ts.
import type { Clock } from "../async/clock.ts";
import { type Held, type Suspect, Suspects } from "./suspects.ts";

/** Inside: `leave` says how the run ended, with the deaths that the job has by then. */
export type Place = {
  is: "inside";
  /** Whether no other job has been beside it so far. */
  readonly isAlone: boolean;
  leave(how: "succeeded" | "died" | "otherwise", job: Suspect): void;
};
type Waiting = { isAlone: boolean; admit(): void };

/** How long a suspect waits for the others to leave, at its first turn. Each time it gives way, the next wait is twice as long. */
const PATIENCE_MS = 10_000;
const MOST_PATIENCE_MS = 60_000;
/** After this time other jobs are let in beside a suspect. */
const ALONE_MS = 30_000;

export class Quarantine {
  readonly #clock: Clock;
  readonly #engine: { readonly answersSince: number };
  readonly #onDeath: () => void;
  readonly #suspects = new Suspects();
  #inside = 0;
  /** Since when a suspect is inside, or waits to be. */
  #turnSince: number | null = null;
  #hasSuspect = false;
  #waiting: Waiting[] = [];
  /** The deaths so far, so that several jobs that were in the engine report one. */
  #deaths = 0;

  /** `onDeath` is called once for each death, before any other job enters. */
  constructor(options: { engine: { readonly answersSince: number }; onDeath(): void; clock: Clock }) {
    this.#clock = options.clock;
    this.#engine = options.engine;
    this.#onDeath = options.onDeath;
  }

  /** Rejects with the signal's reason if it fires first. */
  async enter(job: Suspect, signal: AbortSignal): Promise<Place | Held> {
    signal.throwIfAborted();
    const now = this.#clock.now();
    const backAt = this.#engine.answersSince;
    const verdict = this.#suspects.judge(job, { turnSince: this.#turnSince, backAt, now });
    if (verdict.is === "held") return verdict;
    const isAlone = verdict.is === "alone";
    if (isAlone) this.#turnSince = now;
    const patience = isAlone ? patienceAfter(this.#suspects.timesGivenWay(job)) : null;
    const isInside = await this.#waitToEnter(isAlone, patience, signal).catch((reason) => {
      if (isAlone) this.#turnSince = null;
      throw reason;
    });
    if (isInside) return this.#place(isAlone);
    this.#turnSince = null;
    return this.#suspects.giveWay(job, this.#clock.now());
  }

  /** False when the patience is over. */
  async #waitToEnter(isAlone: boolean, patienceMs: number | null, signal: AbortSignal): Promise<boolean> {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const waiting = { isAlone, admit: () => resolve(true) };
    const giveUp = () => {
      this.#waiting = this.#waiting.filter((one) => one !== waiting);
      if (signal.aborted) reject(signal.reason);
      else resolve(false);
      this.#admit();
    };
    signal.addEventListener("abort", giveUp, { once: true });
    this.#waiting.push(waiting);
    this.#admit();
    const over = new AbortController();
    if (patienceMs !== null)
      void this.#clock.sleep(patienceMs, over.signal).then(() => {
        if (this.#waiting.includes(waiting)) giveUp();
      });
    return promise.finally(() => {
      over.abort();
      signal.removeEventListener("abort", giveUp);
    });
  }

  #place(mayBeAlone: boolean): Place {
    const deathsBefore = this.#deaths;
    const over = new AbortController();
    let isAlone = mayBeAlone;
    const endTurn = () => {
      if (!isAlone) return;
      isAlone = false;
      this.#turnSince = null;
      this.#hasSuspect = false;
    };
    if (mayBeAlone)
      void this.#clock.sleep(ALONE_MS, over.signal).then(() => {
        if (over.signal.aborted) return;
        endTurn();
        this.#admit();
      });
    return {
      is: "inside",
      get isAlone() {
        return isAlone;
      },
      leave: (how, job) => {
        over.abort();
        if (how === "succeeded") this.#suspects.succeeded(job);
        if (how === "died") this.#died(job, deathsBefore);
        this.#inside -= 1;
        endTurn();
        this.#admit();
      },
    };
  }

  #died(job: Suspect, deathsBefore: number): void {
    const now = this.#clock.now();
    if (deathsBefore === this.#deaths) {
      this.#deaths += 1;
      this.#suspects.died(now);
      this.#onDeath();
    }
    this.#suspects.wasThere(job, now);
  }

  #admit(): void {
    for (let [first] = this.#waiting; first; [first] = this.#waiting) {
      if (this.#hasSuspect || (first.isAlone && this.#inside > 0)) return;
      this.#waiting.shift();
      this.#inside += 1;
      this.#hasSuspect = first.isAlone;
      first.admit();
    }
  }
}

const patienceAfter = (timesGivenWay: number) => Math.min(MOST_PATIENCE_MS, PATIENCE_MS * 2 ** timesGivenWay);
