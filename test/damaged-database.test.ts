import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, onTestFinished, test } from "vitest";
import { checkDatabase, isDamage, setAside } from "../worker/damaged-database.ts";

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "kamado-damaged-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

test("a file that is no database is damage, a file that cannot be opened is not", () => {
  const folder = newFolder();
  const path = join(folder, "a.db");
  writeFileSync(path, "hello".repeat(1_000));
  const damaged = new DatabaseSync(path);
  onTestFinished(() => damaged.close());
  const thrownBy = (work: () => unknown) => {
    try {
      work();
    } catch (thrown) {
      return thrown;
    }
    throw new Error("It works.");
  };
  expect(isDamage(thrownBy(() => checkDatabase(damaged)))).toBe(true);
  expect(isDamage(thrownBy(() => new DatabaseSync(folder)))).toBe(false);
});

test("a damaged file is kept with what belongs to it, and leaves nothing that a new one would take for its own", () => {
  const folder = newFolder();
  for (const end of ["", "-wal", "-shm"]) writeFileSync(join(folder, `a.db${end}`), "x");
  writeFileSync(join(folder, "b.db"), "x");
  const end = setAside(join(folder, "a.db"));
  expect(readdirSync(folder).toSorted()).toEqual([`a.db${end}`, `a.db${end}-wal`, "b.db"]);
});
