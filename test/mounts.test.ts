// What the parts with an address of their own cost a worker before anybody asks them.
import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

const WORKER = resolve(import.meta.dirname, "../worker");

/** Every package that is loaded with a file, because it is imported there or in what it imports. What is imported later is not. */
function packagesOf(
  file: string,
  seen = new Map<string, string>(),
  files = new Set<string>(),
): Map<string, string> {
  if (files.has(file)) return seen;
  files.add(file);
  const code = stripTypeScriptTypes(readFileSync(file, "utf8"));
  for (const [, name] of code.matchAll(/^(?:import\b[^;"(]*|export\b[^;"(=]*from )"([^"]+)"/gm)) {
    if (name!.startsWith(".")) packagesOf(resolve(dirname(file), name!), seen, files);
    else if (!seen.has(name!)) seen.set(name!, relative(WORKER, file));
  }
  return seen;
}

test("the protocol for models and the check of assertions are loaded when the first request needs them", () => {
  const loaded = packagesOf(join(WORKER, "cli/run-until-stopped.ts"));
  // What is read here is what is loaded.
  expect([...loaded.keys()]).toEqual(expect.arrayContaining(["hono", "zod", "@hono/node-server"]));
  expect([...loaded].filter(([name]) => /^(@modelcontextprotocol|jose)/.test(name))).toEqual([]);
});
