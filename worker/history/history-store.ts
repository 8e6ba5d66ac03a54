// Owns the tables of the history: entries go in, in batches of one transaction; rows, jobs and counts come out. It blocks, so it runs in a
// thread of its own (history-thread.ts). How the file is opened is in open-database.ts, what an entry means in job-changes.ts.
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { decodeCursor, encodeCursor } from "./cursor.ts";
import type { Entry, KeptJob, KeptResult } from "./entries.ts";
import { rowAfter, type Stored } from "./job-changes.ts";
import {
  type Counts,
  hasEnded,
  type JobFilter,
  type JobRow,
  type Page,
  type Percentiles,
  type Stats,
  type StoredJob,
} from "./job-row.ts";
import { type Mark, stationsOf } from "./stations.ts";

export type StoreOptions = {
  /** Of the worker and its process: whose jobs were running when it ended. */
  worker: string;
  pid: number;
  maxAgeMs: number;
  maxBytes: number;
  now?: () => number;
};

const COLUMNS = [
  ...["id", "at", "kind", "state", "tenant", "summary", "sentAt", "receivedAt", "startedAt", "endedAt"],
  ...["attempts", "error", "isDeadLettered", "model", "promptTokens", "completionTokens", "joules", "runMs"],
  ...["replayOf", "jobHash"],
] as const;
/** Of one job, whatever happens to it. */
const MAX_PARTS = 200;
const MAX_TEXT = 6_000;
/** Rows that are looked at for a statistic. */
const MAX_COUNTED = 200_000;
const PRUNED_AT_ONCE = 500;

export class HistoryStore {
  readonly #db: DatabaseSync;
  readonly #options: StoreOptions;
  readonly #now: () => number;
  readonly #statements = new Map<string, StatementSync>();

