// The registry: a kind is a file. One that cannot be used costs its own kind alone.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import type { KamadoError } from "../../worker/errors.ts";
import { handlerOf, loadRegistry } from "../../worker/job/registry.ts";

const HANDLERS = resolve(import.meta.dirname, "../../handlers");

function folder(files: Record<string, string>): string {
  const path = mkdtempSync(join(tmpdir(), "kamado-handlers-"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}
const unexpected = (broken: KamadoError) => expect.unreachable(broken.message);
const handler = (kind: string) =>
  `const any = { safeParse: (data) => ({ success: true, data }) };
   export default { kind: "${kind}", input: any, output: any, run: async () => ({}) };`;

test("the kinds that come with Kamado are found by their files", async () => {
  const registry = await loadRegistry(HANDLERS, unexpected);
  expect([...registry.keys()]).toEqual(
    expect.arrayContaining(["article.extract", "image.check", "prompt", "todo.match"]),
  );
});

test("a new file is a new kind", async () => {
  const registry = await loadRegistry(folder({ "mood-read.js": handler("mood.read") }), unexpected);
  expect(handlerOf(registry, "mood.read").kind).toBe("mood.read");
});

test("an unknown kind is refused, and the known ones are listed", async () => {
  const registry = await loadRegistry(HANDLERS, unexpected);
  expect(() => handlerOf(registry, "todo.mtach")).toThrow(
    expect.objectContaining({
      code: "unknown_kind",
      message: expect.stringContaining("; did you mean todo.match? this worker knows article.extract, "),
    }),
  );
  expect(() => handlerOf(registry, "nope")).toThrow(
    /there is no "nope"; this worker knows article.extract, /,
  );
});

test.each([
  ["a file whose kind is another", { "a-b.js": handler("a.c") }, 'handlers/a-b.js: the kind is "a.c"'],
  ["a file without a handler", { "a-b.js": "export const x = 1;" }, "handlers/a-b.js: it has no handler"],
  [
    "a kind with two files",
    { "a-b.js": handler("a.b"), "a-b.ts": handler("a.b") },
    "handlers/a-b.ts: the kind a.b has two files, a-b.js too; keep one",
  ],
  [
    "a file whose input is no schema",
    { "a-b.js": handler("a.b").replace("input: any", "input: { text: 'string' }") },
    "handlers/a-b.js: input and output must be zod schemas",
  ],
  ["a file that is no code", { "a-b.js": "export default {" }, "handlers/a-b.js: "],
  ["a file that throws", { "a-b.js": "throw new Error('no key');" }, "handlers/a-b.js: no key"],
  ["a file that imports what is missing", { "a-b.js": "import 'nowhere';" }, "Cannot find package 'nowhere'"],
] as [string, Record<string, string>, string][])(
  "%s costs its own kind, whose jobs are told why; the others run",
  async (_, files, why) => {
    const broken: KamadoError[] = [];
    const registry = await loadRegistry(folder({ ...files, "c-d.js": handler("c.d") }), (one) =>
      broken.push(one),
    );
    expect(broken.map(({ message }) => message)).toEqual([expect.stringContaining(why)]);
    expect(await handlerOf(registry, "c.d").run({}, {} as never)).toEqual({});
    const thrown = await handlerOf(registry, "a.b")
      .run({}, {} as never)
      .catch((error) => error);
    expect(thrown).toMatchObject({ code: "handler_broken", message: broken[0]!.message });
  },
);

test("the stack of a broken file has the calls of its author, not those of Node and Kamado", async () => {
  const broken: KamadoError[] = [];
  const files = { "a-b.js": "\nthrow new Error('no key');", "c-d.js": "export const x = 1;" };
  await loadRegistry(folder(files), (one) => broken.push(one));
  const [thrown, found] = broken.map(({ cause }) => (cause as Error | undefined)?.stack);
  expect(thrown).toContain("a-b.js:2");
  expect(thrown).not.toMatch(/node:internal|job\/registry/);
  expect(found).toBeUndefined();
});
