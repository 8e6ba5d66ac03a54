// What the parts with an address of their own cost a worker before anybody asks them.
import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

const WORKER = resolve(import.meta.dirname, "../worker");

/** Of the worker itself, that are loaded with it. */
const files = new Set<string>();

/** Every package that is loaded with a file, because it is imported there or in what it imports. What is imported later is not. */
function packagesOf(file: string, seen = new Map<string, string>()): Map<string, string> {
  if (files.has(file)) return seen;
  files.add(file);
  const code = stripTypeScriptTypes(readFileSync(file, "utf8"));
  for (const [, name] of code.matchAll(/^(?:import\b[^;"(]*|export\b[^;"(=]*from )"([^"]+)"/gm)) {
    if (name!.startsWith(".")) packagesOf(resolve(dirname(file), name!), seen);
    else if (!seen.has(name!)) seen.set(name!, relative(WORKER, file));
  }
  return seen;
}

const loaded = packagesOf(join(WORKER, "cli/run-until-stopped.ts"));

test("the protocol for models and the check of assertions are loaded when the first request needs them", () => {
  // What is read here is what is loaded.
  expect([...loaded.keys()]).toEqual(expect.arrayContaining(["hono", "zod", "@hono/node-server"]));
  expect([...loaded].filter(([name]) => /^(@modelcontextprotocol|jose)/.test(name))).toEqual([]);
});

test("pages, the jobs API, batches' API and the tools are loaded when somebody asks for them", () => {
  const names = [...files].map((file) => relative(WORKER, file));
  expect(names).toEqual(expect.arrayContaining(["main.ts", "mounts.ts", "console/server.ts"]));
  const late =
    /^(console\/(pages\/|console\.ts)|api\/(app|routes|jobs)\.ts|batches\/(api|upload)\.ts|mcp\/(mcp|calls|tools)\.ts|api-services\.ts)/;
  expect(names.filter((name) => late.test(name))).toEqual([]);
});
