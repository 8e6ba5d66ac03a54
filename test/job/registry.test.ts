// The registry: a kind is a file. One that cannot be used costs its own kind alone.
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import type { KamadoError } from "../../worker/errors.ts";
import type { Handler } from "../../worker/job/handler.ts";
import { handlerOf, keepMaker, loadRegistry, makerOf } from "../../worker/job/registry.ts";

const HANDLERS = resolve(import.meta.dirname, "../../handlers");

function folder(files: Record<string, string>): string {
  const path = mkdtempSync(join(tmpdir(), "kamado-handlers-"));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), text);
  }
  return path;
}
const unexpected = (broken: KamadoError): void => expect.unreachable(broken.message);
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
  ["a file whose kind is another", { "a-b.js": handler("a.c") }, '/a-b.js: the kind is "a.c"'],
  ["a file without a handler", { "a-b.js": "export const x = 1;" }, "/a-b.js: it has no handler"],
  [
    "a kind with two files",
    { "a-b.js": handler("a.b"), "a-b.ts": handler("a.b") },
    "/a-b.ts: the kind a.b has two files, a-b.js too; keep one",
  ],
  [
    "a file whose input is no schema",
    { "a-b.js": handler("a.b").replace("input: any", "input: { text: 'string' }") },
    "/a-b.js: input and output must be zod schemas",
  ],
  ["a file that is no code", { "a-b.js": "export default {" }, "/a-b.js: "],
  ["a file that throws", { "a-b.js": "throw new Error('no key');" }, "/a-b.js:1: no key"],
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

