// Node, disk, memory and GPU.
import { chmodSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  diskFinding,
  gpuFinding,
  memoryFinding,
  memoryOf,
  nodeFinding,
} from "../../worker/doctor/machine.ts";
import { fakeMachine } from "./machines.ts";

const temporaryFolder = () => mkdtempSync(join(tmpdir(), "kamado-doctor-"));
const free = (bytes: number) => () => ({ bavail: Math.floor(bytes / 4_096), bsize: 4_096 });

test.each([
  [1e6, "fail", /^full: 1\.0 MB free/],
  [1e9, "warn", /^1\.0 GB free/],
  [50e9, "ok", /^50\.0 GB free/],
] as const)("a disk with %i bytes left is %s", (bytes, status, found) => {
  const finding = diskFinding(temporaryFolder(), { statfs: free(bytes) });
  expect(finding).toMatchObject({ check: "disk", status, found: expect.stringMatching(found) });
});

test("a full disk that holds the queue stops everything, and the line says so", () => {
  const finding = diskFinding(temporaryFolder(), { holdsQueue: true, statfs: free(0) });
  expect(finding.todo).toMatch(/no job can be sent/);
});

test("the disk of a data folder that is not there yet is that of the folder it will be in", () => {
  const asked: string[] = [];
  const root = temporaryFolder();
  const statfs = (folder: string) => {
    asked.push(folder);
    return { bavail: 1e9, bsize: 4_096 };
  };
  expect(diskFinding(join(root, "a/b"), { statfs }).status).toBe("ok");
  expect(asked).toEqual([root]);
});

test("a disk of which nothing can be told is not called well", () => {
  const statfs = () => {
    throw new Error("ENOSYS");
  };
  expect(diskFinding(temporaryFolder(), { statfs })).toMatchObject({ status: "warn" });
});

test("a data folder that cannot be written is told", (context) => {
  if (process.getuid?.() === 0) return context.skip("root may write everywhere");
  const folder = mkdtempSync(join(temporaryFolder(), "locked-"));
  chmodSync(folder, 0o500);
  expect(diskFinding(folder)).toMatchObject({
    status: "fail",
    found: expect.stringContaining("cannot be written"),
  });
});

test("memory is that of this machine, or less where the owner says so", () => {
  const linux = fakeMachine("linux");
  const own = memoryOf(linux, undefined);
  expect(own.mostBytes).toBeLessThanOrEqual(own.totalBytes);
  expect(memoryFinding(own).status).toBe("ok");
  expect(memoryOf(linux, 500 * 2 ** 20)).toMatchObject({
    mostBytes: 500 * 2 ** 20,
    from: "KAMADO_MEMORY_LIMIT",
  });
  expect(memoryFinding(memoryOf(linux, 4_000 * 2 ** 30))).toMatchObject({ status: "warn" });
  // Two thirds or three quarters, by the size of the machine.
  const mac = memoryOf(fakeMachine("darwin"), undefined);
  expect(mac.mostBytes / mac.totalBytes).toBeGreaterThan(0.66);
  expect(mac.mostBytes / mac.totalBytes).toBeLessThan(0.76);
});

test("Node is compared with what Kamado needs, and one for Intel on Apple silicon is found out", async () => {
  const linux = fakeMachine("linux");
  expect((await nodeFinding(linux, ">=24")).status).toBe("ok");
  expect(await nodeFinding(linux, ">=99")).toMatchObject({
    status: "fail",
    todo: expect.stringContaining("./kamado"),
  });
  const translated = fakeMachine("darwin", { "sysctl -n sysctl.proc_translated": "1\n" });
  expect(await nodeFinding(translated, ">=24")).toMatchObject({
    status: "fail",
    found: expect.stringContaining("Rosetta"),
  });
  expect((await nodeFinding(fakeMachine("darwin"), ">=24")).status).toBe("ok");
});

test("what computes is named", () => {
  expect(gpuFinding(fakeMachine("darwin"), "arm64")).toMatchObject({
    status: "ok",
    found: expect.stringContaining("Metal"),
  });
  expect(gpuFinding(fakeMachine("darwin"), "x64")).toMatchObject({ status: "warn" });
  expect(gpuFinding(fakeMachine("linux"))).toMatchObject({ status: "ok" });
});
