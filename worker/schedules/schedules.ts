// Schedules: jobs that are sent at certain times. Owns when a run is due, what becomes of one that was missed or comes too early, and the
// list that the console and the command line change. Each run is an ordinary job; what a time is belongs to schedule.ts, what is kept on disk
// to schedule-store.ts, what other workers know of it to run-record.ts.
import { randomUUID } from "node:crypto";
import type { Clock } from "../async/clock.ts";
import { type ErrorCode, KamadoError, toKamadoError } from "../errors.ts";
import type { Registry } from "../job/registry.ts";
import { resultKey } from "../job/result.ts";
import type { SendJobs, SentJob } from "../job/send-jobs.ts";
import type { Log } from "../logging/log.ts";
import type { Bucket } from "../storage/bucket.ts";
import { claimRun, noteSent, readRun, type StoredRun } from "./run-record.ts";
import { jobIdAt, latestTime, localTimezone, nextTime, readSchedule, type Schedule } from "./schedule.ts";
import { type LastRun, ScheduleStore, type State } from "./schedule-store.ts";
import type { SchedulesFile } from "./schedules-file.ts";

export type SchedulesOptions = {
  file: SchedulesFile;
  registry: Registry;
  send: Pick<SendJobs, "send">;
  bucket: Bucket;
  /** Where they are kept; without one, in memory. */
  folder: string | undefined;
  clock: Clock;
  log: Log;
};

/** Times are epoch milliseconds. */
export type ScheduleRow = Schedule & {
  /** The owner's file is only read; the others can be changed. */
  source: "file" | "console";
  timezone: string;
  next: number | null;
  last: LastRun | null;
  job: { id: string; sentAt: number } | null;
  /** Why it cannot run. */
  problem: string | null;
};

/** What no other try changes. Everything else is tried again until the next run is due: somebody may correct it. */
const FINAL: readonly ErrorCode[] = ["invalid_input", "message_rejected", "body_too_large"];
/** Within this time a run is late, and not missed. */
const LATE_MS = 60_000;
/** A job of which nothing was heard for so long keeps no other one from being sent: its message may be lost. */
const FORGOTTEN_MS = 24 * 3_600_000;
/** A clock that is set back by less is only corrected. */
const SET_BACK_MS = 60_000;
/** Timers stand still while a machine sleeps, so the clock is looked at this often. */
const TICK_MS = 10_000;

type Entry = { schedule: Schedule; source: ScheduleRow["source"]; problem: string | null };

