// What a command without a bucket has found out so far, as files.
import { existsSync, mkdtempSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { checkpointFiles } from "../../worker/storage/checkpoint-files.ts";

const newFolder = () => join(mkdtempSync(join(tmpdir(), "kamado-")), "research");

test("the next run of the same command finds what is kept, and no other job does", async () => {
  const folder = newFolder();
  await checkpointFiles(folder, "a").put("page-1", { text: "hello" });
  const again = checkpointFiles(folder, "a");
  expect([again.count(), await again.get("page-1"), await again.get("page-2")]).toEqual([
    1,
    { text: "hello" },
    undefined,
  ]);
  expect(await checkpointFiles(folder, "b").get("page-1")).toBeUndefined();
});

test("a file that was cut off counts as none", async () => {
  const folder = newFolder();
  const kept = checkpointFiles(folder, "a");
  await kept.put("page-1", 1);
  writeFileSync(join(folder, "a/page-1.json"), '{"value": ');
  expect(await kept.get("page-1")).toBeUndefined();
});

test("a folder that cannot be written is an error that a job goes on with", async () => {
  const folder = newFolder();
  writeFileSync(folder, "a file in its place");
  const kept = checkpointFiles(join(folder, "below"), "a");
  await expect(kept.put("page-1", 1)).rejects.toMatchObject({ code: "storage_unavailable" });
});

test("a name cannot lead out of the folder", async () => {
  const kept = checkpointFiles(newFolder(), "a");
  await expect(kept.put("../x", 1)).rejects.toMatchObject({ code: "storage_unavailable" });
});

test("what is finished is removed, and so is what is older than a week", async () => {
  const folder = newFolder();
  const [done, old] = [checkpointFiles(folder, "done"), checkpointFiles(folder, "old")];
  await done.put("page-1", 1);
  await old.put("page-1", 1);
  done.remove();
  expect(existsSync(join(folder, "done"))).toBe(false);
  const then = Date.now() / 1_000 - 8 * 86_400;
  utimesSync(join(folder, "old"), then, then);
  checkpointFiles(folder, "new");
  expect(readdirSync(folder)).toEqual([]);
});
