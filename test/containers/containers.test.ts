// What of the container files can be shown without a container engine. test/containers/from-bare-image.ts runs them.
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import { isBuiltin, stripTypeScriptTypes } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { GetQueueAttributesCommand, ReceiveMessageCommand, SendMessageCommand } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { parse } from "yaml";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

/** Runs a script of infra/ as Compose does. */
const script = (path: string, variables: Record<string, string>) => node([join(ROOT, path)], variables);

async function node(args: string[], variables: Record<string, string>, cwd = ROOT) {
  const child = spawn(process.execPath, args, { cwd, env: { PATH: process.env.PATH, ...variables } });
  const [out, errors, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  return { out, errors, code };
}

/** What the Containerfile copies of this repository, in a folder of its own, with links to the packages that it installs. */
function imageFolder(containerfile: string): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "kamado-image-")));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const [, list, to] of containerfile.matchAll(/^COPY (?!--from)(.*) (\S+)$/gm)) {
    for (const source of list!.split(" ")) {
      // A folder gives its content, a file goes into the folder that is named.
      const isFolder = statSync(join(ROOT, source)).isDirectory();
      const target = join(folder, to!, isFolder ? "" : basename(source));
      cpSync(join(ROOT, source), target, { recursive: true });
    }
  }
  const { dependencies } = JSON.parse(read("package.json")) as { dependencies: Record<string, string> };
  const left = [...containerfile.matchAll(/'dependencies\[([^\]]+)\]'/g)].map(([, name]) => name!);
  for (const name of Object.keys(dependencies).filter((one) => !left.includes(one))) {
    mkdirSync(dirname(join(folder, "node_modules", name)), { recursive: true });
    symlinkSync(join(ROOT, "node_modules", name), join(folder, "node_modules", name));
  }
  return folder;
}

const filesOf = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => !path.startsWith("node_modules") && /\.m?[jt]s$/.test(path))
    .map((path) => join(folder, path));

