// One line of kamado.toml changes, and everything else that a person wrote stays.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { withModel } from "../../worker/config/config-edit.ts";
import { configTemplate } from "../../worker/config/template.ts";

describe("the model is written", () => {
  test.each([
    [
      "in place of another, whose projector goes",
      'model = "a.gguf" # mine\nmmproj = "p.gguf"\nslots = 2\n',
      'model = "new" # mine\n# mmproj = "p.gguf"\nslots = 2\n',
    ],
    ["under the name of its variable too", "KAMADO_MODEL = 'a'\n", 'model = "new"\n'],
    ["before the first table", "slots = 2\n[web]\nport = 1\n", 'model = "new"\nslots = 2\n[web]\nport = 1\n'],
    ["into an empty file", "", 'model = "new"\n'],
  ])("%s", (_, before, after) => expect(withModel(before, "new")).toBe(after));

  test("where `kamado init` has it in a comment, and nothing else changes", () => {
    const text = configTemplate(readFileSync(join(import.meta.dirname, "../../docs/settings.md"), "utf8"));
    const [before, after] = [text.split("\n"), withModel(text, "new")!.split("\n")];
    const changed = after.flatMap((line, index) => (line === before[index] ? [] : [[before[index], line]]));
    expect(changed).toEqual([['# model = ""', 'model = "new"']]);
  });
});

test.each([
  ["a value over several lines", 'model = """\na"""\n'],
  ["a file that is no TOML", "model = \n["],
])("nothing is written into %s", (_, text) => expect(withModel(text, "new")).toBeUndefined());
