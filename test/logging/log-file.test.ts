// The file that launchd writes stays small, and no line of it is lost.
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { boundLogFile, KEPT, rotate } from "../../worker/logging/log-file.ts";

const logFile = () => join(mkdtempSync(join(tmpdir(), "kamado-log-")), "worker.log");

test("whoever holds the file open goes on at its beginning, and every line is in one of the files", () => {
  const path = logFile();
  // As launchd opens it: once, to append.
  const file = openSync(path, "a");
  for (let line = 0; line < 100; line++) {
    writeSync(file, `line ${line}\n`);
    rotate(path, 250);
  }
  closeSync(file);
  const files = readdirSync(join(path, "..")).toSorted();
  expect(files).toEqual(["worker.log", "worker.log.1", "worker.log.2", "worker.log.3"]);
  const lines = files.toReversed().flatMap((name) =>
    readFileSync(join(path, "..", name), "utf8")
      .trim()
      .split("\n"),
  );
  expect(lines).toEqual(Array.from({ length: 100 }, (_, line) => `line ${line}`));
});

test("a fixed number of older files is kept, each with the owner's rights only", () => {
  const path = logFile();
  for (let round = 0; round < KEPT + 3; round++) {
    writeFileSync(path, String(round).repeat(20), { mode: 0o600 });
    rotate(path, 10);
  }
  expect(readdirSync(join(path, ".."))).toHaveLength(KEPT + 1);
  expect(readFileSync(`${path}.1`, "utf8")).toBe(String(KEPT + 2).repeat(20));
  expect(statSync(`${path}.1`).mode & 0o077).toBe(0);
});

test("a file that cannot be moved on is said once, and the service runs", () => {
  const path = logFile();
  const said: string[] = [];
  // A folder has a size too.
  boundLogFile(join(path, ".."), (error) => said.push(error.message));
  boundLogFile(undefined, (error) => said.push(error.message));
  boundLogFile(path, (error) => said.push(error.message));
  expect(said).toEqual([]);
});