export class Schedules {
  readonly #options: SchedulesOptions;
  readonly #store: ScheduleStore;
  readonly #by = randomUUID();
  #entries = new Map<string, Entry>();
  /** When each is to be looked at again. */
  readonly #lookAt = new Map<string, number>();
  #lookedAt = 0;
  /** Whose trouble was said. */
  readonly #told = new Map<string, string>();
  readonly #stopping = new AbortController();
  #changed = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(options: SchedulesOptions) {
    this.#options = options;
    this.#store = new ScheduleStore(options.folder, options.log);
    this.#readEntries();
  }

  start(): void {
    // From now on a run of a schedule that never ran can be missed, too.
    this.#store.keepStates();
    this.#loop ??= this.#run(this.#stopping.signal);
  }

  /** Waits for a job that is being sent. May be called twice, and before start. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
    await this.#store.idle();
  }

  list(): ScheduleRow[] {
    return [...this.#entries.values()].map((entry) => this.#rowOf(entry));
  }

  /** Throws `schedule_not_found`. */
  get(name: string): ScheduleRow {
    return this.#rowOf(this.#entryOf(name));
  }

  /** Throws `invalid_input`, `disk_full`. */
  async add(written: object): Promise<ScheduleRow> {
    const { name } = this.#read(written);
    await this.#changeOwn((own) => [...this.#ifFree(name, own), written]);
    return this.get(name);
  }

  /**
   * Changes the fields that `written` has, or with `replace` all of them. One of the owner's file can only be turned off and on. Throws
   * `schedule_not_found`, `invalid_input`, `disk_full`.
   */
  async edit(name: string, written: object, { replace = false } = {}): Promise<ScheduleRow> {
    const { source } = this.#entryOf(name);
    const { enabled, ...others } = written as Partial<Schedule>;
    if (source === "file" && typeof enabled === "boolean" && Object.keys(others).length === 0)
      return this.#turn(name, enabled);
    this.#refuseFile(name, source);
    let newName = name;
    await this.#changeOwn((own) => {
      const before = own.find((one) => nameOf(one) === name) as object;
      const after = replace ? { name, ...written } : { ...before, ...written };
      newName = this.#read(after).name;
      if (newName !== name) this.#ifFree(newName, own);
      return own.map((one) => (one === before ? after : one));
    });
    return this.get(newName);
  }

  /** Throws `schedule_not_found`, `invalid_input`, `disk_full`. */
  async remove(name: string): Promise<void> {
    this.#refuseFile(name, this.#entryOf(name).source);
    await this.#changeOwn((own) => own.filter((one) => nameOf(one) !== name));
    this.#store.states.delete(name);
    this.#store.keepStates();
  }

  /** Sends its job at once, also while the one before it runs. Throws `schedule_not_found`, and what sending throws. */
  async runNow(name: string): Promise<SentJob> {
    const { schedule, problem } = this.#entryOf(name);
    if (problem !== null) throw new KamadoError("invalid_input", `${name}: ${problem}.`);
    const now = this.#now();
    const sent = await this.#send(schedule, `${name}-${new Date(now).toISOString()}`);
    const state = this.#stateOf(schedule);
    const last = { at: now, outcome: "sent" } as const;
    this.#keep(name, { ...state, last, job: { id: sent.id, sentAt: now } });
    return sent;
  }

  // The list

  #readEntries(): void {
    const { file, registry, log } = this.#options;
    const entries = new Map<string, Entry>(
      file.schedules.map((schedule) => [schedule.name, { schedule, source: "file", problem: null }]),
    );
    for (const written of this.#store.own) {
      const read = readSchedule(written, registry);
      const name = nameOf(written);
      const entry =
        "schedule" in read ? { schedule: read.schedule, problem: null } : brokenOf(written, read.problem);
      if (entry.problem !== null)
        log.warn({ stage: "schedules" }, `the schedule "${name}" does not run: ${entry.problem}`);
      if (entries.get(name)?.source === "file")
        log.warn({ stage: "schedules" }, `two schedules are named "${name}": that of ${file.path} is used`);
      else entries.set(name, { ...entry, source: "console" });
    }
    this.#entries = entries;
    for (const { schedule } of entries.values()) this.#stateOf(schedule);
  }

  async #changeOwn(change: Parameters<ScheduleStore["changeOwn"]>[0]): Promise<void> {
    await this.#store.changeOwn(change);
    this.#readEntries();
    this.#store.keepStates();
    this.#wake();
  }

  #turn(name: string, enabled: boolean): ScheduleRow {
    const { schedule } = this.#entryOf(name);
    // What was due while it was off is not made up for.
    this.#keep(name, { ...this.#stateOf(schedule), upTo: this.#now(), enabled });
    this.#wake();
    return this.get(name);
  }

  #read(written: unknown): Schedule {
    const read = readSchedule(written, this.#options.registry);
    if ("problem" in read) throw new KamadoError("invalid_input", `${read.problem}.`);
    return read.schedule;
  }

  /** The list, if no schedule in it or in the owner's file has the name. */
  #ifFree(name: string, own: readonly unknown[]): readonly unknown[] {
    const isTaken =
      this.#options.file.schedules.some((one) => one.name === name) || own.map(nameOf).includes(name);
    if (isTaken) throw new KamadoError("invalid_input", `name: there is a schedule "${name}" already.`);
    return own;
  }

  #refuseFile(name: string, source: Entry["source"]): void {
    if (source === "console") return;
    throw new KamadoError(
      "invalid_input",
      `"${name}" stands in ${this.#options.file.path}, which is only read.`,
      {
        hint: "Change it in that file and start Kamado again; here it can be turned off and on, and run.",
      },
    );
  }

  #entryOf(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry) return entry;
    const known = [...this.#entries.keys()].join(", ");
    throw new KamadoError(
      "schedule_not_found",
      `There is no schedule "${name}"${known && `; there are ${known}`}.`,
    );
  }

  #rowOf(entry: Entry): ScheduleRow {
    const { schedule, source, problem } = entry;
    const { upTo, last, job } = this.#stateOf(schedule);
    const isOn = this.#isOn(entry);
    const next = isOn && problem === null ? nextTime(schedule, Math.max(upTo, this.#now())) : null;
    const { timezone = localTimezone() } = schedule;
    return { ...schedule, timezone, enabled: isOn, source, next, last, job, problem };
  }

  #isOn({ schedule, source }: Entry): boolean {
    const own = source === "file" ? this.#store.states.get(schedule.name)?.enabled : undefined;
    return own ?? schedule.enabled;
  }

  /** Of a schedule that is new, or that runs at other times than before, nothing was missed. */
  #stateOf(schedule: Schedule): State {
    const { name } = schedule;
    const before = this.#store.states.get(name);
    const when = [schedule.cron, schedule.timezone ?? "", schedule.enabled ? "" : "off"].join(" ").trim();
    const now = this.#now();
    if (before?.when === when && before.upTo <= now + SET_BACK_MS) return before;
    const state = { last: null, job: null, ...before, when, upTo: now };
    this.#store.states.set(name, state);
    return state;
  }

  #keep(name: string, state: State): void {
    this.#store.states.set(name, state);
    this.#store.keepStates();
  }

  #now(): number {
    return this.#options.clock.wall();
  }

  // The runs

  #wake(): void {
    this.#lookAt.clear();
    this.#changed.abort();
    this.#changed = new AbortController();
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const changed = this.#changed.signal;
      // The clock was set back.
      if (this.#now() < this.#lookedAt) this.#lookAt.clear();
      this.#lookedAt = this.#now();
      for (const entry of [...this.#entries.values()]) if (!signal.aborted) await this.#runIfDue(entry);
      await this.#options.clock.sleep(this.#untilNext(), AbortSignal.any([signal, changed]));
    }
  }

  #untilNext(): number {
    const now = this.#now();
    const later = [...this.#lookAt.values()].map((at) => at - now).filter((ms) => ms > 0);
    return Math.min(TICK_MS, ...later);
  }

  async #runIfDue(entry: Entry): Promise<void> {
    const { schedule, problem } = entry;
    if (problem !== null || !this.#isOn(entry)) return this.#passOver(schedule);
    const { name } = schedule;
    const now = this.#now();
    if (now < (this.#lookAt.get(name) ?? 0)) return;
    // Of several that were missed the latest.
    const at = latestTime(schedule, now);
    if (at === null || at <= this.#stateOf(schedule).upTo) {
      this.#lookAt.set(name, nextTime(schedule, now) ?? Number.POSITIVE_INFINITY);
      return;
    }
    try {
      await this.#runAt(schedule, at);
      this.#told.delete(name);
    } catch (thrown) {
      this.#afterError(schedule, at, toKamadoError(thrown, "queue_unavailable"));
    }
  }

  /** What is due while it is off is not made up for when it is on again. */
  #passOver(schedule: Schedule): void {
    const state = this.#stateOf(schedule);
    this.#store.states.set(schedule.name, { ...state, upTo: this.#now() });
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
    const own = this.#stateOf(schedule).job;
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
    const state = this.#stateOf(schedule);
    const words = { sent: "its job was sent", ...WHY };
    this.#options.log.info(
      { stage: "schedules", ...(job && { job: job.id }) },
      `${name}, ${new Date(last.at).toISOString()}: ${words[last.outcome]}`,
    );
    this.#keep(name, { ...state, upTo: last.at, last, job: job ?? state.job });
  }

  #noteElsewhere(schedule: Schedule, at: number, { job: id, sentAt }: StoredRun): void {
    const job = { id, sentAt: sentAt! };
    this.#keep(schedule.name, {
      ...this.#stateOf(schedule),
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
    const state = this.#stateOf(schedule);
    this.#keep(name, { ...state, last, ...(isFinal && { upTo: at }) });
  }
}

const WHY = {
  skipped: "skipped, because the run before it has no result yet",
  missed: "missed, and not made up for (catchUp is false)",
  failed: "its job could not be sent",
};

const nameOf = (written: unknown): string =>
  typeof written === "object" && written !== null && "name" in written ? String(written.name) : "";

/** Shown as far as it can be read, so that it can be corrected. */
function brokenOf(written: unknown, problem: string): Pick<Entry, "schedule" | "problem"> {
  const fields = written as Partial<Schedule>;
  const { cron = "", kind = "", input } = fields;
  const schedule = { cron: String(cron), kind: String(kind), input, deliver: [], policy: {} };
  return { schedule: { ...schedule, name: nameOf(written), catchUp: true, enabled: true }, problem };
}
