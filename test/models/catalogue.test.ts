// The catalogue of models and what is near a name that is not in it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { z } from "zod";
import { catalogue, nearestModel } from "../../worker/models/catalogue.ts";
import { isModelName } from "../../worker/models/installed.ts";

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const File = z.strictObject({
  file: z.string().regex(/\.gguf$/),
  bytes: z.int().positive().nullable(),
  bytesAre: z.enum(["reported", "rounded", "unknown"]),
  sha256: Sha256.nullable(),
});
const Catalogue = z.strictObject({
  about: z.array(z.string()).min(1),
  models: z.array(
    z.strictObject({
      name: z.string().refine(isModelName),
      title: z.string(),
      for: z.string().max(60),
      licence: z.string(),
      licenceVerified: z.boolean(),
      repo: z.string().regex(/^[\w.-]+\/[\w.-]+$/),
      model: File,
      mmproj: File.nullable(),
    }),
  ),
});

test("has three models for pictures, from small to good, and one for texts, each with its licence", () => {
  Catalogue.parse(JSON.parse(readFileSync(join(import.meta.dirname, "../../models/catalogue.json"), "utf8")));
  const sizes = catalogue()
    .filter(({ mmproj }) => mmproj !== null)
    .map(({ model }) => model.bytes!);
  expect(sizes).toEqual(sizes.toSorted((a, b) => a - b));
  expect([sizes.length, catalogue().filter(({ mmproj }) => mmproj === null).length]).toEqual([3, 1]);
});

test("docs/models.md names every model of the catalogue", () => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/models.md"), "utf8");
  expect(catalogue().filter(({ name }) => !page.includes(`\`${name}\``))).toEqual([]);
});

test.each([
  ["Qwen3-VL-4B", "qwen3-vl-4b"],
  ["smolvlm2", "smolvlm2-2.2b"],
  ["gemma3:4b", "gemma-4-e4b"],
  ["gpt-oss:20b", "gpt-oss-20b"],
  ["zzz", undefined],
])("%s is near %s", (asked, near) => expect(nearestModel(asked)).toBe(near));
