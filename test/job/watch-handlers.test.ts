// Handlers that are exchanged while jobs run: each job runs old or new code, and never some of both.
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { handlerOf } from "../../worker/job/registry.ts";
import { watchHandlers } from "../../worker/job/watch-handlers.ts";

const handler = (kind: string, says: string, before = "") => `${before}
const any = { safeParse: (data) => ({ success: true, data }) };
export default { kind: "${kind}", input: any, output: any, run: async () => ${says} };`;

/** A watched folder, and what is told of it. */
async function watched(files: Record<string, string>) {
  const folder = mkdtempSync(join(tmpdir(), "kamado-handlers-"));
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
  for (const [name, text] of Object.entries({ "package.json": '{"type": "module"}', ...files }))
    write(name, text);
  const told: string[] = [];
  const { registry, close } = await watchHandlers([folder], {
    loaded: (kind) => told.push(`${kind} loaded`),
    removed: (kind) => told.push(`${kind} removed`),
    broken: ({ message }, isKept) => told.push(`${isKept ? "kept" : "broken"}: ${message}`),
  });
  onTestFinished(close);
  const run = (kind: string) => handlerOf(registry, kind).run({}, {} as never);
  const says = (kind: string) => run(kind).catch((error: Error) => error.message);
  return { folder, write, told, registry, run, says };
}

test("new jobs run the new code; a job keeps the code that it began with, what it imports included", async () => {
  const code = (version: string) =>
    handler("a.b", `(await gate, "${version}" + word)`, 'import { gate, word } from "./_word.mjs";');
  const word = (version: string) => `export const gate = globalThis.gate; export const word = "${version}";`;
  const gate = Promise.withResolvers<void>();
  Object.assign(globalThis, { gate: gate.promise });
  const one = await watched({ "a-b.js": code("old "), "_word.mjs": word("old") });
  const before = one.run("a.b");
  one.write("_word.mjs", word("new"));
  one.write("a-b.js", code("new "));
  const changed = () => {
    gate.resolve();
    return one.says("a.b");
  };
  await expect.poll(() => one.told).toContain("a.b loaded");
  await expect.poll(changed).toBe("new new");
  expect(await before).toBe("old old");
});

test("a change of a file that handlers share changes each of them, and no other", async () => {
  const shared = (kind: string) => handler(kind, "word", 'import { word } from "./_word.mjs";');
  const one = await watched({
    "a-b.js": shared("a.b"),
    "c-d.js": shared("c.d"),
    "e-f.js": handler("e.f", "1"),
    "_word.mjs": 'export const word = "old";',
  });
  const untouched = handlerOf(one.registry, "e.f");
  one.write("_word.mjs", 'export const word = "new";');
  await expect.poll(() => Promise.all(["a.b", "c.d"].map(one.says))).toEqual(["new", "new"]);
  expect(handlerOf(one.registry, "e.f")).toBe(untouched);
});

test("a job that imports a file only after it changed is tried again, and does not run half of each", async () => {
  const gate = Promise.withResolvers<void>();
  Object.assign(globalThis, { laterGate: gate.promise });
  const code = handler("a.b", '(await globalThis.laterGate, (await import("./_word.mjs")).word)');
  const one = await watched({ "a-b.js": code, "_word.mjs": 'export const word = "old";' });
  const before = one.run("a.b").catch((error: Error) => error.message);
  one.write("_word.mjs", 'export const word = "new";');
  one.write("a-b.js", `${code} // changed`);
  await expect.poll(() => one.told).toContain("a.b loaded");
  gate.resolve();
  expect(await before).toMatch(/_word.mjs was imported after the handler had changed/);
  expect(await one.says("a.b")).toBe("new");
});

