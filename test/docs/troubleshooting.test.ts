// docs/troubleshooting.md has a row for every error code, which says the same as worker/errors.ts.
import { expect, test } from "vitest";
import { ERRORS } from "../../worker/errors.ts";
import { read } from "./pages.ts";

const page = read("docs/troubleshooting.md");
const rows = [...page.matchAll(/^\| `([a-z_]+)` \| (\d+)(, again)? \| (.+) \|$/gm)].map(
  ([, code, status, again, rest]) => ({
    code: code!,
    status: Number(status),
    retry: again !== undefined,
    cells: rest!.split(/(?<!\\) \| ?/),
  }),
);

test("every error code has one row, with its HTTP status and whether Kamado tries again, and no other code has one", () => {
  const written = rows.map(({ code, status, retry }) => [code, { status, retry }]);
  const known = Object.entries(ERRORS).map(([code, { status, retry }]) => [code, { status, retry }]);
  expect(Object.fromEntries(written)).toEqual(Object.fromEntries(known));
  expect(written).toHaveLength(known.length);
});

test("each says what it means, its causes and what to do, or leads to a section that does", () => {
  const sections = [...page.matchAll(/^### (\w+)$/gm)].map(([, name]) => name!);
  expect(sections.filter((name) => !(name in ERRORS))).toEqual([]);
  const empty = rows.filter(({ cells }) => cells.length < 3 || cells.some((cell) => cell.trim() === ""));
  expect(empty.map(({ code }) => code).filter((code) => !sections.includes(code))).toEqual([]);
  const led = [...page.matchAll(/\(#([a-z_]+)\)/g)].map(([, name]) => name!);
  expect(led.filter((name) => !sections.includes(name))).toEqual([]);
  expect(rows.length).toBeGreaterThan(50);
});
