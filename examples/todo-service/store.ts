// Todos and answered idempotency keys in SQLite. A change and its key are written together or not at all.
import { DatabaseSync } from "node:sqlite";
import { changed, type NewTodo, newTodo, type Todo, type TodoChange } from "./todo.ts";

const SCHEMA = `
  PRAGMA journal_mode = WAL;
  CREATE TABLE IF NOT EXISTS todos (id INTEGER PRIMARY KEY AUTOINCREMENT, status TEXT NOT NULL, todo TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, request TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL, at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS answers_by_age ON answers (at);
`;

/** A queue keeps a message for at most fourteen days, so no key comes again after that. */
const KEYS_LIVE_MS = 14 * 24 * 3600 * 1000;

export type Answer = { status: number; body: string };

export class TodoStore {
  readonly #db: DatabaseSync;
  readonly #now: () => number;

  constructor(file: string, now: () => number = Date.now) {
    this.#db = new DatabaseSync(file);
    this.#db.exec(SCHEMA);
    this.#now = now;
  }

  /** The newest `limit` todos, oldest first. */
  list({ status, limit }: { status?: Todo["status"] | undefined; limit: number }): Todo[] {
    const rows = this.#db
      .prepare("SELECT id, todo FROM todos WHERE ? IS NULL OR status = ? ORDER BY id DESC LIMIT ?")
      .all(status ?? null, status ?? null, limit);
    return rows.map(toTodo).toReversed();
  }

  get(id: string): Todo | null {
    const row = this.#db.prepare("SELECT id, todo FROM todos WHERE id = ?").get(id);
    return row ? toTodo(row) : null;
  }

  add(fields: NewTodo): Todo {
    const insert = this.#db.prepare("INSERT INTO todos (status, todo) VALUES ('open', '{}')");
    const todo = newTodo(String(insert.run().lastInsertRowid), fields, this.#time());
    this.#write(todo);
    return todo;
  }

  change(id: string, change: TodoChange): Todo | null {
    const before = this.get(id);
    if (!before) return null;
    const after = changed(before, change, this.#time());
    this.#write(after);
    return after;
  }

  remove(id: string): boolean {
    return this.#db.prepare("DELETE FROM todos WHERE id = ?").run(id).changes > 0;
  }

  /** The answer that was stored for a key, and the request that it answered. */
  answered(key: string): (Answer & { request: string }) | null {
    const row = this.#db.prepare("SELECT request, status, body FROM answers WHERE key = ?").get(key);
    return (row as (Answer & { request: string }) | undefined) ?? null;
  }

  remember(key: string, request: string, { status, body }: Answer): void {
    const now = this.#now();
    this.#db.prepare("DELETE FROM answers WHERE at < ?").run(now - KEYS_LIVE_MS);
    this.#db.prepare("INSERT INTO answers VALUES (?, ?, ?, ?, ?)").run(key, request, status, body, now);
  }

  together<T>(act: () => T): T {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      const result = act();
      this.#db.exec("COMMIT");
      return result;
    } catch (error) {
      this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  close(): void {
    if (this.#db.isOpen) this.#db.close();
  }

  #time(): string {
    return new Date(this.#now()).toISOString();
  }

  #write({ id, ...fields }: Todo): void {
    const update = this.#db.prepare("UPDATE todos SET status = ?, todo = ? WHERE id = ?");
    update.run(fields.status, JSON.stringify(fields), id);
  }
}

const toTodo = (row: Record<string, unknown>): Todo => ({
  id: String(row.id),
  ...JSON.parse(String(row.todo)),
});
