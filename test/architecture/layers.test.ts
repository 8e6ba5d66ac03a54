// The house has rooms, and arrows between them only go down. DESIGN: cli, main -> web, run -> queue, blobs, deliver,
// model, pages -> job; the engine knows nothing of queues; handlers know only zod and the job's contract.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");

/** Which rooms a room may look into, besides itself. Files right under worker/ are rooms of their own. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  job: ["errors"],
  images: ["job", "errors", "turns", "one-thread"],
  queue: ["errors", "aws-errors", "job"],
  blobs: ["errors", "aws-errors", "job"],
  outbound: ["errors", "secrets", "undici", "job", "turns", "one-thread"],
  deliver: [
    "job",
    "queue",
    "outbound",
    "clock",
    "errors",
    "aws-errors",
    "log",
    "secrets",
    "turns",
    "one-thread",
  ],
  model: ["job", "errors", "loopback", "turns", "undici", "one-thread"],
  pages: ["job", "errors", "turns", "one-thread"],
  engine: ["job", "images", "errors", "loopback", "secrets", "turns", "one-thread"],
  local: ["errors", "aws", "aws-errors"],
  run: [
    "job",
    "queue",
    "blobs",
    "deliver",
    "outbound",
    "images",
    "model",
    "pages",
    "errors",
    "log",
    "clock",
    "config",
  ],
  web: ["errors", "run", "job", "loopback", "secrets"],
  main: [
    "aws",
    "blobs",
    "clock",
    "config",
    "deliver",
    "engine",
    "errors",
    "job",
    "log",
    "model",
    "outbound",
    "queue",
    "run",
    "web",
  ],
  cli: [
    "aws",
    "blobs",
    "clock",
    "config",
    "errors",
    "job",
    "local",
    "log",
    "main",
    "open-engine",
    "solo",
    "queue",
    "run",
    "web",
    "engine",
    "llama-server",
  ],
  "llama-server": ["errors"],
  solo: [
    "aws",
    "blobs",
    "clock",
    "config",
    "errors",
    "job",
    "log",
    "model",
    "open-engine",
    "outbound",
    "run",
  ],
  "open-engine": ["config", "engine", "errors", "llama-server", "log", "loopback", "secrets"],
  config: ["environment", "errors", "secrets"],
  environment: [],
  log: ["log-lines", "log-redaction", "secrets"],
  "log-lines": [],
  "log-redaction": ["secrets"],
  aws: ["errors"],
  "aws-errors": ["errors", "queue"],
  clock: [],
  errors: [],
  secrets: [],
  loopback: [],
  undici: [],
  turns: ["errors"],
  "one-thread": ["errors"],
};

const files = (folder: string) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(ROOT, folder, name));

// Comments are cut first: they may quote an import.
const importsOf = (file: string) => {
  const code = readFileSync(file, "utf8").replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  return [...code.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((found) => found[1]!);
};

const roomOf = (file: string) => relative(join(ROOT, "worker"), file).replace(/\.ts$/, "").split("/")[0]!;

test("every room looks only into rooms below it", () => {
  const wrong = files("worker").flatMap((file) => {
    const room = roomOf(file);
    const allowed = [room, ...(MAY_IMPORT[room] ?? [])];
    return importsOf(file)
      .filter((path) => path.startsWith("."))
      .map((path) => resolve(dirname(file), path))
      .filter((target) => target.startsWith(join(ROOT, "worker")) && !allowed.includes(roomOf(target)))
      .map((target) => `${relative(ROOT, file)} -> ${relative(ROOT, target)}`);
  });
  expect(wrong).toEqual([]);
});

test("no file imports itself through others, type imports included", () => {
  const graph = new Map(
    files("worker").map(
      (file) =>
        [
          file,
          importsOf(file)
            .filter((path) => path.startsWith("."))
            .map((path) => resolve(dirname(file), path)),
        ] as const,
    ),
  );
  const done = new Set<string>();
  const circle = (file: string, path: readonly string[]): string[] | null => {
    if (path.includes(file))
      return [...path.slice(path.indexOf(file)), file].map((one) => relative(ROOT, one));
    if (done.has(file)) return null;
    for (const next of graph.get(file) ?? []) {
      const found = circle(next, [...path, file]);
      if (found) return found;
    }
    done.add(file);
    return null;
  };
  expect([...graph.keys()].map((file) => circle(file, [])).filter(Boolean)).toEqual([]);
});

test("handlers import only zod and the job's contract", () => {
  const wrong = files("handlers").flatMap((file) =>
    importsOf(file)
      .filter((path) => path !== "zod" && !path.startsWith("../worker/job/"))
      .map((path) => `${relative(ROOT, file)} -> ${path}`),
  );
  expect(wrong).toEqual([]);
});

test("only config.ts reads the environment", () => {
  const readers = [...files("worker"), ...files("handlers")].filter((file) =>
    readFileSync(file, "utf8").includes("process.env"),
  );
  expect(readers.map((file) => relative(ROOT, file))).toEqual(["worker/config.ts"]);
});
