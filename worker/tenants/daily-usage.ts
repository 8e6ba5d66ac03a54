// Counts what tenants and kinds use in a day, and refuses a job whose budget is used up. The counts are in a small SQLite file, so that they
// survive a restart, and so that workers that share a data folder share them. A worker with another folder counts for itself. Counting
// never fails a job: without a file that works the counts are in memory.
import { dirname } from "node:path";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import type { Clock } from "../async/clock.ts";
import { isDamage, setAside } from "../damaged-database.ts";
import type { Log } from "../logging/log.ts";
import { makeFolder } from "../make-folder.ts";
import {
  type DayBudgets,
  dayOf,
  endOfDay,
  type Limit,
  type Owner,
  spentBudget,
  type Used,
} from "./day-budgets.ts";

export type UsageRow = Owner & Used;
export type Today = { day: string; endsAt: string; rows: UsageRow[]; budgets: DayBudgets };

/** One run that has begun. */
export type Reservation = {
  /** Counts what the run used. `wasRun`: it was a run at all, and not one that a stop cut. */
  end(used: { tokens: number; seconds: number; wasRun: boolean }): void;
};

export type DailyUsageOptions = {
  budgets: DayBudgets;
  /** Undefined: in memory. */
  file: string | undefined;
  clock: Pick<Clock, "wall">;
  log: Log;
};

/** Days that are kept. */
const KEPT_DAYS = 31;
const DAY_MS = 86_400_000;
/** Rows that are shown: who names a new tenant with each job makes as many. */
const MOST_SHOWN = 1_000;
const IN_MEMORY = ":memory:";

const SCHEMA = `CREATE TABLE IF NOT EXISTS used (
  day TEXT NOT NULL, tenant TEXT NOT NULL, kind TEXT NOT NULL,
  jobs INTEGER NOT NULL, tokens INTEGER NOT NULL, seconds REAL NOT NULL,
  PRIMARY KEY (day, tenant, kind)
) WITHOUT ROWID`;
const SUMS =
  "coalesce(sum(jobs), 0) AS jobs, coalesce(sum(tokens), 0) AS tokens, coalesce(sum(seconds), 0) AS seconds";
const ADD = `INSERT INTO used VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
  SET jobs = jobs + excluded.jobs, tokens = tokens + excluded.tokens, seconds = seconds + excluded.seconds`;

export class DailyUsage {
  readonly #options: DailyUsageOptions;
  #database: DatabaseSync;

  constructor(options: DailyUsageOptions) {
    this.#options = options;
    this.#database = this.#open();
  }

  /**
   * Before a run. Throws `budget_exceeded`, with `detail.retryAt`, when a limit that counts for the job is used up. A job that fits in is run to
   * its end, so what runs at the same time may exceed the tokens and seconds of the day by what it uses.
   */
  begin(owner: Owner, { attempt }: { attempt: number }): Reservation {
    const { budgets, clock } = this.#options;
    const [wall, counted] = [clock.wall(), attempt > 1];
    const day = dayOf(wall);
    const error = spentBudget(owner, budgets, (use) => this.#usedBy(day, use), { wall, counted });
    if (error) throw error;
    if (!counted) this.#add(day, owner, { jobs: 1, tokens: 0, seconds: 0 });
    return {
      end: ({ tokens, seconds, wasRun }) =>
        this.#add(day, owner, { jobs: wasRun || counted ? 0 : -1, tokens, seconds }),
    };
  }

  /** What was used since midnight, the largest use first. */
  today(): Today {
    const { clock, budgets } = this.#options;
    const wall = clock.wall();
    const day = dayOf(wall);
    const rows = this.#all(
      `SELECT tenant, kind, jobs, tokens, seconds FROM used WHERE day = ? ORDER BY seconds DESC LIMIT ${MOST_SHOWN}`,
      [day],
    ).map((row) => ({ ...(row as UsageRow), tenant: (row.tenant as string) || null }));
    return { day, endsAt: new Date(endOfDay(wall)).toISOString(), rows, budgets };
  }

