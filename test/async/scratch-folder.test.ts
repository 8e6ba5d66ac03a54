import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeScratchFolder, removeOrphanedFolders } from "../../worker/async/scratch-folder.ts";

let parent: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "kamado-"));
});
afterEach(() => rmSync(parent, { recursive: true }));

const endedPid = () => spawnSync(process.execPath, ["--version"]).pid;

test("a scratch folder is named after its process, and only its owner can read it", () => {
  const folder = makeScratchFolder(parent, "work-");
  expect(basename(folder)).toMatch(new RegExp(`^work-${process.pid}-`));
  expect(statSync(folder).mode & 0o777).toBe(0o700);
});

test("folders of ended processes are removed, those of running ones and others' are not", () => {
  const own = basename(makeScratchFolder(parent, "work-"));
  const kept = [own, `work-${process.ppid}-abc`, "work-notes", `other-${endedPid()}-abc`];
  const removed = [
    `work-${endedPid()}-abc`,
    `work-${endedPid()}`,
    `work-${process.pid}-of-an-earlier-process`,
  ];
  for (const name of [...kept, ...removed]) mkdirSync(join(parent, name), { recursive: true });
  removeOrphanedFolders(parent, "work-");
  expect(readdirSync(parent).toSorted()).toEqual(kept.toSorted());
});

test("a folder that does not exist has no orphans", () => {
  expect(() => removeOrphanedFolders(join(parent, "missing"), "work-")).not.toThrow();
});
