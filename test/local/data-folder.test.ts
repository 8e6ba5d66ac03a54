// The folder of the embedded AWS: who may read it, and that a database which was there is never replaced in silence.
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, onTestFinished, test } from "vitest";
import type { KamadoError } from "../../worker/errors.ts";
import { notWhole } from "../../worker/local/data-folder.ts";
import { startLocalAws } from "../../worker/local/local-aws.ts";

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "kamado-data-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return join(path, "aws");
}

/** Runs once in the folder: as a first start, or a later one. */
async function run(dataDir: string, whileItRuns = () => {}): Promise<void> {
  const aws = await startLocalAws({ port: 0, dataDir });
  try {
    whileItRuns();
  } finally {
    await aws.stop();
  }
}

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);
const modesIn = (path: string) =>
  Object.fromEntries(readdirSync(path).map((name) => [name, modeOf(join(path, name))]));

describe("only its owner can read it", () => {
  const open = 0o022;
  test("from the first moment, whatever the process allows others", async () => {
    const before = process.umask(open);
    onTestFinished(() => void process.umask(before));
    const dataDir = folder();
    await run(dataDir, () => {
      const modes = modesIn(dataDir);
      expect(modes).toMatchObject({ "fauxqs.db": "600", "fauxqs.db-wal": "600", "fauxqs.db-shm": "600" });
      expect(new Set(Object.values(modes))).toEqual(new Set(["600"]));
      expect(modeOf(dataDir)).toBe("700");
    });
  });

  test("again at the next start, when something has opened it to others", async () => {
    const dataDir = folder();
    await run(dataDir);
    // As after a kill: the files beside the database are still there.
    for (const name of ["fauxqs.db-wal", "fauxqs.db-shm"]) writeFileSync(join(dataDir, name), "");
    chmodSync(dataDir, 0o755);
    for (const name of readdirSync(dataDir)) chmodSync(join(dataDir, name), 0o644);
    await run(dataDir, () => {
      expect(modeOf(dataDir)).toBe("700");
      expect(new Set(Object.values(modesIn(dataDir)))).toEqual(new Set(["600"]));
    });
  });
});

/** What can become of a database, and what the start says of it. */
const LOSSES: [string, RegExp, (path: string) => void][] = [
  ["is gone", /is gone/, (path) => rmSync(path)],
  ["is empty", /is empty/, (path) => truncateSync(path, 0)],
  ["is another file", /is damaged/, (path) => writeFileSync(path, "x".repeat(20_000))],
  ["is cut short", /is damaged/, (path) => truncateSync(path, 10_000)],
  ["has a damaged page", /is damaged/, (path) => overwrite(path, 4_096, 16_384)],
  ["is another database", /is damaged/, (path) => replace(path, "CREATE TABLE x (y)")],
  ["lost its tables", /is damaged/, (path) => change(path, "DROP TABLE sqs_messages; DROP TABLE sqs_queues")],
  ["lost its rows", /holds no queue/, (path) => change(path, "DELETE FROM sqs_queues")],
  [
    "has a row that cannot be read",
    /cannot be read/,
    (path) => change(path, "UPDATE sqs_queues SET tags = '{'"),
  ],
];

function overwrite(path: string, from: number, length: number): void {
  const bytes = readFileSync(path);
  writeFileSync(path, bytes.fill(0x5a, from, from + length));
}
function change(path: string, sql: string): void {
  const database = new DatabaseSync(path);
  database.exec(sql);
  database.close();
}
function replace(path: string, sql: string): void {
  rmSync(path);
  change(path, sql);
}

describe("a folder that cannot be used ends the start with its name and what to do", () => {
  const thrownAt = (dataDir: string) =>
    startLocalAws({ port: 0, dataDir }).then(
      () => expect.unreachable(),
      (thrown: KamadoError) => thrown,
    );

  test("because a part of its path is a file", async () => {
    const path = folder();
    writeFileSync(path, "");
    for (const dataDir of [path, join(path, "aws")]) {
      const { code, message, hint } = await thrownAt(dataDir);
      expect(code).toBe("config_invalid");
      expect(message).toContain(`KAMADO_DATA_DIR: ${dataDir} cannot be written`);
      expect(hint).toContain("KAMADO_DATA_DIR");
    }
  });

  test.skipIf(process.platform !== "linux")(
    "because no folder can be made there (Linux has /proc)",
    async () => {
      for (const dataDir of ["/proc/kamado", "/proc/kamado/aws"]) {
        const { code, message } = await thrownAt(dataDir);
        expect(code).toBe("config_invalid");
        expect(message).toContain(
          `KAMADO_DATA_DIR: ${dataDir} cannot be written: a folder cannot be made there`,
        );
      }
    },
  );

  test("because its lock is damaged, which is not another Kamado", async () => {
    const dataDir = folder();
    await run(dataDir);
    writeFileSync(join(dataDir, "lock.db"), "no database, no database, no database");
    const { message, hint } = await thrownAt(dataDir);
    expect(message).toMatch(/lock\.db: .* is damaged/);
    expect(hint).toContain("delete this one file");
    rmSync(join(dataDir, "lock.db"));
    await run(dataDir);
  });

  test("because another Kamado uses it", async () => {
    const dataDir = folder();
    const first = await startLocalAws({ port: 0, dataDir });
    onTestFinished(() => first.stop());
    const { message, hint } = await thrownAt(dataDir);
    expect(message).toContain("another Kamado already keeps its queues");
    expect(hint).toContain("set KAMADO_DATA_DIR");
  });
});

