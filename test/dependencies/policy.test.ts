// What we let into node_modules, and what not.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { advisoriesOf, isFree, type Lock, leftovers, problemsOf } from "./policy.ts";

const only = (name: string, entry: Lock["packages"][string]): Lock => ({
  packages: { "": {}, [`node_modules/${name}`]: { version: "1.0.0", ...entry } },
});

test.each([
  ["MIT", true],
  ["(BSD-2-Clause OR MIT OR Apache-2.0)", true],
  ["GPL-3.0 OR MIT", true],
  ["MIT AND GPL-3.0", false],
  ["AGPL-3.0-only", false],
  ["SEE LICENSE IN LICENSE.md", false],
  ["UNLICENSED", false],
  ["", false],
  [undefined, false],
])("the licence %s is free to use: %s", (expression, free) => expect(isFree(expression)).toBe(free));

test("a licence nobody agreed to is a problem, by the package's name", () => {
  expect(problemsOf(only("sticky", { license: "AGPL-3.0-only" }))).toEqual([
    "sticky: the licence AGPL-3.0-only is not among ours",
  ]);
  expect(problemsOf(only("a/node_modules/silent", {}))).toEqual([
    "silent: the licence it does not name is not among ours",
  ]);
});

test("an install script nobody looked at is a problem", () => {
  expect(problemsOf(only("busy", { license: "MIT", hasInstallScript: true }))).toEqual([
    "busy: has an install script that nobody looked at",
  ]);
});

test("an exception for development does not let a package into what users run", () => {
  const entry = { license: "MPL-2.0" };
  expect(problemsOf(only("lightningcss", { ...entry, dev: true }))).toEqual([]);
  expect(problemsOf(only("lightningcss", entry))).toHaveLength(1);
});

test("an exception nothing needs any more is said", () => {
  expect(leftovers({ packages: {} }).length).toBeGreaterThan(0);
});

test("a grave advisory is a problem until it is accepted, and again when that runs out", () => {
  const via = [{ url: "https://github.com/advisories/GHSA-1", title: "reads beyond" }, "other"];
  const audit = {
    vulnerabilities: { leaky: { severity: "high", via }, meh: { severity: "low", via } },
  };
  const accepted = [{ id: "GHSA-1", why: "never reached", until: "2027-01-31" }];
  const line = "leaky: high, reads beyond (https://github.com/advisories/GHSA-1)";
  expect(advisoriesOf(audit, "2027-01-01", [])).toEqual([line]);
  expect(advisoriesOf(audit, "2027-01-31", accepted)).toEqual([]);
  expect(advisoriesOf(audit, "2027-02-01", accepted)).toEqual([line]);
});

test("what the lock file names keeps to the rules", () => {
  const path = resolve(import.meta.dirname, "../../package-lock.json");
  const lock = JSON.parse(readFileSync(path, "utf8")) as Lock;
  expect([...problemsOf(lock), ...leftovers(lock)]).toEqual([]);
});
