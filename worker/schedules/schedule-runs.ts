// The runs of schedules. Owns which run is due, and what becomes of one: it is sent, skipped because the one before it is not done, missed,
// or it waits for what is down. Which schedules there are and when they are looked at is left to schedules.ts, what other workers know of a
// run to run-record.ts.
import { randomUUID } from "node:crypto";
import type { Clock } from "../async/clock.ts";
import { type ErrorCode, type KamadoError, toKamadoError } from "../errors.ts";
import { resultKey } from "../job/result.ts";
import type { SendJobs, SentJob } from "../job/send-jobs.ts";
import type { Log } from "../logging/log.ts";
import type { Bucket } from "../storage/bucket.ts";
import { claimRun, noteSent, readRun, type StoredRun } from "./run-record.ts";
import { jobIdAt, latestTime, nextTime, type Schedule } from "./schedule.ts";
import type { LastRun, ScheduleStore, State } from "./schedule-store.ts";

export type RunsOptions = {
  send: Pick<SendJobs, "send">;
  bucket: Bucket;
  clock: Pick<Clock, "wall">;
  log: Log;
};

/** What no other try changes. Everything else is tried again until the next run is due: somebody may correct it. */
const FINAL: readonly ErrorCode[] = ["invalid_input", "message_rejected", "body_too_large"];
/** Within this time a run is late, and not missed. */
const LATE_MS = 60_000;
/** A job of which nothing was heard for so long keeps no other one from being sent: its message may be lost. */
const FORGOTTEN_MS = 24 * 3_600_000;
/** A clock that is set back by less is only corrected. */
const SET_BACK_MS = 60_000;

export class ScheduleRuns {
  readonly #store: ScheduleStore;
  readonly #options: RunsOptions;
  readonly #by = randomUUID();
  /** Whose trouble was said. */
  readonly #told = new Map<string, string>();

  constructor(store: ScheduleStore, options: RunsOptions) {
    this.#store = store;
    this.#options = options;
  }

  /** Sends the job of the run that is due, if one is. Resolves with when the next one is; null when it is to look again soon. Never throws. */
  async runIfDue(schedule: Schedule): Promise<number | null> {
    const now = this.#now();
    // Of several that were missed the latest.
    const at = latestTime(schedule, now);
    if (at === null || at <= this.stateOf(schedule).upTo)
      return nextTime(schedule, now) ?? Number.POSITIVE_INFINITY;
    try {
      await this.#runAt(schedule, at);
      this.#told.delete(schedule.name);
    } catch (thrown) {
      this.#afterError(schedule, at, toKamadoError(thrown, "queue_unavailable"));
    }
    return null;
  }

  /** Sends its job at once, also while the one before it runs. Throws what sending throws. */
  async runNow(schedule: Schedule): Promise<SentJob> {
    const { name } = schedule;
    const now = this.#now();
    const sent = await this.#send(schedule, `${name}-${new Date(now).toISOString()}`);
    const last = { at: now, outcome: "sent" } as const;
    this.keep(name, { ...this.stateOf(schedule), last, job: { id: sent.id, sentAt: now } });
    return sent;
  }

  /** What is due while it is off is not made up for when it is on again. */
  passOver(schedule: Schedule): void {
    const state = this.stateOf(schedule);
    this.#store.states.set(schedule.name, { ...state, upTo: this.#now() });
  }

  /** Of a schedule that is new, or that runs at other times than before, nothing was missed. */
  stateOf(schedule: Schedule): State {
    const { name } = schedule;
    const before = this.#store.states.get(name);
    const when = [schedule.cron, schedule.timezone ?? "", schedule.enabled ? "" : "off"].join(" ").trim();
    const now = this.#now();
    if (before?.when === when && before.upTo <= now + SET_BACK_MS) return before;
    const state = { last: null, job: null, ...before, when, upTo: now };
    this.#store.states.set(name, state);
    return state;
  }

