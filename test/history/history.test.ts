// The history as a worker has it: its file, its thread, and what happens when either cannot be used.
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, describe, expect, test } from "vitest";
import { type History, openHistory } from "../../worker/history/history.ts";
import { VERSION } from "../../worker/history/open-database.ts";
import { JobEvents } from "../../worker/logging/job-events.ts";
import { createLog, silentLog } from "../../worker/logging/log.ts";

const opened: History[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((history) => history.close()));
});

const newFolder = () => mkdtempSync(join(tmpdir(), "kamado-history-"));

function open(folder = newFolder(), more: { days?: number; worker?: string; restMs?: number } = {}) {
  const lines: string[] = [];
  const log = createLog({ level: "info", destination: { write: (line: string) => void lines.push(line) } });
  const history = openHistory({ folder, worker: "w", days: 30, megabytes: 50, log, ...more });
  opened.push(history);
  const jobEvents = new JobEvents(silentLog);
  jobEvents.subscribe(history.listener);
  const job = (id: string, input: unknown = {}) => ({ id, kind: "k", input, deliver: [], policy: {} });
  const receive = (id: string, input?: unknown) =>
    jobEvents.emit({ stage: "received", job: id, kind: "k", message: "m", receives: 1 }, "", {
      job: job(id, input),
    });
  return { folder, path: join(folder, "history.db"), history, receive, lines };
}

const idsOf = async (history: History) =>
  (await history.list({}, { limit: 100 })).items.map(({ id }) => id).toSorted();

test("what was noted before a question is in its answer, and a restart forgets nothing", async () => {
  const { folder, history, receive } = open();
  receive("a");
  expect(await idsOf(history)).toEqual(["a"]);
  receive("b");
  await history.close();
  expect(await idsOf(open(folder).history)).toEqual(["a", "b"]);
});

test("its thread ends while there is nothing to do, and what comes later finds everything as it was", async () => {
  const { history, receive } = open(newFolder(), { restMs: 1 });
  expect(history.isAwake).toBe(false);
  receive("a");
  expect(await idsOf(history)).toEqual(["a"]);
  await expect.poll(() => history.isAwake).toBe(false);
  // A job that runs all the while was not interrupted.
  const { items } = await history.list({}, { limit: 1 });
  expect(items).toMatchObject([{ id: "a", state: "waiting" }]);
  await expect.poll(() => history.isAwake).toBe(false);
  receive("b");
  await history.close();
  expect(history.dropped).toBe(0);
});

test("what is in memory alone is never given up for that", async () => {
  const { history, receive } = open(newFolder(), { days: 0, restMs: 1 });
  receive("a");
  expect(await idsOf(history)).toEqual(["a"]);
  expect(await idsOf(history)).toEqual(["a"]);
  expect(history.isAwake).toBe(true);
});

test("its file is for its user alone", async () => {
  const { path, history, receive } = open();
  receive("a", { text: "private" });
  await idsOf(history);
  for (const beside of ["", "-wal", "-shm"]) expect(statSync(`${path}${beside}`).mode & 0o777).toBe(0o600);
});

test("with 0 days nothing is written to disk", async () => {
  const { folder, history, receive } = open(newFolder(), { days: 0 });
  receive("a");
  expect(await idsOf(history)).toEqual(["a"]);
  expect(readdirSync(folder)).toEqual([]);
});

test("two workers may share a folder", async () => {
  const one = open();
  const other = open(one.folder, { worker: "v" });
  for (let count = 0; count < 50; count++) {
    one.receive(`one-${count}`);
    other.receive(`other-${count}`);
    if (count % 10 === 0) await Promise.all([idsOf(one.history), idsOf(other.history)]);
  }
  await idsOf(one.history);
  expect(await idsOf(other.history)).toHaveLength(100);
  expect(one.history.dropped + other.history.dropped).toBe(0);
});

test("listeners get the rows that changed", async () => {
  const { history, receive } = open();
  const changes: unknown[] = [];
  history.subscribe((change) => changes.push(change));
  receive("a");
  await idsOf(history);
  expect(changes).toMatchObject([{ rows: [{ id: "a", state: "waiting" }] }]);
});