describe("a database that was there is never begun anew in silence", () => {
  test.each(LOSSES)("one that %s ends the start with its name and what to do", async (_, why, lose) => {
    const dataDir = folder();
    await run(dataDir);
    const path = join(dataDir, "fauxqs.db");
    lose(path);
    const before = existsSync(path) ? readFileSync(path) : null;
    for (const _start of [1, 2]) {
      const error = await startLocalAws({ port: 0, dataDir }).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: "config_invalid", message: expect.stringMatching(why) });
      const { message } = error as Error;
      expect(message).toContain(`${path}: `);
      expect(message).toMatch(/backup, or move the whole folder .*aws away/);
    }
    expect(existsSync(path) ? readFileSync(path) : null).toEqual(before);
  });

  test("after the folder was moved away, it begins with an empty queue", async () => {
    const dataDir = folder();
    await run(dataDir);
    truncateSync(join(dataDir, "fauxqs.db"), 0);
    rmSync(dataDir, { recursive: true });
    await run(dataDir);
  });

  test("a copy that was put back is used", async () => {
    const [dataDir, copy] = [folder(), folder()];
    await run(dataDir);
    mkdirSync(copy);
    copyFileSync(join(dataDir, "fauxqs.db"), join(copy, "fauxqs.db"));
    await run(copy);
  });

  test("a first start that was killed at any moment is no lost database", async () => {
    for (const left of [["unfinished"], ["unfinished", "lock.db"], ["unfinished", "lock.db", "fauxqs.db"]]) {
      const dataDir = folder();
      mkdirSync(dataDir);
      for (const name of left) writeFileSync(join(dataDir, name), "");
      await run(dataDir);
      expect(readdirSync(dataDir)).not.toContain("unfinished");
    }
  });

  test("a database whose last writes are still beside it, after a kill, is whole", async () => {
    const dataDir = folder();
    const localAws = new URL("../../worker/local/local-aws.ts", import.meta.url).href;
    const program = `
      const { startLocalAws } = await import(${JSON.stringify(localAws)});
      await startLocalAws({ port: 0, dataDir: ${JSON.stringify(dataDir)} });
      process.kill(process.pid, "SIGKILL");`;
    spawnSync(process.execPath, ["--input-type=module", "-e", program]);
    expect(readdirSync(dataDir)).toContain("fauxqs.db-wal");
    await run(dataDir);
  });
});

describe("a full disk is named, and is no damage", () => {
  test("while the first start creates the database, or the lock", async () => {
    const place = mkdtempSync(join(tmpdir(), "kamado-full-"));
    onTestFinished(() => rmSync(place, { recursive: true, force: true }));
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", place]);
    if (mounted.status !== 0) return console.log("skipped: this user may not mount a small disk");
    onTestFinished(() => void spawnSync("umount", ["-l", place]));
    const [dataDir, rest] = [join(place, "aws"), join(place, "rest")];
    for (const free of [0, 12, 40]) {
      writeFileSync(rest, Buffer.alloc((1_024 - free) * 1_024 - 8_192));
      try {
        for (let page = 0; page < 256 && free === 0; page++) appendFileSync(rest, Buffer.alloc(4_096));
      } catch {
        // Not a byte is left.
      }
      const failed = await startLocalAws({ port: 0, dataDir }).then(
        async (aws) => aws.stop(),
        (thrown) => thrown,
      );
      expect(failed).toMatchObject({
        code: "disk_full",
        message: expect.stringMatching(/disk.* is full/),
        hint: expect.not.stringContaining("delete"),
      });
      rmSync(rest);
    }
    await run(dataDir);
    await run(dataDir);
  });

  test.each([{ errcode: 13 }, { code: "ENOSPC" }])("whatever says it: %j", (fields) => {
    const cause = Object.assign(new Error("database or disk is full"), fields);
    expect(notWhole("/data", "cannot be read", cause)).toMatchObject({
      code: "disk_full",
      message: expect.not.stringContaining("backup"),
      hint: expect.stringContaining("Free some space"),
    });
  });
});