  /** What one tenant has used since midnight. */
  usedBy(use: Limit["use"]): Used {
    return this.#usedBy(dayOf(this.#options.clock.wall()), use);
  }

  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }

  #usedBy(day: string, { tenant, kind }: Limit["use"]): Used {
    const conditions = [
      "day = ?",
      ...(tenant === undefined ? [] : ["tenant = ?"]),
      ...(kind === undefined ? [] : ["kind = ?"]),
    ];
    const values = [
      day,
      ...(tenant === undefined ? [] : [tenant ?? ""]),
      ...(kind === undefined ? [] : [kind]),
    ];
    const [row] = this.#all(`SELECT ${SUMS} FROM used WHERE ${conditions.join(" AND ")}`, values);
    return row ? { ...(row as Used) } : { jobs: 0, tokens: 0, seconds: 0 };
  }

  #add(day: string, { tenant, kind }: Owner, { jobs, tokens, seconds }: Used): void {
    this.#all(ADD, [day, tenant ?? "", kind, jobs, Math.round(tokens), seconds]);
  }

  #all(sql: string, values: SQLInputValue[]): Record<string, unknown>[] {
    // A worker that has stopped may still end a run.
    if (!this.#database.isOpen) return [];
    try {
      return this.#database.prepare(sql).all(...values);
    } catch (thrown) {
      this.#countInMemory(thrown);
      return this.#database.prepare(sql).all(...values);
    }
  }

  #open(): DatabaseSync {
    const { file, log } = this.#options;
    if (file === undefined) return prepared(IN_MEMORY);
    try {
      makeFolder(dirname(file));
      return this.#withoutOldDays(isDamaged(file) ? this.#anew(file) : prepared(file));
    } catch (thrown) {
      log.warn(
        { stage: "usage", err: thrown },
        `${file} cannot be used: the day's use is counted in memory, and a restart forgets it`,
      );
      return prepared(IN_MEMORY);
    }
  }

  /** What is damaged is kept beside it. */
  #anew(file: string): DatabaseSync {
    const aside = file + setAside(file);
    this.#options.log.warn(
      { stage: "usage" },
      `${file} is damaged and is now ${aside}: the day's use is counted anew`,
    );
    return prepared(file);
  }

  #withoutOldDays(database: DatabaseSync): DatabaseSync {
    database
      .prepare("DELETE FROM used WHERE day < ?")
      .run(dayOf(this.#options.clock.wall() - KEPT_DAYS * DAY_MS));
    return database;
  }

  #countInMemory(thrown: unknown): void {
    const { file, log } = this.#options;
    log.warn(
      { stage: "usage", err: thrown },
      `${file} cannot be used any more: the day's use is counted in memory from now on`,
    );
    const [rows, memory] = [readable(this.#database), prepared(IN_MEMORY)];
    const add = memory.prepare(ADD);
    for (const { day, tenant, kind, jobs, tokens, seconds } of rows)
      add.run(day, tenant, kind, jobs, tokens, seconds);
    this.#database = memory;
  }
}

function isDamaged(file: string): boolean {
  try {
    prepared(file).close();
    return false;
  } catch (thrown) {
    if (isDamage(thrown)) return true;
    throw thrown;
  }
}

function prepared(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: 1_000 });
  try {
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    database.exec(SCHEMA);
  } catch (thrown) {
    database.close();
    throw thrown;
  }
  return database;
}

type Row = { day: string; tenant: string; kind: string; jobs: number; tokens: number; seconds: number };

/** What a file that can no longer be written still holds. */
function readable(database: DatabaseSync): Row[] {
  try {
    return database.prepare("SELECT * FROM used").all() as Row[];
  } catch {
    return [];
  } finally {
    database.close();
  }
}
