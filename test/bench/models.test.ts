// The models of the tables: none of their answers ends early, and nothing half written stays beside them.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { biasesAgainst } from "../../bench/endings.ts";
import { removeStaleDrafts } from "../../bench/random-model.ts";

test("what ends an answer of any model is made unsayable, by its number and by how such marks are spelt", () => {
  const [normal, control] = [1, 3];
  const vocabulary = {
    tokens: ["send", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "</s>", "the", "<|eot_id|>", "stop"],
    token_type: [normal, control, control, control, control, normal, control, normal],
    eos_token_id: 7,
  };
  expect(Object.keys(biasesAgainst(vocabulary))).toEqual(["2", "3", "4", "6", "7"]);
  expect(new Set(Object.values(biasesAgainst(vocabulary)))).toEqual(new Set([-100]));
});

test("drafts of runs that are no more are removed, those of running ones and other files are not", () => {
  const folder = mkdtempSync(join(tmpdir(), "kamado-"));
  const path = join(folder, "model.gguf");
  const gone = 2 ** 22 + 1;
  const [stale, own, other] = [`${path}.${gone}`, `${path}.${process.pid}`, join(folder, `x.gguf.${gone}`)];
  for (const file of [path, stale, own, other]) writeFileSync(file, "");
  removeStaleDrafts(path);
  expect([path, stale, own, other].map((file) => existsSync(file))).toEqual([true, false, true, true]);
  rmSync(folder, { recursive: true });
});