test("what does not fit into the queue is dropped and counted, and listeners hear that they missed something", async () => {
  const { history, receive } = open();
  let missed = 0;
  history.subscribe((change) => {
    if ("missed" in change) missed += change.missed;
  });
  const input = { text: "x".repeat(200_000) };
  for (let count = 0; count < 400; count++) receive(`job-${count}`, input);
  expect(history.dropped).toBeGreaterThan(100);
  expect(missed).toBe(history.dropped);
  const kept = (await history.list({}, { limit: 500 })).items.length;
  expect(kept + history.dropped).toBe(400);
});

test("a question that makes no sense is an error of its asker alone", async () => {
  const { history } = open();
  await expect(history.list({}, { cursor: "x", limit: 1 })).rejects.toMatchObject({ code: "invalid_input" });
  expect(await idsOf(history)).toEqual([]);
});

const aside = (folder: string) => readdirSync(folder).filter((name) => name.includes("damaged"));

test.each<[string, (path: string) => void]>([
  ["is no database", (path) => writeFileSync(path, "hello".repeat(1_000))],
  ["was cut off", (path) => truncateSync(path, 5_000)],
  [
    "has a page of something else",
    (path) => {
      const file = openSync(path, "r+");
      for (let at = 4_096; at < statSync(path).size; at += 4_096)
        writeSync(file, Buffer.alloc(4_000, 0xa5), 0, 4_000, at);
      closeSync(file);
    },
  ],
])("a file that %s is set aside with a message, and a new one begun", async (_, damage) => {
  const before = open();
  before.receive("a");
  await before.history.close();
  damage(before.path);
  const { history, receive, lines, folder } = open(before.folder);
  receive("b");
  expect(await idsOf(history)).toEqual(["b"]);
  expect(lines.join("")).toContain("damaged");
  expect(aside(folder)).toHaveLength(1);
  await history.close();
  writeFileSync(before.path, "again");
  expect(await idsOf(open(folder).history)).toEqual([]);
  expect(aside(folder), "only the latest is kept").toHaveLength(1);
});

test("a file that is damaged while it is in use is set aside as well", async () => {
  const { history, receive, path, folder } = open();
  receive("a");
  await idsOf(history);
  const other = new DatabaseSync(path);
  other.enableDefensive(false);
  other.exec(
    "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 999999 WHERE name = 'jobs'; PRAGMA schema_version = 999",
  );
  other.close();
  receive("b");
  expect(await idsOf(history)).toContain("b");
  expect(aside(folder)).toHaveLength(1);
});

test("the file of a newer version is not touched, and the worker has a history in memory", async () => {
  const folder = newFolder();
  const path = join(folder, "history.db");
  const newer = new DatabaseSync(path);
  newer.exec(`CREATE TABLE other (a); PRAGMA user_version = ${VERSION + 1}`);
  newer.close();
  const bytes = readFileSync(path);
  const { history, receive, lines } = open(folder);
  receive("a");
  expect(await idsOf(history)).toEqual(["a"]);
  await history.close();
  expect(readFileSync(path).equals(bytes)).toBe(true);
  expect(lines.join("")).toContain("newer version");
});

test("the file of an older version is brought to this one, and its jobs stay", async () => {
  // As version 1 wrote it. Later versions must read it for ever.
  const folder = newFolder();
  const path = join(folder, "history.db");
  const old = new DatabaseSync(path);
  old.exec(readFileSync(join(import.meta.dirname, "../fixtures/history-1.sql"), "utf8"));
  old.close();
  const { history } = open(folder, { days: 3_650 });
  expect(await history.get("old-job")).toMatchObject({
    state: "succeeded",
    input: { question: "Is the door locked?" },
    output: { answer: "y" },
    receipt: { model: "gemma" },
    deliveries: [{ outcome: "delivered" }],
    stations: [{ name: "queue" }, { name: "wait" }, { name: "run" }, { name: "deliver" }],
  });
  expect((await history.list({ text: "locked" }, { limit: 5 })).items).toHaveLength(1);
});

