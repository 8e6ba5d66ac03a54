// What `kamado init` writes: complete, true, and harmless as it stands.
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { loadConfig } from "../../worker/config/config.ts";
import { findConfigFile, keyOf } from "../../worker/config/config-file.ts";
import { Environment } from "../../worker/config/environment.ts";
import { configTemplate } from "../../worker/config/template.ts";

const TEMPLATE = configTemplate(readFileSync(resolve(import.meta.dirname, "../../docs/settings.md"), "utf8"));
const load = (text: string) => {
  const folder = mkdtempSync(join(tmpdir(), "kamado-template-"));
  writeFileSync(join(folder, "kamado.toml"), text, { mode: 0o600 });
  return loadConfig({}, {}, findConfigFile(folder, {}));
};
const { set: _, warnings: __, ...DEFAULTS } = loadConfig({}, {});

test("has every variable once, with the words of docs/settings.md above it", () => {
  const keys = [...TEMPLATE.matchAll(/^# ([a-z_]+) = /gm)].map(([, key]) => key!);
  expect(keys.toSorted()).toEqual(Object.keys(Environment.shape).map(keyOf).toSorted());
  expect(TEMPLATE).toContain("# how many jobs run at once.");
  expect(TEMPLATE).not.toMatch(/\]\(|`/);
});

test("sets nothing as it stands", () => {
  expect(load(TEMPLATE)).toMatchObject({ ...DEFAULTS, set: [] });
});

test("says the truth about every default: with all lines in use everything is as without the file", () => {
  const all = TEMPLATE.replaceAll(/^# ([a-z_]+ = )/gm, "$1");
  const { set, warnings, ...config } = load(all);
  // These two defaults are those of the outbox and of the engine, which the configuration leaves to them.
  const left = { deliveryDelaysMs: undefined, engine: { ...config.engine, maxQueue: undefined } };
  expect({ ...config, ...left }).toEqual(DEFAULTS);
  expect(set).toContain("KAMADO_WEB_PORT");
  expect(warnings).toEqual([]);
});

test("has no line that a terminal would break", () => {
  expect(TEMPLATE.split("\n").filter((line) => line.length > 130)).toEqual([]);
});
