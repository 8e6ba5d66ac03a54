// One download of a model at a time, and no lock that outlives its process.
import { mkdtempSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, test, vi } from "vitest";
import { whenAborted } from "../../../worker/async/abort.ts";
import { lockModel, refuseWhileLocked } from "../../../worker/engine/download/lock.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kamado-lock-"));
});
const path = () => join(folder, ".pull.lock");

/** No process has this number: Linux and macOS count to fewer. */
const NOBODY = 2 ** 30;

const left = (holder: { pid: number; host: string }, secondsAgo = 0) => {
  writeFileSync(path(), JSON.stringify({ id: "another", ...holder }));
  const at = new Date(Date.now() - secondsAgo * 1_000);
  utimesSync(path(), at, at);
};

test("the second is refused with the first one's number, until the first one ends", async () => {
  const first = await lockModel(folder, "toy");
  const busy = { code: "model_busy", message: `toy is being downloaded by process ${process.pid}.` };
  await expect(lockModel(folder, "toy")).rejects.toMatchObject(busy);
  await expect(refuseWhileLocked(folder, "toy")).rejects.toMatchObject(busy);
  await first.release();
  await refuseWhileLocked(folder, "toy");
  await (await lockModel(folder, "toy")).release();
  expect(readdirSync(folder)).toEqual([]);
});

test.each([
  ["of a process that was killed", { pid: NOBODY, host: hostname() }, 0],
  ["that nobody touched for a minute, of another machine", { pid: process.pid, host: "other" }, 61],
  [
    "that nobody touched for a minute, whose number another process has by now",
    { pid: process.pid, host: hostname() },
    61,
  ],
])("a lock %s is taken over", async (_, holder, secondsAgo) => {
  left(holder, secondsAgo);
  const lock = await lockModel(folder, "toy");
  expect(JSON.parse(readFileSync(path(), "utf8"))).toMatchObject({ pid: process.pid });
  await lock.release();
});

test("a lock of another machine, whose processes cannot be seen, counts while it is touched", async () => {
  left({ pid: NOBODY, host: "other" });
  await expect(lockModel(folder, "toy")).rejects.toMatchObject({ code: "model_busy" });
});

test("of several that find a forgotten lock at the same time one gets it", async () => {
  left({ pid: NOBODY, host: hostname() });
  const all = await Promise.allSettled(Array.from({ length: 20 }, () => lockModel(folder, "toy")));
  const got = all.filter((one) => one.status === "fulfilled");
  expect(got.length).toBe(1);
  await got[0]!.value.release();
});

test("whoever lost the lock, as after a long sleep of the machine, is told", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  try {
    const lock = await lockModel(folder, "toy");
    left({ pid: 4_711, host: "other" });
    vi.advanceTimersByTime(10_000);
    await whenAborted(lock.lost);
    expect(lock.lost.reason).toMatchObject({
      code: "model_busy",
      message: expect.stringContaining("process 4711"),
    });
    await lock.release();
  } finally {
    vi.useRealTimers();
  }
});

test("whoever lost the lock does not remove the other one's", async () => {
  const lock = await lockModel(folder, "toy");
  left({ pid: process.pid, host: hostname() });
  await lock.release();
  expect(JSON.parse(readFileSync(path(), "utf8")).id).toBe("another");
});