test("a broken edit keeps the code from before and is told once; the next good one is used", async () => {
  const code = handler("a.b", '(await import("./_one.mjs")).one');
  const one = await watched({ "a-b.js": code, "_one.mjs": "export const one = 1;" });
  const before = handlerOf(one.registry, "a.b");
  one.write("a-b.js", "export default {");
  await expect.poll(() => one.told).toEqual([expect.stringMatching(/^kept: .*a-b.js: Unexpected end/)]);
  // It is in use as before, so what it imports later is not refused.
  expect(await one.says("a.b")).toBe(1);
  one.write("a-b.js", code);
  one.write("c-d.js", handler("c.d", "1"));
  await expect.poll(() => one.told).toContain("c.d loaded");
  expect(handlerOf(one.registry, "a.b")).toBe(before);
  one.told.length = 1;
  one.write("a-b.js", handler("a.b", "2"));
  await expect.poll(() => one.says("a.b")).toBe(2);
  expect(one.told.slice(1)).toEqual(["a.b loaded"]);
});

test("a file that was broken at the start is used once it is right, and so is what it lacked", async () => {
  const one = await watched({ "a-b.js": handler("a.b", "word", 'import { word } from "./_word.mjs";') });
  expect(one.told).toEqual([expect.stringMatching(/^broken: .*a-b.js: Cannot find module/)]);
  one.write("_word.mjs", "export const word = 3;");
  await expect.poll(() => one.says("a.b")).toBe(3);
});

test.each([
  [
    "renames another file over it",
    (path: string, text: string) => {
      writeFileSync(`${path}~`, text);
      renameSync(`${path}~`, path);
    },
  ],
  [
    "moves the old file away first",
    (path: string, text: string) => {
      renameSync(path, `${path}.bak`);
      writeFileSync(path, text);
    },
  ],
  [
    "deletes the file and writes another",
    (path: string, text: string) => {
      rmSync(path);
      writeFileSync(path, text);
    },
  ],
])("an editor that %s is noticed, every time", async (_, save) => {
  const one = await watched({ "a-b.js": handler("a.b", "0") });
  for (const says of [1, 2, 3]) {
    save(join(one.folder, "a-b.js"), handler("a.b", String(says)));
    await expect.poll(() => one.says("a.b")).toBe(says);
  }
  expect(one.told).not.toContain("a.b removed");
});

test("a folder that is replaced as a whole is noticed, and until it is there again everything stays", async () => {
  const one = await watched({ "a-b.js": handler("a.b", "1") });
  renameSync(one.folder, `${one.folder}.old`);
  await expect.poll(() => one.told).toEqual([expect.stringMatching(/^kept: .*there is no such folder/)]);
  expect(await one.says("a.b")).toBe(1);
  mkdirSync(one.folder);
  one.write("package.json", '{"type": "module"}');
  one.write("a-b.js", handler("a.b", "2"));
  await expect.poll(() => one.says("a.b")).toBe(2);
});

test("a new file is a new kind, a file that is gone is none; a second file of a kind does not stop the first", async () => {
  const one = await watched({ "a-b.js": handler("a.b", "1") });
  one.write("c-d.js", handler("c.d", "2"));
  await expect.poll(() => [...one.registry.keys()]).toEqual(["a.b", "c.d"]);
  expect(one.told).toEqual(["c.d loaded"]);
  one.write("a-b.mjs", handler("a.b", "3"));
  await expect
    .poll(() => one.told)
    .toContainEqual(expect.stringMatching(/^kept: .*the kind a.b has two files/));
  expect(await one.says("a.b")).toBe(1);
  rmSync(join(one.folder, "c-d.js"));
  await expect.poll(() => one.told).toContain("c.d removed");
  expect([...one.registry.keys()]).toEqual(["a.b"]);
});

test("a file that is saved without a change is not loaded again, and costs no memory", async () => {
  const one = await watched({ "a-b.js": handler("a.b", "1"), "c-d.js": handler("c.d", "1") });
  const before = handlerOf(one.registry, "a.b");
  one.write("a-b.js", handler("a.b", "1"));
  one.write("c-d.js", handler("c.d", "2"));
  await expect.poll(() => one.says("c.d")).toBe(2);
  expect(handlerOf(one.registry, "a.b")).toBe(before);
  expect(one.told).toEqual(["c.d loaded"]);
});
