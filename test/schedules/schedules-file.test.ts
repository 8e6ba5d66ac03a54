// The owner's file of schedules: what is wrong in it is said with its line, before anything starts.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import prompt from "../../handlers/prompt.ts";
import { loadSchedules } from "../../worker/schedules/schedules-file.ts";

const registry = new Map([["prompt", prompt]]) as never;
const path = join(mkdtempSync(join(tmpdir(), "kamado-schedules-")), "schedules.json");

function load(text: string) {
  writeFileSync(path, text);
  return loadSchedules(path, registry);
}

const TWO = `[
  { "name": "news", "cron": "0 7 * * *", "timezone": "Asia/Tokyo",
    "kind": "prompt", "input": { "prompt": "cron {[ \\" kind", "name": ["kind"] } },
  {
    "name": "door",
    "cron": "*/10 * * * *",
    "kind": "prompt",
    "input": { "prompt": "x" }
  }
]`;

test("every schedule in it is read; without a file there are none", () => {
  expect(load(TWO.replace(', "name": ["kind"]', "")).schedules).toMatchObject([
    { name: "news", timezone: "Asia/Tokyo" },
    { name: "door", cron: "*/10 * * * *", catchUp: true },
  ]);
  expect(loadSchedules(undefined, registry)).toEqual({ path: undefined, schedules: [] });
});

test.each([
  ["a cron expression", ["*/10", "*/90"], "line 6: cron: "],
  [
    "a kind",
    [`"kind": "prompt",\n`, `"kind": "promt",\n`],
    'line 7: kind: there is no "promt"; did you mean prompt?',
  ],
  ["an input", [`{ "prompt": "x" }`, "{}"], "line 8: input, as prompt reads it: "],
  ["a field", [`"cron": "0 7`, `"corn": "0 7`], "line 2: "],
  ["a field that is not there", [`"cron": "*/10 * * * *",`, ""], "line 4: cron: "],
  ["a name that is there twice", [`"door"`, `"news"`], 'line 5: name: there are two of "news".'],
  ["JSON", ["}\n]", "}"], "it is not JSON: "],
])("%s that is wrong is named with its line", (_, [from, to], words) => {
  const text = TWO.replace(', "name": ["kind"]', "").replace(from!, to!);
  expect(() => load(text)).toThrow(
    expect.objectContaining({
      code: "config_invalid",
      message: expect.stringContaining(`KAMADO_SCHEDULES_FILE (${path}): ${words}`),
    }),
  );
});

test.each([
  ["{}", "it must be a list"],
  ["", "it is not JSON"],
])("%j is no file of schedules", (text, words) => {
  expect(() => load(text)).toThrow(words);
});

test("a file that is not there is said", () => {
  expect(() => loadSchedules("/no/such.json", registry)).toThrow("it cannot be read (ENOENT)");
});
