// The published client as its users get it: packed, installed into an empty TypeScript project, type-checked, and used from ESM and
// from CommonJS against a running Kamado.
import { execFile } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { builtinModules } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { build } from "tsdown";
import { afterAll, beforeAll, expect, test } from "vitest";
import { served } from "../cli/process.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const CLIENT = join(ROOT, "client");
const folder = mkdtempSync(join(tmpdir(), "kamado-client-"));
const project = join(folder, "project");
const installed = join(project, "node_modules/kamado");
const run = promisify(execFile);

beforeAll(async () => {
  const source = join(folder, "client");
  mkdirSync(source);
  for (const name of ["package.json", "README.md"]) cpSync(join(CLIENT, name), join(source, name));
  await build({ config: join(CLIENT, "tsdown.config.ts"), outDir: join(source, "dist"), logLevel: "error" });
  await run("npm", ["pack", "--silent", "--pack-destination", folder], { cwd: source });
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"))!;
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), '{ "private": true }');
  // Without its peers, which a test must not fetch: they are linked.
  const options = ["--offline", "--legacy-peer-deps", "--no-audit", "--no-fund", "--silent"];
  await run("npm", ["install", ...options, join(folder, tarball)], { cwd: project });
  for (const name of ["@aws-sdk", "@types"])
    symlinkSync(join(ROOT, "node_modules", name), join(project, "node_modules", name));
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));

const read = (name: string) => readFileSync(join(installed, name), "utf8");

test("holds the code, its types and the licences of what is bundled, and nothing else", () => {
  const files = readdirSync(installed, { recursive: true, encoding: "utf8" }).filter(
    (name) => name !== "dist",
  );
  expect(files.toSorted()).toEqual([
    "README.md",
    "dist/LICENSE",
    "dist/LICENSE-fastest-levenshtein",
    "dist/LICENSE-zod",
    "dist/client.cjs",
    "dist/client.d.cts",
    "dist/client.d.ts",
    "dist/client.js",
    "package.json",
  ]);
});

test("needs nothing but Node and its peers, the AWS SDK's clients of SQS and S3; its types neither", () => {
  const { peerDependencies, dependencies, version } = JSON.parse(read("package.json"));
  const peers = ["@aws-sdk/client-s3", "@aws-sdk/client-sqs"];
  expect([Object.keys(peerDependencies), dependencies]).toEqual([peers, undefined]);
  expect(version).toBe(JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).version);
  const known = new Set([...peers, ...builtinModules.map((name) => `node:${name}`)]);
  for (const name of ["client.js", "client.cjs", "client.d.ts", "client.d.cts"]) {
    const imports = [
      ...read(`dist/${name}`).matchAll(/^(?:import\b[^"]*|let \w+ = require\()"([^"]+)"/gm),
    ].map(([, path]) => path!);
    expect(imports.length).toBeGreaterThan(1);
    expect(imports.filter((path) => !known.has(path))).toEqual([]);
  }
});

const USE = `
const { KAMADO_QUEUE_URL: queueUrl = "", KAMADO_ENDPOINT: endpoint = "" } = process.env;
const credentials = { accessKeyId: "test", secretAccessKey: "test" };
type Own = Kinds & { "mood.read": { input: { text: string }; output: { mood: "happy" | "angry" } } };

async function main(): Promise<void> {
  const kamado = createClient<Own>({ queueUrl, bucket: "kamado", endpoint, region: "us-east-1", credentials });
  const job = await kamado.enqueue("prompt", { prompt: "hello" }, { policy: { priority: 9 } });
  const result = await kamado.wait(job, { timeoutSeconds: 60 });
  const text: string = result.status === "succeeded" && "text" in result.output ? result.output.text : "";
  const sent = await kamado.enqueueMany([{ kind: "prompt", input: { prompt: "one" } }, { kind: "mood.read", input: { text: "two" } }]);
  const refused = await kamado.enqueue("prompt", { prompt: "?" }, { id: "a b" }).catch((error: unknown) => error);
  const mapped: string[] = [];
  for await (const { result } of kamado.map("prompt", [{ prompt: "three" }, { input: { prompt: "four" }, source: "x" }]))
    if (result?.status === "succeeded" && "text" in result.output) mapped.push(result.output.text);
  console.log(JSON.stringify({ text, mapped: mapped.length, ok: sent.map((one) => one.ok), code: refused instanceof KamadoError && refused.code }));
  kamado.close();
}
void main();
void wrong;

function wrong(kamado: Client<Own>): void {
  // @ts-expect-error a field that the kind does not have
  void kamado.enqueue("prompt", { question: "?" });
  // @ts-expect-error no such kind
  void kamado.enqueue("mood.write", { text: "?" });
  // @ts-expect-error a field that the kind does not have
  void kamado.map("prompt", [{ question: "?" }]);
  // @ts-expect-error a destination without its kind
  void kamado.enqueue("mood.read", { text: "?" }, { deliver: ["https://example.org"] });
}
`;
const IMPORTS = "{ type Client, createClient, KamadoError, type Kinds }";

test("type-checks and sends jobs whose results are waited for, from ESM and from CommonJS", async () => {
  writeFileSync(join(project, "esm.mts"), `import ${IMPORTS} from "kamado/client";\n${USE}`);
  const required = `import kamadoClient = require("kamado/client");
import type { Client, Kinds } from "kamado/client";
const { createClient, KamadoError } = kamadoClient;\n`;
  writeFileSync(join(project, "types.cts"), `${required}${USE}`);
  // Node strips types, but not this form of import.
  const plain =
    'const { createClient, KamadoError } = require("kamado/client") as typeof import("kamado/client");\n';
  writeFileSync(
    join(project, "cjs.cts"),
    `import type { Client, Kinds } from "kamado/client";\n${plain}${USE}`,
  );
  const compilerOptions = {
    target: "es2024",
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noEmit: true,
    types: ["node"],
    skipLibCheck: false,
  };
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions }));
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  for (const [module, resolution] of [
    ["nodenext", "nodenext"],
    ["node16", "node16"],
    ["preserve", "bundler"],
  ]) {
    const how = ["--module", module!, "--moduleResolution", resolution!];
    const checked = await run(process.execPath, [tsc, "-p", project, ...how]).catch((error) => error);
    expect(`${resolution}: ${checked.stdout}`).toBe(`${resolution}: `);
  }
  const service = await served(["--in-memory"], { KAMADO_DATA_DIR: join(folder, "data") });
  const env = {
    PATH: process.env.PATH,
    KAMADO_QUEUE_URL: service.addresses.queue,
    KAMADO_ENDPOINT: service.addresses.endpoint,
  };
  const outputs = await Promise.all(
    ["esm.mts", "cjs.cts"].map(
      async (file) => (await run(process.execPath, [file], { cwd: project, env })).stdout,
    ),
  );
  service.child.kill("SIGTERM");
  await service.exited;
  for (const output of outputs)
    expect(JSON.parse(output)).toEqual({
      text: expect.stringContaining("hello"),
      mapped: 2,
      ok: [true, true],
      code: "invalid_input",
    });
}, 120_000);
