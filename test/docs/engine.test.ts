// docs/engine.md is the reference of the engine's HTTP API: it names all that the code knows, and nothing else.
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { OTHER_FIELDS } from "../../worker/engine/server/other-fields.ts";
import { READ_FIELDS } from "../../worker/engine/server/requests.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const reference = read("docs/engine.md");
const metricsIn = (text: string) =>
  [
    ...new Set(
      [...text.matchAll(/["`]((?:gen_ai_(?:server|client)|kamado_engine|process)_[a-z_]+)["`]/g)].map(
        ([, name]) => name,
      ),
    ),
  ].toSorted();

test("it names every metric and no other", () => {
  expect(metricsIn(reference)).toEqual(metricsIn(read("worker/engine/server/metrics.ts")));
});

test.each([...new Set([...READ_FIELDS.chat, ...READ_FIELDS.completions])])(
  "it explains the field %s",
  (field) => {
    expect(reference).toMatch(new RegExp(`[\`"]${field}[\`".]`));
  },
);

test("its table of what other servers know is the one of the code", () => {
  const code = (value: string) => `\`${value}\``;
  const rows = OTHER_FIELDS.map((group) => {
    if (group.fate === "ignored") return `| ${group.fields.map(code).join(", ")} | ignored | ${group.why} |`;
    const fields = Object.entries(group.fields).map(([name, neutral]) =>
      neutral.length === 0
        ? code(name)
        : `${code(name)} (${neutral.map((one) => code(JSON.stringify(one))).join(", ")})`,
    );
    return `| ${fields.join(", ")} | refused | ${group.why} |`;
  });
  expect(reference).toContain(rows.join("\n"));
});
