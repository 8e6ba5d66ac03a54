// docs/todo-services.md: every entry that it shows can be copied, and it names every service and field.
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import todoMatch from "../../handlers/todo-match.ts";
import { loadDestinations } from "../../worker/outbound/destinations.ts";
import { TodoAdapter, todoAdapters } from "../../worker/outbound/todo-services.ts";
import { DONETICK } from "../todos/stubs/donetick.ts";

const page = readFileSync(resolve(import.meta.dirname, "../../docs/todo-services.md"), "utf8");
const blocks = (kind: string) =>
  [...page.matchAll(new RegExp(`^\`\`\`${kind}\\n([\\s\\S]*?)^\`\`\``, "gm"))].map(([, text]) => text!);

function load(text: string) {
  const folder = mkdtempSync(join(tmpdir(), "kamado-docs-"));
  for (const [, name] of text.matchAll(/"file": "([^"]+)"/g))
    writeFileSync(join(folder, name!), "kim:t0k3n\n");
  writeFileSync(join(folder, "d.json"), text);
  return loadDestinations(join(folder, "d.json"));
}

test("every entry of the destinations file that it shows can be copied, one for each service and one of its own", () => {
  const entries = blocks("json").flatMap(load);
  const known = Object.values(todoAdapters());
  expect(known.filter((adapter) => !entries.some(({ todos }) => todos?.adapter === adapter))).toEqual([]);
  expect(entries.at(-1)!.todos!.adapter).toEqual(TodoAdapter.parse(DONETICK));
});

test("the job that it shows is one", () => {
  const [job] = blocks("json job").map((text) => JSON.parse(text));
  expect(todoMatch.input.safeParse(job.input).success).toBe(true);
});

test("it names every field of an adapter", () => {
  expect(
    Object.keys(TodoAdapter.shape).filter((field) => field !== "title" && !page.includes(`\`${field}\``)),
  ).toEqual([]);
});
