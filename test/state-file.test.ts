import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { writeStateFile } from "../worker/state-file.ts";

test("a state file is replaced as a whole, in a folder that is made, and its owner alone can read it", () => {
  const folder = mkdtempSync(join(tmpdir(), "kamado-state-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "data", "state.json");
  writeStateFile(path, { a: "long".repeat(100) });
  const before = statSync(path).ino;
  writeStateFile(path, { a: 1 });
  expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({ a: 1 });
  expect([statSync(path).mode & 0o777, statSync(path).ino === before]).toEqual([0o600, false]);
  expect(readdirSync(join(folder, "data"))).toEqual(["state.json"]);
});
