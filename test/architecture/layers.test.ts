// Which folder may import which. docs/architecture.md explains the order; this file enforces it. Arrows only go down, and
// no file imports itself through others, type imports included.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const WORKER = join(ROOT, "worker");

/** What a folder may import besides itself. A file right under worker/, engine/ or cli/ counts as a folder of its own. */
const MAY_IMPORT: Record<string, string> = {
  amounts: "",
  "damaged-database": "",
  "free-disk": "",
  "make-folder": "",
  printable: "",
  "state-file": "make-folder",
  nearest: "",
  errors: "printable",
  "data-uri": "errors",
  async: "",
  aws: "errors",
  logging: "errors job printable",
  models: "nearest",
  config: "errors make-folder models nearest power/policies power/quiet-hours",
  checks: "amounts aws errors free-disk",
  http: "errors",
  job: "errors nearest printable",
  images: "async errors job",
  pages: "async errors http job outbound",
  "json-schema": "async errors printable",
  model: "async errors http job json-schema state-file",
  outbound: "async config/secret errors http job nearest",
  power: "async logging",
  queue: "async aws errors job printable",
  storage: "aws errors http job state-file",
  local: "aws errors free-disk http",
  access: "async config/secret errors http state-file",
  console:
    "access amounts api/services async aws/errors config/secret errors free-disk http job logging power printable",
  consumer: "async errors logging queue",
  "job-lock": "async errors logging storage",
  tenants: "async damaged-database errors logging make-folder",
  todos: "errors http job outbound",
  deliver: "async aws config/secret errors http job logging outbound printable queue todos",
  tracing: "job",
  outbox: "async consumer deliver errors job logging queue storage tracing",
  "dead-letters": "async deliver errors job job-lock outbox queue storage",
  trouble:
    "amounts async aws config deliver errors free-disk logging outbound outbox queue state-file storage",
  search: "async config/secret errors http job outbound",
  runner:
    "async consumer data-uri errors http images job job-lock logging model nearest outbound outbox pages queue storage tenants todos tracing",
  history: "damaged-database errors job logging",
  api: "async data-uri dead-letters deliver errors history http images job job-lock logging outbox storage",
  batches:
    "async damaged-database engine/server/openai-errors errors free-disk job logging make-folder storage",
  mcp: "access async data-uri errors job logging nearest printable storage",
  metrics: "async console errors logging power queue",
  telemetry: "config/telemetry job logging metrics model printable tracing",
  service: "errors make-folder",
  doctor:
    "amounts async aws config engine/generation engine/install engine/sizing errors checks free-disk http model outbound power queue search service trouble",
  schedules: "async config/settings-file errors http job job-lock logging storage",
  worker:
    "async config console consumer deliver errors job job-lock logging model outbox power queue runner storage tenants tracing",
  connect:
    "async aws checks config deliver errors job logging metrics model outbound power queue runner schedules search storage telemetry tenants tracing trouble worker",
  main: "aws batches checks config connect free-disk history logging metrics queue schedules storage worker",
  "api-services": "api dead-letters main outbox queue storage",
  mounts: "api api-services batches console main mcp metrics models schedules storage",
  "cli/start": "cli/kamado",
  "cli/kamado": "cli/commands cli/left-out errors logging printable",
  "cli/commands":
    "amounts async aws cli/* config data-uri dead-letters deliver doctor engine/download engine/install engine/supervisor errors http job job-lock local logging make-folder model models outbound outbox pages power printable queue runner schedules search service storage",
  "cli/*":
    "cli/* async aws config console engine/protocol engine/supervisor errors http job local logging main mounts nearest power printable service state-file trouble",
  "engine/main":
    "engine/generation engine/load-failure engine/options engine/protocol engine/scheduler engine/server engine/sizing errors http",
  "engine/supervisor":
    "async config/secret engine/install engine/load-failure engine/options engine/protocol errors http logging",
  "engine/install": "amounts async errors free-disk make-folder",
  "engine/download":
    "amounts async engine/generation engine/sizing errors free-disk http make-folder models outbound",
  "engine/server":
    "data-uri engine/generation engine/protocol engine/scheduler errors http images job json-schema metrics/prometheus",
  "engine/scheduler": "engine/generation engine/protocol errors",
  "engine/sizing":
    "amounts async engine/backends/llama-node engine/backends/llama-server engine/backends/node-llama-cpp engine/backends/scripted engine/generation engine/options engine/protocol errors make-folder",
  "engine/options": "engine/generation errors http",
  "engine/protocol": "engine/generation errors",
  "engine/load-failure": "errors",
  "engine/backends/llama-node": "engine/generation engine/load-failure errors job",
  "engine/backends/llama-server": "engine/generation engine/load-failure engine/prefix-cache errors",
  "engine/backends/node-llama-cpp": "engine/generation engine/prefix-cache errors",
  "engine/backends/scripted": "engine/generation errors json-schema",
  "engine/prefix-cache": "async make-folder",
  "engine/generation": "errors job json-schema models",
};

