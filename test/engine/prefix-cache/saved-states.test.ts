import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { bytesPerToken, overBudget, SavedStates } from "../../../worker/engine/prefix-cache/saved-states.ts";

test.each([
  ["as many as the heads of keys and values say", { head_count: 10, head_count_kv: 2 }, 12 * 2 * 128 * 2],
  ["as many as all heads when nothing is shared", { head_count: 10 }, 12 * 10 * 128 * 2],
  [
    "what the file says of their length",
    { head_count: 10, head_count_kv: 2, key_length: 96, value_length: 32 },
    12 * 2 * 128 * 2,
  ],
  ["the widest layer where they differ", { head_count: 10, head_count_kv: [1, 4] }, 12 * 4 * 128 * 2],
  ["nothing where there is no attention", { head_count: 0 }, 0],
])("a token takes %s", (_, attention, bytes) => {
  expect(bytesPerToken({ block_count: 12, embedding_length: 640, attention })).toBe(bytes);
});

describe("a budget", () => {
  const kept = (bytes: number, usedAt: number) => ({ bytes, usedAt });
  test.each([
    ["holds what fits", [kept(5, 1), kept(5, 2)], 10, []],
    ["lets go what was not used for the longest", [kept(5, 2), kept(5, 1), kept(5, 3)], 10, [1]],
    ["lets go as many as it takes", [kept(1, 1), kept(1, 2), kept(9, 3)], 9, [0, 1]],
    ["lets go small ones when they are too many", [1, 2, 3, 4, 5].map((at) => kept(0, at)), 9, [0, 1]],
  ])("%s", (_, all, bytes, gone) => {
    expect(overBudget(all, { bytes, count: 3 })).toEqual(gone.map((at) => all[at]));
  });
});

describe("the states of any backend", () => {
  const stateOf = (tokens: number[], bytes: number, loaded: string[] = []) => ({
    tokens,
    save: async (path: string) => {
      writeFileSync(path, "x".repeat(bytes));
      return bytes;
    },
    load: async (path: string) => void loaded.push(path),
  });
  function folder(): string {
    const path = mkdtempSync(join(tmpdir(), "kamado-test-"));
    onTestFinished(() => rmSync(path, { recursive: true }));
    return path;
  }

  test("are saved in the folder that the backend names, and loaded from there", async () => {
    const passingFolder = folder();
    const states = new SavedStates({ passingFolder });
    const loaded: string[] = [];
    const { saved } = await states.save(stateOf([1, 2], 3), 1);
    expect([saved.tokens, states.bytes, saved.path.startsWith(passingFolder)]).toEqual([[1, 2], 3, true]);
    await states.restore(saved, stateOf([], 0, loaded), 2);
    expect([loaded, saved.usedAt]).toEqual([[saved.path], 2]);
    await states.close();
    expect(existsSync(passingFolder)).toBe(true);
  });

  test("live as long as the process where the folder for later ones cannot be made", async () => {
    const file = join(folder(), "a file");
    writeFileSync(file, "");
    const causes: unknown[] = [];
    const states = new SavedStates({
      passingFolder: folder(),
      lastingFolder: join(file, "prefixes"),
      onUnusable: (cause) => causes.push(cause),
    });
    expect([states.keepsLasting, causes]).toEqual([false, [expect.objectContaining({ code: "ENOTDIR" })]]);
    expect((await states.save(stateOf([1], 3), 1)).saved.bytes).toBe(3);
  });

  test("stay within the budget: the one that was not used for the longest goes, file and all", async () => {
    const states = new SavedStates({ passingFolder: folder(), passing: { bytes: 10, count: 2 } });
    const { saved: first } = await states.save(stateOf([1], 4), 1);
    const { saved: second } = await states.save(stateOf([2], 4), 2);
    await states.restore(first, stateOf([], 0), 3);
    const { gone } = await states.save(stateOf([3], 4), 4);
    expect([gone, existsSync(second.path), existsSync(first.path)]).toEqual([[second], false, true]);
    await states.remove(first);
    expect([existsSync(first.path), states.all.size]).toEqual([false, 1]);
  });

  test("that outlive the process are closed to other users at every start", () => {
    const lastingFolder = folder();
    chmodSync(lastingFolder, 0o755);
    new SavedStates({ passingFolder: folder(), lastingFolder });
    expect(statSync(lastingFolder).mode & 0o777).toBe(0o700);
  });

  test("that outlive the process are checked before they are loaded", async () => {
    const lastingFolder = folder();
    const before = new SavedStates({ passingFolder: folder(), lastingFolder });
    const { saved } = await before.save(stateOf([1, 2, 3], 5), 1, true);
    await before.close();
    const after = new SavedStates({ passingFolder: folder(), lastingFolder });
    const [kept] = after.all;
    expect(kept).toMatchObject({ tokens: [1, 2, 3], path: saved.path });
    writeFileSync(saved.path, "y".repeat(5));
    await expect(after.restore(kept!, stateOf([], 0), 2)).rejects.toThrow("damaged");
  });
});