  keep(name: string, state: State): void {
    this.#store.states.set(name, state);
    this.#store.keepStates();
  }

  #now(): number {
    return this.#options.clock.wall();
  }

  async #runAt(schedule: Schedule, at: number): Promise<void> {
    const { name, catchUp } = schedule;
    if (!catchUp && this.#now() - at > LATE_MS) return this.#note(schedule, { at, outcome: "missed" });
    const { bucket } = this.#options;
    const known = await readRun(bucket, name);
    // A record of a time to come was written by a clock that was wrong.
    const isSent = known !== null && known.sentAt !== null && known.at <= this.#now() + SET_BACK_MS;
    if (isSent && known.at >= at) return this.#noteElsewhere(schedule, at, known);
    // Its worker is about to send it; the next look tells.
    if (known?.at === at && known.isHeld && known.by !== this.#by) return;
    if (!(await this.#isFree(schedule, at, known))) return this.#note(schedule, { at, outcome: "skipped" });
    const record = { at, job: jobIdAt(name, at), by: this.#by, sentAt: null };
    if (!(await claimRun(bucket, name, record, known))) return;
    await this.#send(schedule, record.job);
    const sentAt = this.#now();
    // Another worker would send it again after a while; it has one id.
    await noteSent(bucket, name, { ...record, sentAt }).catch(() => {});
    this.#note(schedule, { at, outcome: "sent" }, { id: record.job, sentAt });
  }

  /** Whether the job before it has a result, whichever worker sent it. */
  async #isFree(schedule: Schedule, at: number, known: StoredRun | null): Promise<boolean> {
    const own = this.stateOf(schedule).job;
    const other =
      known && known.sentAt !== null && known.at < at ? { id: known.job, sentAt: known.sentAt } : null;
    const before = [own, other].filter((one) => one !== null && this.#now() - one.sentAt < FORGOTTEN_MS);
    const ended = before.map((one) => this.#options.bucket.exists(resultKey(one!.id)));
    return (await Promise.all(ended)).every(Boolean);
  }

  async #send({ kind, input, deliver, policy }: Schedule, id: string): Promise<SentJob> {
    return this.#options.send.send({ id, kind, input: input ?? {}, deliver, policy });
  }

  #note(schedule: Schedule, last: LastRun, job?: State["job"]): void {
    const { name } = schedule;
    const state = this.stateOf(schedule);
    this.#options.log.info(
      { stage: "schedules", ...(job && { job: job.id }) },
      `${name}, ${new Date(last.at).toISOString()}: ${WORDS[last.outcome]}`,
    );
    this.keep(name, { ...state, upTo: last.at, last, job: job ?? state.job });
  }

  #noteElsewhere(schedule: Schedule, at: number, { job: id, sentAt }: StoredRun): void {
    const job = { id, sentAt: sentAt! };
    this.keep(schedule.name, {
      ...this.stateOf(schedule),
      upTo: at,
      last: { at, outcome: "sent" },
      job,
    });
  }

  /** What may pass by itself is tried again until the next run is due; it is said once. */
  #afterError(schedule: Schedule, at: number, error: KamadoError): void {
    const { name } = schedule;
    const { code, message } = error;
    const isFinal = FINAL.includes(code);
    if (this.#told.get(name) === message && !isFinal) return;
    this.#told.set(name, message);
    this.#options.log.warn(
      { stage: "schedules", error: code },
      `${name}: its job could not be sent: ${message}`,
    );
    const last = { at, outcome: "failed", error: { code, message } } as const;
    const state = this.stateOf(schedule);
    this.keep(name, { ...state, last, ...(isFinal && { upTo: at }) });
  }
}

const WORDS = {
  sent: "its job was sent",
  skipped: "skipped, because the run before it has no result yet",
  missed: "missed, and not made up for (catchUp is false)",
  failed: "its job could not be sent",
};
