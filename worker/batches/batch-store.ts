// What is known of files and batches, in SQLite below the data folder: it survives every kill. One row stands for each line of a batch, and
// of a line only its place in the input file is kept. The bytes of files are beside it (files.ts). What a batch does is in batch-run.ts.
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { checkDatabase, isDamage, setAside } from "../damaged-database.ts";

/** Times are Unix seconds, as in OpenAI's API. */
export type StoredFile = {
  id: string;
  purpose: "batch" | "batch_output";
  filename: string;
  bytes: number;
  created_at: number;
  expires_at: number;
};

export type BatchStatus =
  | "validating"
  | "failed"
  | "in_progress"
  | "finalizing"
  | "completed"
  | "expired"
  | "cancelling"
  | "cancelled";

const TIMES = [
  "created_at",
  "in_progress_at",
  "expires_at",
  "finalizing_at",
  "completed_at",
  "failed_at",
  "expired_at",
  "cancelling_at",
  "cancelled_at",
] as const;
export type BatchTime = (typeof TIMES)[number];

export type LineError = { code: string; line: number | null; message: string; param: string | null };

export type Batch = {
  id: string;
  input_file: string;
  endpoint: string;
  completion_window: string;
  /** JSON. */
  metadata: string | null;
  status: BatchStatus;
  model: string | null;
  /** JSON of line errors. */
  errors: string | null;
  total: number;
  completed: number;
  failed: number;
  /** No line after this one was ever put on the queue. */
  sent_up_to: number;
  /** The names that the two files get when the batch ends; until then they grow under these names. */
  output_file: string;
  error_file: string;
  /** Of the files, what counts. What stands behind it was written before a crash and is not in the tables. */
  output_bytes: number;
  error_bytes: number;
  /** Of both files, after the end. */
  output_seconds: number;
  /** What the answers say that they took. */
  input_tokens: number;
  cached_tokens: number;
  output_tokens: number;
  reasoning_tokens: number;
} & { created_at: number; expires_at: number } & Record<BatchTime, number | null>;

/** `start` and `length` in bytes of the input file. */
export type Line = { number: number; start: number; length: number; custom_id: string };

export const TOKENS = ["input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"] as const;
export type Tokens = Pick<Batch, (typeof TOKENS)[number]>;
export type Settled = Pick<Batch, "output_bytes" | "error_bytes" | "completed" | "failed"> & Tokens;

type Range = { after?: number; upTo?: number; limit?: number };
const LAST = Number.MAX_SAFE_INTEGER;

const VERSION = 1;
const TABLES = `
CREATE TABLE files (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, purpose TEXT NOT NULL, filename TEXT NOT NULL,
  bytes INTEGER NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL
) STRICT;
CREATE TABLE batches (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, input_file TEXT NOT NULL, endpoint TEXT NOT NULL,
  completion_window TEXT NOT NULL, metadata TEXT, status TEXT NOT NULL, model TEXT, errors TEXT,
  total INTEGER NOT NULL, completed INTEGER NOT NULL, failed INTEGER NOT NULL, sent_up_to INTEGER NOT NULL,
  output_file TEXT NOT NULL, error_file TEXT NOT NULL, output_bytes INTEGER NOT NULL, error_bytes INTEGER NOT NULL,
  output_seconds INTEGER NOT NULL, ${TOKENS.map((name) => `${name} INTEGER NOT NULL`).join(", ")},
  ${TIMES.map((time) => `${time} INTEGER`).join(", ")}
) STRICT;
CREATE TABLE lines (
  batch INTEGER NOT NULL, number INTEGER NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL,
  custom_id TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (batch, number), UNIQUE (batch, custom_id)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = ${VERSION};`;

const ENDED = "'failed', 'completed', 'expired', 'cancelled'";
const OF_BATCH = "(SELECT seq FROM batches WHERE id = ?)";

export class BatchStore {
  readonly #db: DatabaseSync;

  /**
   * Only one process may have it open: two would each write the same results into the same files. A damaged file is set aside, and
   * `onDamaged` is told with which end to its name. Throws what SQLite throws, such as that it is locked.
   */
  static open(path: string, onDamaged: (end: string) => void): BatchStore {
    try {
      return new BatchStore(path);
    } catch (thrown) {
      if (!isDamage(thrown)) throw thrown;
      onDamaged(setAside(path));
      return new BatchStore(path);
    }
  }

  private constructor(path: string) {
    this.#db = new DatabaseSync(path);
    try {
      this.#db.exec(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;",
      );
      checkDatabase(this.#db);
      const [{ user_version: version }] = this.#all<{ user_version: number }>("PRAGMA user_version") as [
        { user_version: number },
      ];
      if (version === 0) this.inOne(() => this.#db.exec(TABLES));
    } catch (thrown) {
      this.#db.close();
      throw thrown;
    }
  }

  close(): void {
    this.#db.close();
  }