  constructor(db: DatabaseSync, options: StoreOptions) {
    this.#db = db;
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Writes the entries in one transaction. Resolves with the rows that they changed. Throws what SQLite throws; then nothing is written. */
  apply(entries: readonly Entry[]): JobRow[] {
    const changed = new Map<string, JobRow>();
    this.#transaction(() => {
      for (const entry of entries) {
        const row = this.#applyOne(entry);
        if (row) changed.set(row.id, shownRow(row));
      }
    });
    return [...changed.values()];
  }

  /** Jobs of this worker that ran when it ended come again: the queue still has them. */
  markInterrupted(isAlive: (pid: number) => boolean): number {
    const open = this.#all(
      "SELECT key, pid FROM jobs WHERE endedAt IS NULL AND state IN ('waiting', 'running', 'delivering') AND worker = ?",
      this.#options.worker,
    );
    const left = open.filter(({ pid }) => pid === this.#options.pid || !isAlive(Number(pid)));
    this.#transaction(() => {
      for (const { key } of left)
        this.#run("UPDATE jobs SET state = 'retrying' WHERE key = ?", key as number);
    });
    return left.length;
  }

  list(filter: JobFilter, { cursor, limit }: { cursor?: string | undefined; limit: number }): Page<JobRow> {
    const { where, values } = whereOf(filter, cursor === undefined ? undefined : decodeCursor(cursor));
    const rows = this.#all(
      `SELECT * FROM jobs ${where} ORDER BY at DESC, key DESC LIMIT ?`,
      ...values,
      limit + 1,
    );
    const items = rows.slice(0, limit);
    const last = items.at(-1);
    const next =
      rows.length > limit && last ? encodeCursor({ at: Number(last.at), key: Number(last.key) }) : null;
    return { items: items.map((row) => shownRow(storedOf(row))), next };
  }

  get(id: string): StoredJob | null {
    const found = this.#one("SELECT * FROM jobs WHERE id = ?", id);
    if (!found) return null;
    const key = found.key as number;
    const row = storedOf(found);
    const body = this.#one("SELECT * FROM bodies WHERE key = ?", key) ?? {};
    const marks = this.#all("SELECT step AS 'is', at, attempt FROM marks WHERE key = ? ORDER BY number", key);
    const tries = this.#all("SELECT attempt FROM deliveries WHERE key = ? ORDER BY number", key);
    const replays = this.#all("SELECT id FROM jobs WHERE replayOf = ? ORDER BY at LIMIT ?", id, MAX_PARTS);
    return {
      ...shownRow(row),
      input: parsed(body.input, undefined),
      inputNote: (body.inputNote as string | null) ?? null,
      output: parsed(body.output, undefined),
      outputNote: (body.outputNote as string | null) ?? null,
      receipt: parsed(body.receipt, null) as StoredJob["receipt"],
      deliver: parsed(body.deliver, []) as StoredJob["deliver"],
      policy: parsed(body.policy, {}) as StoredJob["policy"],
      stations: stationsOf(row, marks as Mark[]),
      deliveries: tries.map(({ attempt }) => parsed(attempt, {}) as StoredJob["deliveries"][number]),
      replayOf: row.replayOf,
      replays: replays.map((one) => String(one.id)),
      jobHash: row.jobHash,
    };
  }

  /** How many jobs that are known here wait before this one. */
  ahead(id: string): { before: number; behind: number } | null {
    const row = this.#one("SELECT at, key FROM jobs WHERE id = ?", id);
    if (!row) return null;
    const waiting = "SELECT count(*) AS n FROM jobs WHERE endedAt IS NULL AND state = 'queued'";
    const [before, behind] = ["<", ">"].map((side) =>
      Number(this.#one(`${waiting} AND (at, key) ${side} (?, ?)`, row.at as number, row.key as number)!.n),
    );
    return { before: before!, behind: behind! };
  }

  /** Of the latest runs: how long one took on average, in milliseconds. Null without any. */
  usualRunMs(): number | null {
    const rows =
      "SELECT runMs FROM jobs WHERE runMs IS NOT NULL AND endedAt IS NOT NULL ORDER BY endedAt DESC LIMIT 50";
    return (this.#one(`SELECT avg(runMs) AS mean FROM (${rows})`)!.mean as number | null) ?? null;
  }

  states(): Record<string, number> {
    const rows = this.#all("SELECT state, count(*) AS n FROM jobs GROUP BY state");
    return Object.fromEntries(rows.map(({ state, n }) => [String(state), Number(n)]));
  }

  /** Kinds and tenants that occur, for a filter's choices. */
  names(): { kinds: string[]; tenants: string[] } {
    const of = (column: string) =>
      this.#all(
        `SELECT DISTINCT ${column} AS name FROM jobs WHERE ${column} IS NOT NULL ORDER BY 1 LIMIT ?`,
        MAX_PARTS,
      );
    return {
      kinds: of("kind").map(({ name }) => String(name)),
      tenants: of("tenant").map(({ name }) => String(name)),
    };
  }

  counts({ since, stepMs, steps }: { since: number; stepMs: number; steps: number }): Counts {
    const zeros = () => new Array<number>(steps).fill(0);
    const counts: Counts = {
      ...{ since, stepMs, succeeded: zeros(), failed: zeros() },
      ...{ promptTokens: zeros(), completionTokens: zeros(), busy: zeros() },
    };
    const until = since + stepMs * steps;
    const ended = this.#all(
      `SELECT CAST((endedAt - ?) / ? AS INTEGER) AS step, sum(state = 'succeeded') AS succeeded, sum(state = 'failed') AS failed,
              sum(promptTokens) AS promptTokens, sum(completionTokens) AS completionTokens
       FROM jobs WHERE endedAt >= ? AND endedAt < ? GROUP BY 1`,
      ...[since, stepMs, since, until],
    );
    for (const { step, ...sums } of ended)
      for (const [name, sum] of Object.entries(sums)) counts[name as "succeeded"][Number(step)] = Number(sum);
    for (const { at, end } of this.#runs(since, until)) addBusy(counts, at, end);
    return counts;
  }

  /** Runs that touch a time, the last one of each job. */
  #runs(since: number, until: number): { at: number; end: number }[] {
    const now = this.#now();
    const ended = this.#all(
      "SELECT startedAt, endedAt, runMs FROM jobs WHERE endedAt >= ? AND startedAt < ? LIMIT ?",
      ...[since, until, MAX_COUNTED],
    );
    const running = this.#all(
      "SELECT startedAt FROM jobs WHERE endedAt IS NULL AND state = 'running' AND startedAt < ?",
      until,
    );
    return [...ended, ...running].map(({ startedAt, endedAt, runMs }) => {
      const [at, latest] = [Number(startedAt), Number(endedAt ?? now)];
      return { at, end: runMs == null ? latest : Math.min(latest, at + Number(runMs)) };
    });
  }

  stats(since: number): Stats {
    const sums = this.#one(
      `SELECT coalesce(sum(state = 'succeeded'), 0) AS succeeded, coalesce(sum(state = 'failed'), 0) AS failed,
              coalesce(sum(promptTokens), 0) AS promptTokens, coalesce(sum(completionTokens), 0) AS completionTokens
       FROM jobs WHERE endedAt >= ?`,
      since,
    ) as Record<string, number>;
    const sorted = (column: string) =>
      this.#all(
        `SELECT ${column} AS ms FROM jobs WHERE endedAt >= ? AND ${column} IS NOT NULL ORDER BY 1 LIMIT ?`,
        ...[since, MAX_COUNTED],
      ).map(({ ms }) => Number(ms));
    return {
      since,
      succeeded: sums.succeeded!,
      failed: sums.failed!,
      promptTokens: sums.promptTokens!,
      completionTokens: sums.completionTokens!,
      runMs: percentiles(sorted("runMs")),
      totalMs: percentiles(sorted("(endedAt - sentAt)")),
    };
  }

  /** How often each destination got something, and when last. */
  destinations(): { key: string; to: string; delivered: number; failed: number; lastAt: number }[] {
    const rows = this.#all(
      `SELECT destination AS key, max(at) AS lastAt, sum(isDelivered) AS delivered, sum(1 - isDelivered) AS failed,
              attempt FROM deliveries GROUP BY destination ORDER BY lastAt DESC LIMIT 1000`,
    );
    return rows.map(({ key, lastAt, delivered, failed, attempt }) => ({
      key: String(key),
      to: (parsed(attempt, { to: "" }) as { to: string }).to,
      delivered: Number(delivered),
      failed: Number(failed),
      lastAt: Number(lastAt),
    }));
  }

  /** Removes what is too old, then the oldest until the file is small enough. Resolves with how many jobs it removed. */
  prune(): number {
    let removed = 0;
    const old = this.#now() - this.#options.maxAgeMs;
    for (let more = PRUNED_AT_ONCE; more === PRUNED_AT_ONCE; removed += more)
      more = this.#removeOldest("at < ?", old);
    for (let more = 1; more > 0 && this.#bytes() > this.#options.maxBytes; removed += more)
      more = this.#removeOldest("at > ?", 0);
    if (removed > 0) this.#db.exec("PRAGMA incremental_vacuum");
    return removed;
  }

  #removeOldest(where: string, value: number): number {
    const oldest = `SELECT key FROM jobs WHERE ${where} ORDER BY at LIMIT ${PRUNED_AT_ONCE}`;
    return Number(this.#run(`DELETE FROM jobs WHERE key IN (${oldest})`, value).changes);
  }

  /** Of the pages in use; freed ones are given back or used again. */
  #bytes(): number {
    const pragma = (name: string) => Number(Object.values(this.#one(`PRAGMA ${name}`)!)[0]);
    return (pragma("page_count") - pragma("freelist_count")) * pragma("page_size");
  }

  close(): void {
    this.#db.close();
  }

  #applyOne(entry: Entry): Stored | undefined {
    const found = this.#one("SELECT * FROM jobs WHERE id = ?", entry.id);
    const before = found && storedOf(found);
    const after = rowAfter(before, entry);
    if (!after) return undefined;
    let key = found?.key as number | undefined;
    if (after !== before) key = this.#writeRow(after, key, textOf(entry, String(found?.text ?? "")));
    if (key !== undefined) this.#writeParts(key, entry, before);
    return after === before ? undefined : after;
  }

  #writeRow(row: Stored, key: number | undefined, text: string): number {
    const { worker, pid } = this.#options;
    const values = [...COLUMNS.map((name) => asValue(row[name])), worker, pid, text];
    const names = [...COLUMNS, "worker", "pid", "text"];
    if (key !== undefined) {
      this.#run(
        `UPDATE jobs SET ${names.map((name) => `${name} = ?`).join(", ")} WHERE key = ?`,
        ...values,
        key,
      );
      return key;
    }
    const sql = `INSERT INTO jobs (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`;
    return Number(this.#run(sql, ...values).lastInsertRowid);
  }

  #writeParts(key: number, entry: Entry, before: Stored | undefined): void {
    if (entry.is === "delivery") {
      this.#addDelivery(key, entry);
      return;
    }
    if ((entry.is === "sent" || entry.is === "received") && entry.job) this.#writeJob(key, entry.job);
    if (entry.is === "ended" && entry.result && entry.error?.code !== "duplicate_id")
      this.#writeResult(key, entry.result);
    // A result that is only delivered again is no part of the job's time.
    if (
      entry.is === "sent" ||
      entry.is === "redriven" ||
      (before && hasEnded(before.state) && entry.is !== "started")
    )
      return;
    const at = entry.is === "received" ? entry.receivedAt : entry.at;
    const attempt = entry.is === "started" ? entry.attempt : null;
    this.#add("marks", "step, at, attempt", key, entry.is, at, attempt);
  }

  #addDelivery(key: number, { at, delivery }: Extract<Entry, { is: "delivery" }>): void {
    const isDelivered = delivery.outcome === "delivered" ? 1 : 0;
    const columns = "destination, isDelivered, at, attempt";
    this.#add("deliveries", columns, key, delivery.key, isDelivered, at, JSON.stringify(delivery));
  }

  #add(table: "marks" | "deliveries", columns: string, key: number, ...values: SQLInputValue[]): void {
    const { n } = this.#one(`SELECT count(*) AS n FROM ${table} WHERE key = ?`, key)!;
    if (Number(n) >= MAX_PARTS) return;
    const places = values.map(() => "?").join(", ");
    this.#run(
      `INSERT INTO ${table} (key, number, ${columns}) VALUES (?, ?, ${places})`,
      key,
      n as number,
      ...values,
    );
  }

  /** The first one that came counts: another job under the same id is refused. */
  #writeJob(key: number, { input, deliver, policy }: KeptJob): void {
    this.#run(
      "INSERT OR IGNORE INTO bodies (key, input, inputNote, deliver, policy) VALUES (?, ?, ?, ?, ?)",
      ...[key, input.json, input.note, deliver, policy],
    );
  }

  #writeResult(key: number, { output, receipt }: KeptResult): void {
    this.#run(
      `INSERT INTO bodies (key, output, outputNote, receipt) VALUES (?1, ?2, ?3, ?4)
       ON CONFLICT (key) DO UPDATE SET output = ?2, outputNote = ?3, receipt = ?4`,
      ...[key, output.json, output.note, JSON.stringify(receipt)],
    );
  }

  #transaction(work: () => void): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#db.exec("COMMIT");
    } catch (thrown) {
      // After a full disk SQLite has rolled back by itself.
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw thrown;
    }
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql) ?? this.#db.prepare(sql);
    this.#statements.set(sql, known);
    return known;
  }
  readonly #run = (sql: string, ...values: SQLInputValue[]) => this.#statement(sql).run(...values);
  readonly #one = (sql: string, ...values: SQLInputValue[]) => this.#statement(sql).get(...values);
  readonly #all = (sql: string, ...values: SQLInputValue[]) => this.#statement(sql).all(...values);
}

