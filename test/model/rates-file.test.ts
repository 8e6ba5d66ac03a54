// The engine's rates over a restart.
import { mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readRates, writeRates } from "../../worker/model/rates-file.ts";

const NONE = { model: null, stretches: [] };
const RATES = { model: "m", stretches: [{ seconds: 4, prompt: 700, completion: 60 }] };
const folder = () => mkdtempSync(join(tmpdir(), "kamado-rates-"));

test("what was measured is there for the next process, and nothing is written where nothing was", () => {
  const at = folder();
  expect(readRates(at)).toEqual(NONE);
  writeRates(at, NONE);
  expect(readdirSync(at)).toEqual([]);
  writeRates(at, RATES);
  expect(readRates(at)).toEqual(RATES);
});

test.each([
  ["no JSON", "{"],
  ["empty", ""],
  ["another form", "[]"],
  ["figures that cannot be", '{"model":"m","stretches":[{"seconds":-1,"prompt":1,"completion":1}]}'],
])("a file that is %s counts as none", (_, text) => {
  const at = folder();
  writeFileSync(join(at, "rates.json"), text);
  expect(readRates(at).stretches).toEqual([]);
});

test("a newer version's fields are no obstacle, and a folder that cannot be written no error", () => {
  const at = folder();
  writeFileSync(join(at, "rates.json"), JSON.stringify({ ...RATES, version: 2 }));
  expect(readRates(at)).toEqual(RATES);
  const file = join(at, "file");
  writeFileSync(file, "");
  expect(() => writeRates(join(file, "below"), RATES)).not.toThrow();
});