  /** All of it happens, or nothing. */
  inOne<T>(work: () => T): T {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      const value = work();
      this.#db.exec("COMMIT");
      return value;
    } catch (thrown) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw thrown;
    }
  }

  /**
   * What it writes survives a power failure too. Every other write survives a kill, and waits for no disk; what a power failure takes of
   * those is found again: the results of lines are in the bucket.
   */
  durably<T>(work: () => T): T {
    this.#db.exec("PRAGMA synchronous = FULL");
    try {
      return this.inOne(work);
    } finally {
      this.#db.exec("PRAGMA synchronous = NORMAL");
    }
  }

  addFile(file: StoredFile): void {
    this.#insert("files", file);
  }

  file(id: string): StoredFile | undefined {
    return this.#all<StoredFile>("SELECT * FROM files WHERE id = ?", id)[0];
  }

  /** Those after the file `after`, in the order asked for. */
  files(options: {
    after?: string | undefined;
    purpose?: string | undefined;
    limit: number;
    isNewestFirst: boolean;
  }): StoredFile[] {
    const { after = null, purpose = null, limit, isNewestFirst } = options;
    const [order, beyond] = isNewestFirst ? ["DESC", "<"] : ["ASC", ">"];
    return this.#all(
      `SELECT * FROM files WHERE (?1 IS NULL OR purpose = ?1)
       AND (?2 IS NULL OR seq ${beyond} (SELECT seq FROM files WHERE id = ?2)) ORDER BY seq ${order} LIMIT ?3`,
      ...[purpose, after, limit],
    );
  }

  removeFile(id: string): void {
    this.#run("DELETE FROM files WHERE id = ?", id);
  }

  /** The files whose time is over and that no batch needs any more. */
  expiredFiles(now: number): StoredFile[] {
    return this.#all<StoredFile>("SELECT * FROM files WHERE expires_at <= ?", now).filter(
      ({ id }) => !this.isNeeded(id),
    );
  }

  /** Whether a batch that has not ended reads the file. */
  isNeeded(file: string): boolean {
    return (
      this.#all(`SELECT 1 FROM batches WHERE input_file = ? AND status NOT IN (${ENDED}) LIMIT 1`, file)
        .length > 0
    );
  }

  /** Every file that may be on the disk: those in the list, and those that grow. */
  namesOnDisk(): Set<string> {
    const rows = this.#all<{ id: string }>(
      `SELECT id FROM files UNION SELECT output_file FROM batches WHERE status NOT IN (${ENDED})
       UNION SELECT error_file FROM batches WHERE status NOT IN (${ENDED})`,
    );
    return new Set(rows.map(({ id }) => id));
  }

  addBatch(batch: Batch): void {
    this.#insert("batches", batch);
  }

  batch(id: string): Batch | undefined {
    return this.#all<Batch>("SELECT * FROM batches WHERE id = ?", id)[0];
  }

  /** Newest first. */
  batches({ after = null, limit }: { after?: string | null; limit: number }): Batch[] {
    return this.#all(
      `SELECT * FROM batches WHERE (?1 IS NULL OR seq < (SELECT seq FROM batches WHERE id = ?1))
       ORDER BY seq DESC LIMIT ?2`,
      ...[after, limit],
    );
  }

  /** Oldest first. */
  unfinished(): Batch[] {
    return this.#all(`SELECT * FROM batches WHERE status NOT IN (${ENDED}) ORDER BY seq`);
  }

  change(id: string, fields: Partial<Batch>): void {
    const names = Object.keys(fields);
    const set = names.map((name) => `${name} = ?`).join(", ");
    this.#run(`UPDATE batches SET ${set} WHERE id = ?`, ...Object.values(fields), id);
  }

  /** Batches that ended before that moment. Their files have a time of their own. */
  forgetBatches(endedBefore: number): void {
    const old = `SELECT seq FROM batches WHERE status IN (${ENDED})
      AND max(coalesce(completed_at, 0), coalesce(failed_at, 0), coalesce(expired_at, 0), coalesce(cancelled_at, 0)) < ?`;
    this.#run(`DELETE FROM lines WHERE batch IN (${old})`, endedBefore);
    this.#run(`DELETE FROM batches WHERE seq IN (${old})`, endedBefore);
  }

  /** Returns those whose custom_id another line has. */
  addLines(batch: string, lines: readonly Line[]): Line[] {
    return this.inOne(() =>
      lines.filter(
        ({ number, start, length, custom_id }) =>
          this.#run(
            `INSERT OR IGNORE INTO lines (batch, number, start, length, custom_id) VALUES (${OF_BATCH}, ?, ?, ?, ?)`,
            ...[batch, number, start, length, custom_id],
          ) === 0,
      ),
    );
  }

  removeLines(batch: string): void {
    this.#run(`DELETE FROM lines WHERE batch = ${OF_BATCH}`, batch);
  }

  /** Lines without a result, in order: those after a number, or up to one. */
  open(batch: string, { after = 0, upTo = LAST, limit = -1 }: Range): Line[] {
    return this.#all(
      `SELECT number, start, length, custom_id FROM lines
       WHERE batch = ${OF_BATCH} AND number > ? AND number <= ? AND done = 0 ORDER BY number LIMIT ?`,
      ...[batch, after, upTo, limit],
    );
  }

  /** Undefined for a line that has its result, and for one that there is not. */
  openLine(batch: string, number: number): Line | undefined {
    return this.open(batch, { after: number - 1, upTo: number })[0];
  }

  /** The lines have their results, and the files are so long with them. */
  settle(batch: string, numbers: readonly number[], settled: Settled): void {
    this.inOne(() => {
      for (const number of numbers)
        this.#run(`UPDATE lines SET done = 1 WHERE batch = ${OF_BATCH} AND number = ?`, batch, number);
      this.change(batch, settled);
    });
  }

  #insert(table: string, row: object): void {
    const names = Object.keys(row);
    const places = names.map(() => "?").join(", ");
    this.#run(`INSERT INTO ${table} (${names.join(", ")}) VALUES (${places})`, ...Object.values(row));
  }

  #run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#prepared(sql).run(...values).changes);
  }

  #all<T>(sql: string, ...values: SQLInputValue[]): T[] {
    return this.#prepared(sql).all(...values) as T[];
  }

  readonly #statements = new Map<string, ReturnType<DatabaseSync["prepare"]>>();

  #prepared(sql: string) {
    const known = this.#statements.get(sql);
    if (known) return known;
    const statement = this.#db.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}