type Row = Record<string, unknown>;

const asValue = (value: unknown): SQLInputValue => {
  if (typeof value === "boolean") return value ? 1 : 0;
  return typeof value === "object" && value !== null ? JSON.stringify(value) : (value as SQLInputValue);
};

function storedOf(row: Row): Stored {
  const own = Object.fromEntries(COLUMNS.map((name) => [name, row[name] ?? null]));
  const error = parsed(row.error, null);
  return { ...own, error, isDeadLettered: row.isDeadLettered === 1 } as Stored;
}

function shownRow({ at: _, runMs: _1, replayOf: _2, jobHash: _3, ...row }: Stored): JobRow {
  return row;
}

function parsed(json: unknown, otherwise: unknown): unknown {
  try {
    return typeof json === "string" ? JSON.parse(json) : otherwise;
  } catch {
    return otherwise;
  }
}

/** For searching: the same letters in any case and width. */
const searchable = (text: string): string => text.normalize("NFKC").toLowerCase();

/** What can be found of a job, with what this entry adds. */
function textOf(entry: Entry, before: string): string {
  const parts = [before];
  if (before === "") parts.push(entry.id);
  if ((entry.is === "sent" || entry.is === "received") && entry.job && !before.includes("\n"))
    parts.push(`\n${entry.job.kind} ${entry.job.tenant ?? ""} ${entry.job.excerpt}`);
  if (entry.is === "ended") {
    const { result, error } = entry;
    parts.push(`${result?.excerpt ?? ""} ${error ? `${error.code} ${error.message}` : ""}`);
  }
  return parts.length === 1 ? before : searchable(parts.join(" ")).slice(0, MAX_TEXT);
}

