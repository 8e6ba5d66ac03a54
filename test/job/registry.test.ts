// The registry: a kind is a file. What does not fit is refused at boot, by name.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { handlerOf, loadRegistry } from "../../worker/job/registry.ts";

const HANDLERS = resolve(import.meta.dirname, "../../handlers");

function folder(files: Record<string, string>): string {
  const path = mkdtempSync(join(tmpdir(), "kamado-handlers-"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}
const handler = (kind: string) =>
  `export default { kind: "${kind}", input: {}, output: {}, run: async () => ({}) };`;

test("the kinds that come with Kamado are found by their files", async () => {
  const registry = await loadRegistry(HANDLERS);
  expect([...registry.keys()]).toEqual(
    expect.arrayContaining(["article.extract", "image.check", "prompt", "todo.match"]),
  );
});

test("a new file is a new kind", async () => {
  const registry = await loadRegistry(folder({ "mood-read.js": handler("mood.read") }));
  expect(handlerOf(registry, "mood.read").kind).toBe("mood.read");
});

test("an unknown kind is refused, and the known ones are listed", async () => {
  const registry = await loadRegistry(HANDLERS);
  expect(() => handlerOf(registry, "todo.mtach")).toThrow(
    expect.objectContaining({ code: "unknown_kind", message: expect.stringContaining("todo.match") }),
  );
});

test.each([
  ["a file whose kind is another", { "a-b.js": handler("a.c") }, "a-b.js"],
  ["a file without a handler", { "a-b.js": "export const x = 1;" }, "a-b.js"],
  ["a kind that exists twice", { "a-b.js": handler("a.b"), "a-b.ts": handler("a.b") }, "a.b"],
])("%s is refused by name", async (_, files, name) => {
  await expect(loadRegistry(folder(files as unknown as Record<string, string>))).rejects.toMatchObject({
    code: "config_invalid",
    message: expect.stringContaining(name),
  });
});