describe("a folder of one's own", () => {
  const TYPED = `import { defineHandler } from "kamado/handler";
import { z } from "zod";
import { words } from "./_words.ts";
import left from "left";
export default defineHandler({
  kind: "mood.read",
  summary: "Says how a sentence sounds.",
  input: z.strictObject({ text: z.string() }),
  output: z.strictObject({ mood: z.string() }),
  async run({ text }: { text: string }) {
    return { mood: left(text, words.length) };
  },
});`;
  const installed = (name: string, code: string) => ({
    [`node_modules/${name}/package.json`]: `{"name": "${name}", "type": "module", "exports": "./index.js"}`,
    [`node_modules/${name}/index.js`]: code,
  });
  const FILES = {
    "package.json": '{"type": "module"}',
    "mood-read.ts": TYPED,
    "mood-read.test.ts": "throw new Error('a test is no handler');",
    "_words.ts": "export const words: string[] = ['a', 'b'];",
    ...installed("left", 'import { own } from "zod"; export default (text, n) => own + text.slice(0, n);'),
    // Of another version, perhaps: the package gets it, the handler does not.
    ...installed("zod", 'export const own = "its own zod: ";'),
  };
  const load = (files: Record<string, string>, onBroken = unexpected) =>
    loadRegistry(HANDLERS, onBroken, folder(files));

  test("adds its kinds; what they import from Kamado is not installed, and packages of their own work", async () => {
    const registry = await load(FILES);
    expect([...registry.keys()]).toEqual(expect.arrayContaining(["mood.read", "prompt"]));
    const { input, run } = handlerOf(registry, "mood.read");
    expect(input).toBeInstanceOf(z.ZodType);
    expect(await run({ text: "oh no" }, {} as never)).toEqual({ mood: "its own zod: oh" });
    expect(registry.size).toBe((await loadRegistry(HANDLERS, unexpected)).size + 1);
  });

  test("a kind that Kamado has already runs in neither form, and the error names both files", async () => {
    const broken: KamadoError[] = [];
    const registry = await load({ "prompt.js": handler("prompt"), "c-d.js": handler("c.d") }, (one) =>
      broken.push(one),
    );
    expect(broken.map(({ code, message }) => [code, message])).toEqual([
      [
        "handler_broken",
        expect.stringMatching(
          /^\/.*\/prompt\.js: the kind prompt has two files, handlers\/prompt\.ts too; keep one\.$/,
        ),
      ],
    ]);
    await expect(handlerOf(registry, "prompt").run({}, {} as never)).rejects.toBe(broken[0]);
    expect(handlerOf(registry, "c.d").broken).toBeUndefined();
  });

  test("a file that cannot be used is named with its whole path, and costs its own kind alone", async () => {
    const broken: KamadoError[] = [];
    const registry = await load({ "a-b.js": "import 'nowhere';", "c-d.js": handler("c.d") }, (one) =>
      broken.push(one),
    );
    expect(broken.map(({ message }) => message)).toEqual([
      expect.stringMatching(/^\/.*\/a-b\.js: Cannot find package 'nowhere'/),
    ]);
    expect(handlerOf(registry, "c.d").broken).toBeUndefined();
    expect(handlerOf(registry, "prompt").broken).toBeUndefined();
  });

  test.each([
    ["syntax that cannot be erased", "\nenum A { B }", /a-b\.ts:2: TypeScript enum is not supported/],
    ["no TypeScript", "\n\nconst a: = 1;", /a-b\.ts:3: /],
    ["a name that there is not", '\nimport { x } from "kamado/handler";', /a-b\.ts:2: .*named 'x'/],
  ])("the line of %s is told", async (_, code, why) => {
    const broken: KamadoError[] = [];
    await load({ "package.json": '{"type": "module"}', "a-b.ts": code }, (one) => broken.push(one));
    expect(broken.map(({ message }) => message)).toEqual([expect.stringMatching(why)]);
  });

  test("that is not there is a wrong setting", async () => {
    await expect(loadRegistry(HANDLERS, unexpected, "/nowhere")).rejects.toMatchObject({
      code: "config_invalid",
      message: "KAMADO_HANDLERS: /nowhere: there is no such folder.",
      hint: expect.stringContaining("kamado new"),
    });
  });

  test.each([
    ["no package.json", {}],
    ["one that says nothing of modules", { "package.json": "{}" }],
    ["one of `npm init`", { "package.json": '{"type": "commonjs"}' }],
  ] as [string, Record<string, string>][])("may have %s", async (_, files) => {
    const { "package.json": _own, ...rest } = FILES;
    const registry = await load({ ...rest, ...files });
    expect(await handlerOf(registry, "mood.read").run({ text: "oh no" }, {} as never)).toHaveProperty("mood");
  });

  test("a module may end in .mjs or .mts too", async () => {
    const registry = await load({ "a-b.mjs": handler("a.b"), "c-d.mts": handler("c.d") });
    expect([...registry.keys()]).toEqual(expect.arrayContaining(["a.b", "c.d"]));
  });
});

test("a delivery belongs to the code that made its output, although the kind has other code by then", async () => {
  const old = { kind: "a.b" } as Handler;
  const registry = new Map([["a.b", { kind: "a.b" } as Handler]]);
  const output = { is: "old" };
  keepMaker(output, old);
  expect(makerOf(output, registry, "a.b")).toBe(old);
  expect(makerOf({ ...output }, registry, "a.b")).toBe(registry.get("a.b"));
  expect(makerOf("a text", registry, "a.b")).toBe(registry.get("a.b"));
  expect(() => makerOf(null, registry, "c.d")).toThrow(expect.objectContaining({ code: "unknown_kind" }));
});

test("what is being loaded is told, and what has ended, so that a file that never does can be named", async () => {
  const own = folder({ "a-b.js": handler("a.b"), "c-d.js": "throw new Error('broken');" });
  const told = new Set<string>();
  const loading = new Set<string>();
  await loadRegistry(
    HANDLERS,
    () => {},
    own,
    (file) => {
      told.add(file);
      loading.add(file);
      return () => loading.delete(file);
    },
  );
  expect([[...told].map((file) => file.split("/").at(-1)), loading.size]).toEqual([["a-b.js", "c-d.js"], 0]);
});