const escapeLike = (word: string) => word.replaceAll(/[\\%_]/g, (char) => `\\${char}`);

function whereOf(
  { kind, states, tenant, text = "", since, until }: JobFilter,
  after: { at: number; key: number } | undefined,
): { where: string; values: SQLInputValue[] } {
  const parts: [string, ...SQLInputValue[]][] = [];
  if (kind !== undefined) parts.push(["kind = ?", kind]);
  if (tenant !== undefined) parts.push(["tenant = ?", tenant]);
  if (states && states.length > 0) parts.push([`state IN (${states.map(() => "?").join(", ")})`, ...states]);
  if (since !== undefined) parts.push(["at >= ?", since]);
  if (until !== undefined) parts.push(["at < ?", until]);
  // Words of two letters are common in Japanese, and an index of three letters would not find them.
  for (const word of searchable(text).split(/\s+/).filter(Boolean).slice(0, MAX_WORDS))
    parts.push(["text LIKE ? ESCAPE '\\'", `%${escapeLike(word)}%`]);
  if (after) parts.push(["(at, key) < (?, ?)", after.at, after.key]);
  const where = parts.length === 0 ? "" : `WHERE ${parts.map(([sql]) => sql).join(" AND ")}`;
  return { where, values: parts.flatMap(([, ...values]) => values) };
}

const MAX_WORDS = 10;

function addBusy({ since, stepMs, busy }: Counts, at: number, end: number): void {
  const first = Math.max(0, Math.floor((at - since) / stepMs));
  for (let step = first; step < busy.length && since + step * stepMs < end; step++) {
    const from = Math.max(at, since + step * stepMs);
    const to = Math.min(end, since + (step + 1) * stepMs);
    busy[step]! += Math.max(0, to - from) / stepMs;
  }
}

function percentiles(sorted: readonly number[]): Percentiles | null {
  if (sorted.length === 0) return null;
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)]!;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}