test("where the folder cannot be written, the worker has a history in memory and says so", async () => {
  const folder = newFolder();
  writeFileSync(join(folder, "file"), "");
  // A folder that no user can write, the superuser included.
  const { history, receive, lines } = open(join(folder, "file"));
  receive("a");
  expect(await idsOf(history)).toEqual(["a"]);
  expect(lines.join("")).toContain("in memory");
});

test("while the file cannot be written jobs go on, and what is lost is counted and said once", async () => {
  const { history, receive, path, lines } = open();
  receive("a");
  await idsOf(history);
  const other = new DatabaseSync(path);
  other.exec("CREATE TRIGGER full BEFORE INSERT ON jobs BEGIN SELECT RAISE(ABORT, 'disk full'); END");
  receive("b");
  receive("c");
  await idsOf(history);
  expect(history.dropped).toBe(2);
  other.exec("DROP TRIGGER full");
  other.close();
  receive("d");
  expect(await idsOf(history)).toEqual(["a", "d"]);
  expect(lines.filter((line) => line.includes("cannot be written"))).toHaveLength(1);
});

describe("while another process has locked the file", () => {
  test("what happens waits, questions are answered, and nothing is lost", async () => {
    const { history, receive, path, lines } = open();
    receive("a");
    await idsOf(history);
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    receive("b");
    expect(await idsOf(history)).toEqual(["a"]);
    receive("c");
    expect(await idsOf(history)).toEqual(["a"]);
    other.exec("ROLLBACK");
    other.close();
    receive("d");
    expect(await idsOf(history)).toEqual(["a", "b", "c", "d"]);
    expect(history.dropped).toBe(0);
    expect(lines.filter((line) => line.includes("locked"))).toHaveLength(1);
  });

  test("a worker that starts has the history that is there, and marks what was interrupted later", async () => {
    const { folder, history, receive, path } = open();
    receive("a");
    await history.close();
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    const next = open(folder);
    next.receive("b");
    expect(await next.history.states()).toEqual({ waiting: 1 });
    other.exec("ROLLBACK");
    other.close();
    expect(await next.history.states()).toEqual({ retrying: 1, waiting: 1 });
    expect(next.lines.join("")).not.toContain("in memory");
  });
});

describe("when the file changes under a worker", () => {
  test("one that was removed is begun anew, and what happens from then on is kept", async () => {
    const { folder, history, receive, path, lines } = open();
    receive("a");
    await idsOf(history);
    for (const beside of ["", "-wal", "-shm"]) rmSync(`${path}${beside}`);
    receive("b");
    expect(await idsOf(history)).toEqual(["b"]);
    expect(lines.join("")).toContain("removed or exchanged");
    await history.close();
    expect(await idsOf(open(folder).history)).toEqual(["b"]);
  });

  test("so it is by each of two workers, which go on in the same one", async () => {
    const one = open();
    const other = open(one.folder, { worker: "v" });
    for (const [at, { receive }] of [one, other].entries()) receive(`before-${at}`);
    await Promise.all([idsOf(one.history), idsOf(other.history)]);
    rmSync(one.path);
    for (const [at, { receive, history }] of [one, other].entries()) {
      receive(`after-${at}`);
      await idsOf(history);
    }
    for (const { history } of [one, other]) expect(await idsOf(history)).toEqual(["after-0", "after-1"]);
    expect(aside(one.folder)).toEqual([]);
  });

  test("one that a newer worker has changed is not written any more", async () => {
    const { history, receive, path, lines } = open();
    receive("a");
    await idsOf(history);
    const newer = new DatabaseSync(path);
    newer.exec(`PRAGMA user_version = ${VERSION + 1}`);
    receive("b");
    expect(await idsOf(history)).toEqual(["b"]);
    expect(newer.prepare("SELECT id FROM jobs").all()).toEqual([{ id: "a" }]);
    newer.close();
    expect(lines.join("")).toContain("newer version");
  });
});
