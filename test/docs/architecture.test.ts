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

/** The table under a heading. */
const table = (heading: string) =>
  section(heading)
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .join("\n");

const filesIn = (text: string) => [
  ...new Set(
    [...text.matchAll(/`((?:worker|handlers|test|storm|bench)\/[\w./-]*)`/g)].map(([, path]) => path!),
  ),
];

test("every file and folder that it names exists", () => {
  expect(filesIn(page).filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});

// The page says what these numbers mean. The text around a table is not counted.
test("a job's main line stands in six files, and with the table of its stages it opens at most 45", () => {
  const mainLine = filesIn(section("### The main line"));
  expect(mainLine).toHaveLength(6);
  const all = new Set([...mainLine, ...filesIn(table("### Into every stage"))]);
  expect(all.size).toBeLessThanOrEqual(45);
});

test("the table of a chat request opens at most 24 files", () => {
  expect(filesIn(table("## The life of a chat request")).length).toBeLessThanOrEqual(24);
});

test("every abort signal's file, every object's and every queue's is named", () => {
  for (const heading of ["## Who ends what: every abort signal", "## Every object and queue"])
    expect(filesIn(section(heading)).length).toBeGreaterThan(5);
});
