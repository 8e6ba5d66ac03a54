// The models of the tables: their answers do not end early, and unfinished files are removed.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { biasesFor, removeStaleDrafts } from "../../bench/models.ts";

test("end marks of any model get a bias, found by the model's own id and by their spelling", () => {
  const [normal, control] = [1, 3];
  const vocabulary = {
    tokens: ["send", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "</s>", "the", "<|eot_id|>", "stop"],
    token_type: [normal, control, control, control, control, normal, control, normal],
    eos_token_id: 7,
  };
  expect(Object.keys(biasesFor(vocabulary))).toEqual(["2", "3", "4", "6", "7"]);
  expect(new Set(Object.values(biasesFor(vocabulary)))).toEqual(new Set([-100]));
});

test("unfinished files of ended runs are removed; those of running ones and other files are kept", () => {
  const folder = mkdtempSync(join(tmpdir(), "kamado-"));
  const path = join(folder, "model.gguf");
  const gone = 2 ** 22 + 1;
  const [stale, own, other] = [`${path}.${gone}`, `${path}.${process.pid}`, join(folder, `x.gguf.${gone}`)];
  for (const file of [path, stale, own, other]) writeFileSync(file, "");
  removeStaleDrafts(path);
  expect([path, stale, own, other].map((file) => existsSync(file))).toEqual([true, false, true, true]);
  rmSync(folder, { recursive: true });
});