/** What a file loads, or reads as a file beside it; types are not loaded. */
function importsOf(file: string): string[] {
  const code = stripTypeScriptTypes(readFileSync(file, "utf8")).replaceAll(/^\s*(\/\/|\/?\*).*$/gm, "");
  const ways = [
    /\bfrom "([\w@./-]+)"/g,
    /(?:\bimport\(|^import )"([\w@./-]+)"/gm,
    /\bnew URL\("(\.[\w./-]+)", import/g,
  ];
  const inHome = [...code.matchAll(/\bjoin\(HOME, "([^"]+)"/g)].map(([, path]) => `/${path}`);
  return [...ways.flatMap((way) => [...code.matchAll(way)].map(([, name]) => name!)), ...inHome];
}

function isThere(folder: string, file: string, name: string, packages: Record<string, string>): boolean {
  if (name.startsWith("/")) return existsSync(join(folder, name)) || NOT_LOADED.test(name);
  if (name.startsWith(".")) return existsSync(resolve(dirname(file), name));
  const own = name.split("/", name.startsWith("@") ? 2 : 1).join("/");
  // A handler of the owner imports `kamado/…`, and `kamado new` writes such lines.
  return isBuiltin(name) || own in packages || own === "kamado";
}
/** Named in a text, made there, or of the demo, which says what it lacks. */
const NOT_LOADED = /^\/(kamado$|models\/demo\/|node_modules\/)/;

describe("the Containerfile", () => {
  const containerfile = read("Containerfile");
  const { dependencies } = JSON.parse(read("package.json")) as { dependencies: Record<string, string> };

  test("leaves out packages that are still dependencies, under the names that they have", () => {
    const left = [...containerfile.matchAll(/'dependencies\[([^\]]+)\]'/g)].map(([, name]) => name!);
    expect(left.toSorted()).toEqual(["@fugood/llama.node", "fauxqs", "node-llama-cpp"]);
    expect(Object.keys(dependencies)).toEqual(expect.arrayContaining(left));
  });

  test("copies only what exists and what is not left out of the context", () => {
    const sources = [...containerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, list]) =>
      list!.split(" "),
    );
    expect(sources.length).toBeGreaterThan(4);
    const kept = read(".dockerignore")
      .split("\n")
      .filter((line) => line.startsWith("!"))
      .map((line) => line.slice(1));
    for (const source of sources)
      expect([source, existsSync(join(ROOT, source)), kept.includes(source)]).toEqual([source, true, true]);
  });

  test("copies every file that a command in it loads, and every package is one of the worker's own", async () => {
    const folder = imageFolder(containerfile);
    const missing = filesOf(folder)
      .flatMap((file) => importsOf(file).map((name) => [file, name] as const))
      .filter(([file, name]) => !isThere(folder, file, name, dependencies))
      .map(([file, name]) => `${relative(folder, file)}: ${name}`);
    // These two commands say what they lack before they load it.
    expect(missing).toEqual([
      "worker/cli/commands/bench.ts: ../../../bench/bench.ts",
      "worker/cli/commands/demo.ts: ../../../examples/demo/main.ts",
    ]);
  });

  test("loads every command, and one that needs the embedded AWS or another folder says so", async () => {
    const folder = imageFolder(containerfile);
    const commands = readdirSync(join(ROOT, "worker/cli/commands")).filter(
      (name) => !/-view|engine-/.test(name),
    );
    // One process for all of them: it loads each file, as the command line does.
    const code = `for (const name of ${JSON.stringify(commands)})
      await import("./worker/cli/commands/" + name).catch(({ message }) => console.log(name, message.split(" imported")[0]));
      await import("./worker/cli/kamado.ts");`;
    writeFileSync(join(folder, "all.mjs"), code);
    const ran = await node([join(folder, "all.mjs"), "bench"], { HOME: folder }, folder);
    expect(ran).toMatchObject({ out: "", code: 3 });
    expect(ran.errors).toMatch(/tool_missing.*the folder bench/);
    const serve = await node([join(folder, "worker/cli/kamado.ts"), "serve"], { HOME: folder }, folder);
    expect(serve).toMatchObject({
      code: 3,
      errors: expect.stringMatching(/tool_missing.*the package fauxqs/),
    });
    expect(serve.errors).toContain("Run the command in a clone of the repository");
  });

  test("ends as a user without rights, with a health check and Debian's and Node's own images as defaults", () => {
    expect(containerfile.split(/^FROM /m).at(-1)).toMatch(/^USER 65532:65532$/m);
    expect(containerfile).toMatch(/^HEALTHCHECK /m);
    expect(containerfile.match(/^ARG \w+=docker\.io\/library\/.+$/gm)).toHaveLength(2);
  });
});

test("Compose publishes LocalStack alone, on the loopback address, in the version that needs no account", () => {
  const compose = read("docker-compose.localstack.yml");
  const ports = [...compose.matchAll(/^ {4}ports:\n((?: {6}- .*\n)+)/gm)].map(([, list]) => list!.trim());
  expect(ports).toEqual([expect.stringMatching(/^- 127\.0\.0\.1:\$\{KAMADO_LOCAL_PORT:-4566\}:4566$/)]);
  expect(compose).toMatch(/\$\{LOCALSTACK_IMAGE:-docker\.io\/localstack\/localstack:4\.14\.0\}/);
});

test("GitHub's workflow may only read, runs pinned actions, and calls what is there", () => {
  type Step = { uses?: string; run?: string };
  type Job = { "runs-on": string; "timeout-minutes": number; steps: Step[] };
  const { permissions, jobs } = parse(read(".github/workflows/ci.yml")) as {
    permissions: object;
    jobs: Record<string, Job>;
  };
  expect(permissions).toEqual({ contents: "read" });
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  const steps = Object.values(jobs).flatMap((job) => job.steps);
  for (const { uses, run } of steps) {
    if (uses !== undefined) expect(uses).toMatch(/^actions\/[\w-]+@[0-9a-f]{40}$/);
    const [command, , name] = (run ?? "").split(" ");
    if (command === "npm") expect(Object.keys(scripts)).toContain(name);
    if (command?.startsWith("."))
      expect([command, statSync(join(ROOT, command)).mode & 0o111]).not.toContain(0);
  }
  expect(steps.flatMap(({ run }) => run ?? [])).toEqual(
    expect.arrayContaining([".ci/run", "npm run containers"]),
  );
  for (const job of Object.values(jobs)) expect(job["timeout-minutes"]).toBeGreaterThan(0);
});

describe("the script that creates the resources", () => {
  let aws: LocalAws;
  beforeAll(async () => {
    aws = await startLocalAws({ port: 0 });
  });
  afterAll(() => aws.stop());

  test("may run again: messages stay, and queues get the attributes that they should have", async () => {
    const { endpoint, region, credentials, resources } = aws;
    const { sqs, destroy } = makeAwsClients({ endpoint, region, credentials });
    const QueueUrl = resources.jobsQueueUrl;
    await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: "stays" }));
    const ran = await script("infra/localstack-init/create.mjs", { AWS_ENDPOINT_URL: endpoint });
    expect(ran).toMatchObject({ code: 0, errors: "", out: expect.stringContaining("kamado-jobs") });
    expect(ran.out).toContain(`\nKAMADO_TOPIC_ARN=${resources.topicArn}\n`);
    const { Messages } = await sqs.send(new ReceiveMessageCommand({ QueueUrl }));
    expect(Messages?.[0]?.Body).toBe("stays");
    const asked = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["RedrivePolicy"] });
    expect((await sqs.send(asked)).Attributes?.RedrivePolicy).toContain('"maxReceiveCount":100');
    destroy();
  });

  test("without an endpoint it says what to set, and touches nothing on AWS", async () => {
    expect(await script("infra/localstack-init/create.mjs", {})).toMatchObject({
      code: 1,
      errors: expect.stringContaining("AWS_ENDPOINT_URL is not set"),
    });
  });
});

test.each([
  [200, 0],
  [503, 1],
])("the health check of the container: a page that answers %i ends it with %i", async (status, code) => {
  const server = createServer((_, response) => response.writeHead(status).end("{}")).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  expect((await script("infra/container-health.mjs", { KAMADO_WEB_PORT: String(port) })).code).toBe(code);
  // Where the worker's settings are a file, it asks the port that stands there, at any address that the page listens on.
  const file = join(mkdtempSync(join(tmpdir(), "kamado-secret-")), "kamado.env");
  writeFileSync(file, `KAMADO_WEB_PORT=${port}\nKAMADO_WEB_HOST=0.0.0.0\n`);
  expect((await node([join(ROOT, "infra/container-health.mjs"), file], {})).code).toBe(code);
  server.closeAllConnections();
  server.close();
  await once(server, "close");
  expect((await script("infra/container-health.mjs", { KAMADO_WEB_PORT: String(port) })).code).toBe(1);
});