const files = (folder: string) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => /\.(ts|mjs)$/.test(name) && !name.endsWith(".d.ts"))
    .map((name) => join(ROOT, folder, name));

// Comments are cut first: they may quote an import.
const importsOf = (file: string) => {
  const code = readFileSync(file, "utf8").replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  return [...code.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((found) => found[1]!);
};
const ownImportsOf = (file: string) =>
  importsOf(file)
    .filter((path) => path.startsWith("."))
    .map((path) => resolve(dirname(file), path));

const nameOf = (file: string) => relative(WORKER, file).replace(/\.(ts|mjs)$/, "");

/** The folder that a file belongs to, as the table names it. */
function folderOf(file: string): string {
  const path = nameOf(file).split("/");
  const depth = path[0] === "engine" ? (path[1] === "backends" ? 3 : 2) : path[0] === "cli" ? 2 : 1;
  return path.slice(0, depth).join("/");
}

function mayImport(file: string, target: string): boolean {
  const [from, to] = [folderOf(file), folderOf(target)];
  if (from === to) return true;
  const row = MAY_IMPORT[from] ?? (from.startsWith("cli/") ? MAY_IMPORT["cli/*"] : undefined);
  const allowed = (row ?? "").split(" ");
  if (isCommandLine(target) && allowed.includes("cli/*")) return true;
  return allowed.includes(to) || allowed.includes(nameOf(target));
}

const isCommandLine = (file: string) => /^cli\/(?!commands)/.test(folderOf(file));

test("every folder imports only folders that the table allows", () => {
  const wrong = files("worker").flatMap((file) =>
    ownImportsOf(file)
      .filter((target) => target.startsWith(WORKER) && !mayImport(file, target))
      .map((target) => `${nameOf(file)} -> ${nameOf(target)}`),
  );
  expect(wrong).toEqual([]);
});

test("every import that the table allows is used, so that the table is no wider than the code", () => {
  const used = new Map<string, Set<string>>();
  for (const file of files("worker")) {
    const row = MAY_IMPORT[folderOf(file)] === undefined ? "cli/*" : folderOf(file);
    const names = used.get(row) ?? new Set();
    for (const target of ownImportsOf(file).filter((target) => target.startsWith(WORKER)))
      for (const name of [folderOf(target), nameOf(target), ...(isCommandLine(target) ? ["cli/*"] : [])])
        names.add(name);
    used.set(row, names);
  }
  const unused = Object.entries(MAY_IMPORT).flatMap(([row, allowed]) =>
    allowed
      .split(" ")
      .filter((name) => name !== "" && !used.get(row)?.has(name))
      .map((name) => `${row} -> ${name}`),
  );
  expect(unused).toEqual([]);
});

test("the table names every folder, and no folder that is gone", () => {
  const folders = new Set(files("worker").map(folderOf));
  const known = Object.keys(MAY_IMPORT).filter((name) => name !== "cli/*");
  expect(known.filter((name) => !folders.has(name))).toEqual([]);
  expect([...folders].filter((name) => !known.includes(name) && !name.startsWith("cli/"))).toEqual([]);
});

test("no folder imports itself through others", () => {
  const graph = new Map<string, Set<string>>();
  for (const file of files("worker")) {
    const to = graph.get(folderOf(file)) ?? new Set();
    for (const target of ownImportsOf(file))
      if (target.startsWith(WORKER) && mayImport(file, target)) to.add(folderOf(target));
    to.delete(folderOf(file));
    graph.set(folderOf(file), to);
  }
  expect(circlesIn(graph)).toEqual([]);
});

test("no file imports itself through others, type imports included", () => {
  expect(
    circlesIn(new Map(files("worker").map((file) => [nameOf(file), ownImportsOf(file).map(nameOf)]))),
  ).toEqual([]);
});

function circlesIn(graph: ReadonlyMap<string, Iterable<string>>): string[][] {
  const done = new Set<string>();
  const circle = (node: string, path: readonly string[]): string[] | null => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node];
    if (done.has(node)) return null;
    for (const next of graph.get(node) ?? []) {
      const found = circle(next, [...path, node]);
      if (found) return found;
    }
    done.add(node);
    return null;
  };
  return [...graph.keys()].map((node) => circle(node, [])).filter((found) => found !== null);
}

