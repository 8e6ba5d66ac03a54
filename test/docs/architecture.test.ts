// docs/architecture.md is where newcomers begin: what it names exists, and the ways it describes stay short.
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const page = readFileSync(join(ROOT, "docs/architecture.md"), "utf8");

/** The text under a heading, its subsections included. */
function section(heading: string): string {
  const level = heading.match(/^#+/)![0].length;
  const from = page.indexOf(`\n${heading}\n`);
  expect(from, `there is no "${heading}"`).toBeGreaterThan(-1);
  const rest = page.slice(from + heading.length + 2);
  const end = rest.search(new RegExp(`^#{1,${level}} `, "m"));
  return end < 0 ? rest : rest.slice(0, end);
}

const filesIn = (text: string) => [
  ...new Set(
    [...text.matchAll(/`((?:worker|handlers|test|storm|bench)\/[\w./-]*)`/g)].map(([, path]) => path!),
  ),
];

test("every file and folder that it names exists", () => {
  expect(filesIn(page).filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});

test("a job's main line stands in six files, and following it into every stage opens at most 45", () => {
  const mainLine = filesIn(section("### The main line"));
  expect(mainLine).toHaveLength(6);
  const all = new Set([...mainLine, ...filesIn(section("### Into every stage"))]);
  all.delete("test/rig.ts");
  expect(all.size).toBeLessThanOrEqual(45);
});

test("a chat request's way opens at most 24 files", () => {
  const table = section("## The life of a chat request")
    .split("\n")
    .filter((line) => line.startsWith("|"));
  expect(filesIn(table.join("\n")).length).toBeLessThanOrEqual(24);
});

test("every abort signal's file, every object's and every queue's is named", () => {
  for (const heading of ["## Who ends what: every abort signal", "## Every object and queue"])
    expect(filesIn(section(heading)).length).toBeGreaterThan(5);
});
