// SQLite files that are damaged: how that is found out, and how such a file is kept beside the new one for whoever wants to look at it. What
// is lost with it, and who is told, is left to the owner of the file.
import { existsSync, renameSync, rmSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";

class Damaged extends Error {}

/** Throws what `isDamage` knows, if SQLite finds anything wrong in the whole file. */
export function checkDatabase(db: DatabaseSync): void {
  const { quick_check: health } = db.prepare("PRAGMA quick_check(1)").get() as { quick_check: string };
  if (health !== "ok") throw new Damaged(health);
}

/** Of SQLite: SQLITE_CORRUPT and SQLITE_NOTADB, whose extended codes have more in their upper bytes. */
export function isDamage(thrown: unknown): boolean {
  const { errcode = 0 } = thrown as { errcode?: number };
  return thrown instanceof Damaged || [11, 26].includes(errcode & 0xff);
}

/** What the name of such a file has after that of the file itself, before the time. */
export const ASIDE = ".damaged-";

/** Moves the file, which must be closed, with its log. Gives what was added to its name. Throws when it cannot be moved. */
export function setAside(path: string): string {
  const end = `${ASIDE}${new Date().toISOString().replaceAll(/[:.]/g, "-")}`;
  renameSync(path, path + end);
  // What stayed beside it would be taken for the new file's own.
  for (const beside of ["-wal", "-journal"])
    if (existsSync(path + beside)) renameSync(path + beside, path + end + beside);
  rmSync(`${path}-shm`, { force: true });
  return end;
}
