// Schedules: jobs that are sent at certain times. Owns the list that the console and the command line change, and when each of them is looked
// at. What becomes of a run is left to schedule-runs.ts, what a time is to schedule.ts, what is kept on disk to schedule-store.ts.
import type { Clock } from "../async/clock.ts";
import { KamadoError } from "../errors.ts";
import type { Registry } from "../job/registry.ts";
import type { SentJob } from "../job/send-jobs.ts";
import { localTimezone, nextTime, readSchedule, type Schedule } from "./schedule.ts";
import { type RunsOptions, ScheduleRuns } from "./schedule-runs.ts";
import { type LastRun, ScheduleStore } from "./schedule-store.ts";
import type { SchedulesFile } from "./schedules-file.ts";

export type SchedulesOptions = RunsOptions & {
  file: SchedulesFile;
  registry: Registry;
  /** Where they are kept; without one, in memory. */
  folder: string | undefined;
  clock: Clock;
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

/** Timers stand still while a machine sleeps, so the clock is looked at this often. */
const TICK_MS = 10_000;

type Entry = { schedule: Schedule; source: ScheduleRow["source"]; problem: string | null };

export class Schedules {
  readonly #options: SchedulesOptions;
  readonly #store: ScheduleStore;
  readonly #runs: ScheduleRuns;
  #entries = new Map<string, Entry>();
  /** When each is to be looked at again. */
  readonly #lookAt = new Map<string, number>();
  #lookedAt = 0;
  readonly #stopping = new AbortController();
  #changed = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(options: SchedulesOptions) {
    this.#options = options;
    this.#store = new ScheduleStore(options.folder, options.log);
    this.#runs = new ScheduleRuns(this.#store, options);
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

  /** Throws `schedule_not_found`, and what sending throws. */
  async runNow(name: string): Promise<SentJob> {
    const { schedule, problem } = this.#entryOf(name);
    if (problem !== null) throw new KamadoError("invalid_input", `${name}: ${problem}.`);
    return this.#runs.runNow(schedule);
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
    for (const { schedule } of entries.values()) this.#runs.stateOf(schedule);
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
    this.#runs.keep(name, { ...this.#runs.stateOf(schedule), upTo: this.#now(), enabled });
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
    const { upTo, last, job } = this.#runs.stateOf(schedule);
    const isOn = this.#isOn(entry);
    const next = isOn && problem === null ? nextTime(schedule, Math.max(upTo, this.#now())) : null;
    const { timezone = localTimezone() } = schedule;
    return { ...schedule, timezone, enabled: isOn, source, next, last, job, problem };
  }

  #isOn({ schedule, source }: Entry): boolean {
    const own = source === "file" ? this.#store.states.get(schedule.name)?.enabled : undefined;
    return own ?? schedule.enabled;
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
      for (const entry of [...this.#entries.values()]) if (!signal.aborted) await this.#look(entry);
      await this.#options.clock.sleep(this.#untilNext(), AbortSignal.any([signal, changed]));
    }
  }

  #untilNext(): number {
    const now = this.#now();
    const later = [...this.#lookAt.values()].map((at) => at - now).filter((ms) => ms > 0);
    return Math.min(TICK_MS, ...later);
  }

  async #look(entry: Entry): Promise<void> {
    const { schedule, problem } = entry;
    if (problem !== null || !this.#isOn(entry)) return this.#runs.passOver(schedule);
    if (this.#now() < (this.#lookAt.get(schedule.name) ?? 0)) return;
    const next = await this.#runs.runIfDue(schedule);
    if (next !== null) this.#lookAt.set(schedule.name, next);
  }
}

const nameOf = (written: unknown): string =>
  typeof written === "object" && written !== null && "name" in written ? String(written.name) : "";

/** Shown as far as it can be read, so that it can be corrected. */
function brokenOf(written: unknown, problem: string): Pick<Entry, "schedule" | "problem"> {
  const fields = written as Partial<Schedule>;
  const { cron = "", kind = "", input } = fields;
  const schedule = { cron: String(cron), kind: String(kind), input, deliver: [], policy: {} };
  return { schedule: { ...schedule, name: nameOf(written), catchUp: true, enabled: true }, problem };
}
