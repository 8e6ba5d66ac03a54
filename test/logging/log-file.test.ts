// The file that launchd writes stays small, and no line of it is lost.
import {
  chmodSync,
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { boundLogFile, KEPT, logOutput, MAX_BYTES, rotate } from "../../worker/logging/log-file.ts";

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

test("a file that cannot be moved on is said once, the older ones stay, and it is tried again", () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const path = logFile();
  const said: string[] = [];
  writeFileSync(path, "x".repeat(MAX_BYTES + 1));
  writeFileSync(`${path}.1`, "older");
  // In place of a full disk: the copy cannot be written.
  mkdirSync(`${path}.new`);
  boundLogFile(undefined, (error) => said.push(error.message));
  boundLogFile(path, (error) => said.push(error.message));
  vi.advanceTimersByTime(5 * 60_000);
  expect(said).toHaveLength(1);
  expect([statSync(path).size, readFileSync(`${path}.1`, "utf8")]).toEqual([MAX_BYTES + 1, "older"]);
  rmSync(`${path}.new`, { recursive: true });
  vi.advanceTimersByTime(60_000);
  expect([statSync(path).size, statSync(`${path}.1`).size]).toEqual([0, MAX_BYTES + 1]);
  expect(readFileSync(`${path}.2`, "utf8")).toBe("older");
});

test("a file that somebody removed stays small too, and is said", () => {
  const path = logFile();
  const file = openSync(path, "a");
  writeSync(file, "x".repeat(300));
  rmSync(path);
  expect(() => rotate(path, 250, [file])).toThrow("was removed");
  expect(fstatSync(file).size).toBe(0);
  // Another one of the name is not the one that is written to.
  writeFileSync(path, "y".repeat(300));
  writeSync(file, "x".repeat(300));
  expect(() => rotate(path, 250, [file])).toThrow("was removed");
  expect([fstatSync(file).size, statSync(path).size]).toEqual([0, 300]);
  closeSync(file);
});

test("is emptied although its mode was changed meanwhile, because it is open", () => {
  const path = logFile();
  const file = openSync(path, "a");
  writeSync(file, "x".repeat(300));
  // Of a name that leads nowhere, only the open file can be emptied.
  chmodSync(path, 0o400);
  rotate(path, 250, [file]);
  writeSync(file, "y");
  expect([readFileSync(path, "utf8"), statSync(`${path}.1`).size]).toEqual(["y", 300]);
  closeSync(file);
});

test("the log goes on after a disk that was full, and says how much is missing", () => {
  const path = logFile();
  const file = openSync(path, "a");
  const elsewhere = { write: () => {} };
  const output = logOutput(path, { ...elsewhere, fd: file });
  output.write("first\n");
  // A full disk refuses a write as a closed file does.
  closeSync(file);
  output.write("lost\n");
  output.write("lost\n");
  expect(openSync(path, "a")).toBe(file);
  output.write("last\n");
  closeSync(file);
  const lines = readFileSync(path, "utf8").split("\n").filter(Boolean);
  expect(lines[0]).toBe("first");
  expect(JSON.parse(lines[1]!)).toMatchObject({
    level: "warn",
    msg: "2 lines of the log could not be written",
  });
  expect(lines.slice(2)).toEqual(["last"]);
  // A terminal and a pipe have streams of their own.
  expect(logOutput(undefined, elsewhere)).toBe(elsewhere);
});
