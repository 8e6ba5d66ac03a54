// docs/settings.md is the reference of the environment variables: it names all that the code reads, and no others.
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { Environment } from "../../worker/config/environment.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const namesIn = (file: string) => [
  ...new Set(
    [...readFileSync(join(ROOT, file), "utf8").matchAll(/`((?:KAMADO|AWS|HF|OTEL)_[A-Z_]+)`/g)].map(
      ([, name]) => name!,
    ),
  ),
];
const known = Object.keys(Environment.shape);

test("it names every variable and no other", () => {
  expect(namesIn("docs/settings.md").toSorted()).toEqual(known.toSorted());
});

test("the README names only variables that exist", () => {
  expect(namesIn("README.md").filter((name) => !known.includes(name))).toEqual([]);
});