test("handlers import only zod and the job's contract", () => {
  const wrong = files("handlers").flatMap((file) =>
    importsOf(file)
      .filter((path) => path !== "zod" && !path.startsWith("../worker/job/"))
      .map((path) => `${relative(ROOT, file)} -> ${path}`),
  );
  expect(wrong).toEqual([]);
});

/** What `kamado/client` shares with the worker and bundles. What it needs to run must stay small: no log, no configuration. */
const CLIENT_MAY_IMPORT =
  "async/abort async/backoff async/clock async/semaphore aws/client-options aws/rights deliver/signature errors job job-lock/cancellations queue/sqs storage".split(
    " ",
  );

test("the client imports only what it shares with the worker, and in the worker only commands and the composition root import it", () => {
  const wrong = files("client").flatMap((file) =>
    ownImportsOf(file)
      .filter((target) => target.startsWith(WORKER))
      .filter(
        (target) => ![folderOf(target), nameOf(target)].some((name) => CLIENT_MAY_IMPORT.includes(name)),
      )
      .map((target) => `${relative(ROOT, file)} -> ${nameOf(target)}`),
  );
  const users = files("worker").filter((file) =>
    ownImportsOf(file).some((target) => target.startsWith(join(ROOT, "client"))),
  );
  expect({
    wrong,
    users: users.map(folderOf).filter((folder) => !["cli/commands", "connect"].includes(folder)),
  }).toEqual({
    wrong: [],
    users: [],
  });
  expect(users.length).toBeGreaterThan(0);
});

test("what tests of handlers use knows no queue, no engine and no test runner", () => {
  const wrong = files("testing").flatMap((file) =>
    importsOf(file)
      .filter((path) => !/^(\.\/|\.\.\/worker\/(job|images|pages)\/|node:(?!test)|zod$)/.test(path))
      .map((path) => `${relative(ROOT, file)} -> ${path}`),
  );
  expect(wrong).toEqual([]);
});

test("every process that the worker starts is given its environment, and not this process's own", () => {
  // A backend and what measures it run inside the engine, whose environment holds no secrets.
  const calls = files("worker")
    .filter((file) => !/^engine\/(backends|sizing)\//.test(nameOf(file)))
    .flatMap((file) =>
      [
        ...readFileSync(file, "utf8").matchAll(
          /(?<![.\w])(?:spawn|spawnSync|fork|execFile|exec)\((?!\))[\s\S]*?\);/g,
        ),
      ].map(([call]) => ({ file: nameOf(file), call })),
    );
  expect(calls.length).toBeGreaterThan(2);
  expect(calls.filter(({ call }) => !/\benv\b/.test(call))).toEqual([]);
});

test("only config/config.ts reads the environment", () => {
  const readers = [...files("worker"), ...files("handlers"), ...files("client")].filter((file) =>
    readFileSync(file, "utf8").includes("process.env"),
  );
  expect(readers.map((file) => relative(ROOT, file))).toEqual(["worker/config/config.ts"]);
});
