// Which files `kamado map` reads.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { filesIn } from "../../../worker/cli/map/inputs.ts";

const cwd = mkdtempSync(join(tmpdir(), "kamado-inputs-"));
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

test("the file of results in the folder of the inputs is none of them when the command is given again", async () => {
  mkdirSync(join(cwd, "notes"));
  for (const name of ["2.txt", "10.txt", "results.jsonl", "results.jsonl.part"])
    writeFileSync(join(cwd, "notes", name), "x");
  const inputs = ["notes/2.txt", "notes/10.txt"];
  const out = join(cwd, "notes", "results.jsonl");
  expect(await filesIn(["notes"], { cwd, out })).toEqual(inputs);
  expect(await filesIn(["notes/*"], { cwd, out: "./notes/results.jsonl" })).toEqual(inputs);
  expect(await filesIn(["notes"], { cwd })).toEqual([
    ...inputs,
    "notes/results.jsonl",
    "notes/results.jsonl.part",
  ]);
});
