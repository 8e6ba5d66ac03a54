// docs/engine.md is the reference of the engine's HTTP API: what the code knows stands there, and nothing else.
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { thinkingFields } from "../../worker/engine/server/chat-request.ts";
import { commonFields } from "../../worker/engine/server/request-fields.ts";

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

test.each([...Object.keys(commonFields), ...Object.keys(thinkingFields)])(
  "it explains the field %s",
  (field) => {
    expect(reference).toMatch(new RegExp(`[\`"]${field}[\`".]`));
  },
);
