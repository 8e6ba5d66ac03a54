// `npm run containers`: from a bare image to a job that is done. Builds the worker's image, checks it, lets Quadlet read its files, runs the
// worker in a container with the engine outside, then all of docker-compose.localstack.yml, and takes everything down again. A part that cannot run
// here is named with its reason; one that fails ends the script with 1.
//
//   NODE_IMAGE=… RUNTIME_IMAGE=…   other base images, where no registry can be reached
//   CONTAINER_ENGINE=docker        instead of podman, where both are
//   LOCALSTACK_IMAGE=…             another emulator for Compose, and KAMADO_TOPIC_ARN=… where its account is another one
//   BUILD_FLAGS="--network host"   more for `build`
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { GetQueueAttributesCommand, SendMessageCommand } from "@aws-sdk/client-sqs";
import { type AwsClients, makeAwsClients } from "../../worker/aws/clients.ts";
import { BUCKET, QUEUES, queueUrl, REGION } from "../../worker/aws/resources.ts";
import { startLocalAws } from "../../worker/local/local-aws.ts";
import { quadletOf } from "../../worker/service/units.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const IMAGE = "localhost/kamado-worker:latest";
const MAX_MEGABYTES = 260;
const { NODE_IMAGE, RUNTIME_IMAGE, BUILD_FLAGS = "", CONTAINER_ENGINE, LOCALSTACK_IMAGE } = process.env;

class Skipped extends Error {}
const skip = (reason: string): never => {
  throw new Skipped(reason);
};
const must = (isSo: boolean, words: string) => {
  if (!isSo) throw new Error(words);
};

type Ran = { code: number; out: string; errors: string };

function run(command: string, args: readonly string[], { minutes = 2, env = {} } = {}): Promise<Ran> {
  const { promise, resolve } = Promise.withResolvers<Ran>();
  const options = {
    cwd: ROOT,
    env: { ...process.env, ...env },
    timeout: minutes * 60_000,
    maxBuffer: 64 << 20,
  };
  execFile(command, args, options, (error, out, errors) => {
    const code = error === null ? 0 : error.code === "ENOENT" ? 127 : Number(error.code ?? 1) || 1;
    resolve({ code, out, errors: errors || (error?.message ?? "") });
  });
  return promise;
}

/** Resolves with what it printed; throws with its last lines. */
async function done(command: string, args: readonly string[], options = {}): Promise<string> {
  const { code, out, errors } = await run(command, args, options);
  const end = `${out}\n${errors}`.trim().split("\n").slice(-15).join("\n  ");
  must(code === 0, `${command} ${args.join(" ")} ended with ${code}:\n  ${end}`);
  return out.trim();
}

/** podman, else docker, unless one is named. */
async function findEngine(): Promise<string | undefined> {
  for (const name of CONTAINER_ENGINE ? [CONTAINER_ENGINE] : ["podman", "docker"])
    if ((await run(name, ["info"])).code === 0) return name;
  return undefined;
}

/** Images that the Containerfile begins with, unless others are named. */
const basesOf = (): [string, string][] =>
  [...readFileSync(join(ROOT, "Containerfile"), "utf8").matchAll(/^ARG (\w+_IMAGE)=(\S+)$/gm)].map(
    ([, name, image]) => [name!, { NODE_IMAGE, RUNTIME_IMAGE }[name!] ?? image!],
  );

async function needImage(engine: string, image: string): Promise<void> {
  if ((await run(engine, ["image", "inspect", image])).code === 0) return;
  const { code, errors } = await run(engine, ["pull", image], { minutes: 10 });
  if (code !== 0) skip(`${image} is not here and cannot be pulled: ${errors.trim().split("\n").at(-1)}`);
}

async function build(engine: string): Promise<string> {
  for (const [, image] of basesOf()) await needImage(engine, image);
  const bases = basesOf().flatMap(([name, image]) => ["--build-arg", `${name}=${image}`]);
  const format = engine === "podman" ? ["--format", "docker"] : [];
  const more = BUILD_FLAGS.split(" ").filter(Boolean);
  await done(engine, ["build", ...format, ...more, ...bases, "-t", IMAGE, "-f", "Containerfile", "."], {
    minutes: 20,
  });
  const [bytes, user, health] = JSON.parse(
    await done(engine, [
      "image",
      "inspect",
      IMAGE,
      "--format",
      '[{{.Size}}, "{{.Config.User}}", {{json .Config.Healthcheck}}]',
    ]).catch(() =>
      done(engine, [
        "image",
        "inspect",
        IMAGE,
        "--format",
        '[{{.Size}}, "{{.Config.User}}", {{json .HealthCheck}}]',
      ]),
    ),
  ) as [number, string, object | null];
  const megabytes = Math.round(bytes / 1e6);
  must(user.startsWith("65532"), `it runs as ${user}`);
  must(health !== null, "it has no health check");
  must(megabytes < MAX_MEGABYTES, `it has ${megabytes} MB, and at most ${MAX_MEGABYTES} are meant`);
  return `${megabytes} MB${RUNTIME_IMAGE ? ` on ${RUNTIME_IMAGE}` : ""}`;
}

/** What must not work: a command that needs what was left out ends with words, and the root file system cannot be written. */
async function checkImage(engine: string): Promise<string> {
  const inside = ["run", "--rm", "--network", "none", "--read-only", "--cap-drop", "all", IMAGE];
  must((await done(engine, [...inside, "kinds"])).includes("image.check"), "it has no kinds");
  const serve = await run(engine, [...inside, "serve"]);
  must(/tool_missing.*fauxqs/.test(serve.errors), `serve says: ${serve.errors}`);
  const without = await run(engine, [
    ...[
      "run",
      "--rm",
      "--network",
      "none",
      "--read-only",
      "-e",
      "KAMADO_QUEUE_URL=http://127.0.0.1:9/0/kamado-jobs",
      IMAGE,
    ],
  ]);
  must(
    /KAMADO_ENGINE_URL: it must be set/.test(without.errors),
    `without an engine it says: ${without.errors}`,
  );
  const write = `require("fs").writeFileSync("/kamado/x", "")`;
  const written = await run(engine, [
    "run",
    "--rm",
    "--network",
    "none",
    "--read-only",
    "--entrypoint",
    "node",
    IMAGE,
    "-e",
    write,
  ]);
  must(/EROFS/.test(written.errors), `writing says: ${written.errors}`);
  return "read-only, says what it lacks";
}

const GENERATORS = ["/usr/libexec/podman/quadlet", "/usr/lib/podman/quadlet"];

async function quadlet(): Promise<string> {
  const generator =
    GENERATORS.find((path) => existsSync(path)) ?? skip("there is no Quadlet here; it comes with Podman 4.4");
  const folder = mkdtempSync(join(tmpdir(), "kamado-quadlet-"));
  const facts = {
    root: ROOT,
    node: process.execPath,
    home: homedir(),
    folder,
    envFile: "",
    logs: "",
    stopSeconds: 85,
    image: IMAGE,
  };
  for (const file of ["kamado.container", "kamado.network"] as const)
    writeFileSync(join(folder, file), quadletOf(file, facts));
  const units = await done(generator, ["-dryrun", "-user"], { env: { QUADLET_UNIT_DIRS: folder } });
  rmSync(folder, { recursive: true });
  must(units.includes("--read-only"), "the unit is not read-only");
  return "dry run valid";
}

/** The worker in a container; queue and engine on this machine's loopback address, where a native engine listens. */
async function worker(engine: string): Promise<string> {
  if (process.platform !== "linux") skip("it shares the network of the host, which only Linux has");
  const aws = await startLocalAws({ port: 0 });
  const token = randomUUID();
  const native = await startEngine(token);
  const name = `kamado-try-${process.pid}`;
  const settings = {
    AWS_ENDPOINT_URL: aws.endpoint,
    AWS_ACCESS_KEY_ID: "test",
    AWS_SECRET_ACCESS_KEY: "test",
    KAMADO_QUEUE_URL: aws.resources.jobsQueueUrl,
    KAMADO_ENGINE_URL: `http://host.containers.internal:${native.port}`,
    KAMADO_ENGINE_TOKEN: token,
    KAMADO_WEB_PORT: String(native.port + 1),
    KAMADO_POLL_SECONDS: "1",
  };
  const variables = Object.entries(settings).flatMap(([key, value]) => ["-e", `${key}=${value}`]);
  const limits = [
    "--read-only",
    "--tmpfs",
    "/tmp",
    "--cap-drop",
    "all",
    "--security-opt",
    "no-new-privileges",
    "--memory",
    "512m",
  ];
  const where = ["--network", "host", "--add-host", "host.containers.internal:127.0.0.1"];
  try {
    await done(engine, ["run", "--detach", "--name", name, ...where, ...limits, ...variables, IMAGE]);
    const result = await oneJob(aws.endpoint);
    const health = ["exec", name, "node", "/kamado/container-health.mjs"];
    await done(engine, health);
    // Commands in the container find the worker beside them.
    const kamado = ["exec", name, "node", "worker/cli/start.mjs"];
    const sent = await done(engine, [
      ...kamado,
      ...["enqueue", "prompt", "--wait", "--json", "--input", '{"prompt":"Say hello"}'],
    ]);
    must(sent.includes('"succeeded"'), `enqueue --wait in the container says: ${sent}`);
    const state = await done(engine, [...kamado, "status", "--json"]);
    must(JSON.parse(state) !== null, `status in the container says: ${state}`);
    await done(engine, ["stop", "--time", "60", name]);
    const code = await done(engine, ["inspect", name, "--format", "{{.State.ExitCode}}"]);
    must(code === "0", `its worker ended with ${code}, and not in order`);
    return `one job ${result}, one of \`enqueue --wait\` inside; healthy; stopped in order`;
  } catch (thrown) {
    const { out, errors } = await run(engine, ["logs", "--tail", "20", name]);
    throw new Error(`${(thrown as Error).message}\n${out}${errors}`);
  } finally {
    await run(engine, ["rm", "--force", name]);
    await native.stop();
    await aws.stop();
  }
}

/** Kamado's own engine as a process of its own, which answers from a script. */
async function startEngine(token: string): Promise<{ port: number; stop(): Promise<void> }> {
  const env = {
    PATH: process.env.PATH,
    HOME: mkdtempSync(join(tmpdir(), "kamado-engine-")),
    KAMADO_BACKEND: "scripted",
    KAMADO_ENGINE_PORT: "0",
    KAMADO_ENGINE_TOKEN: token,
  };
  const child = spawn(process.execPath, [join(ROOT, "worker/cli/start.mjs"), "engine"], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise<void>((done) => child.once("close", () => done()));
  const stop = () => {
    child.kill("SIGTERM");
    return ended;
  };
  for await (const line of createInterface((child as ChildProcess).stdout!)) {
    const [, port] = /http:\/\/127\.0\.0\.1:(\d+)/.exec(line) ?? [];
    if (port) return { port: Number(port), stop };
  }
  throw new Error("the engine has not started");
}

/** Sends a job and resolves with its status when its result is stored. The queue may still be on its way. */
async function oneJob(endpoint: string, seconds = 120): Promise<string> {
  const clients = makeAwsClients({
    endpoint,
    region: REGION,
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
  });
  const id = `try-${randomUUID()}`;
  const body = JSON.stringify({ id, kind: "prompt", input: { prompt: "Say hello" } });
  const message = new SendMessageCommand({ QueueUrl: queueUrl(endpoint, "kamado-jobs"), MessageBody: body });
  const bucket = s3Bucket(clients.s3, BUCKET);
  const end = performance.now() + seconds * 1_000;
  const until = async <T>(what: string, ask: () => Promise<T>): Promise<T> => {
    let last = "";
    while (performance.now() < end) {
      try {
        return await ask();
      } catch (thrown) {
        last = (thrown as Error).message;
      }
      await sleep(500);
    }
    throw new Error(`${what}: not in ${seconds} s. ${last}`);
  };
  try {
    await until("the job is sent", () => clients.sqs.send(message));
    const stored = await until("its result is stored", () =>
      bucket.get(`results/${id}.json`, { maxBytes: 1_000_000 }),
    );
    const { status, error } = JSON.parse(Buffer.from(stored.bytes).toString()) as {
      status: string;
      error?: object;
    };
    must(status === "succeeded", `the job ${status}: ${JSON.stringify(error)}`);
    await until("its delivery is done", () => delivered(clients, endpoint));
    return `${status} and delivered`;
  } finally {
    clients.destroy();
  }
}

/** The message of a job is deleted when its result is delivered; what could not be is in one of the other queues. */
async function delivered({ sqs }: AwsClients, endpoint: string): Promise<void> {
  for (const { name } of QUEUES) {
    const QueueUrl = queueUrl(endpoint, name);
    const AttributeNames = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"] as const;
    const { Attributes } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl, AttributeNames: [...AttributeNames] }),
    );
    const counts = AttributeNames.map((one) => Number(Attributes?.[one]));
    must(
      counts.every((count) => count === 0),
      `${name} has ${counts.join(" + ")} messages`,
    );
  }
}

async function findCompose(engine: string): Promise<string[] | undefined> {
  const all =
    engine === "docker"
      ? [["docker", "compose"], ["podman-compose"]]
      : [["podman-compose"], ["docker", "compose"]];
  for (const [command, ...list] of all)
    if ((await run(command!, [...list, "version"])).code === 0) return [command!, ...list];
  return undefined;
}

async function compose(engine: string): Promise<string> {
  const [command, ...list] =
    (await findCompose(engine)) ?? skip("there is no `docker compose` and no podman-compose");
  const image = LOCALSTACK_IMAGE ?? "docker.io/localstack/localstack:4.14.0";
  await needImage(engine, image);
  const project = [...list, "-p", "kamado-try", "-f", "docker-compose.localstack.yml"];
  const port = "14566";
  const env = { KAMADO_IMAGE: IMAGE, KAMADO_LOCAL_PORT: port };
  try {
    await done(command!, [...project, "up", "--detach"], { minutes: 5, env });
    return `one job ${await oneJob(`http://127.0.0.1:${port}`)}, with ${[command, ...list].join(" ")} and ${image}`;
  } catch (thrown) {
    const { out, errors } = await run(command!, [...project, "logs"], { env });
    throw new Error(`${(thrown as Error).message}\n${`${out}${errors}`.split("\n").slice(-40).join("\n")}`);
  } finally {
    await run(command!, [...project, "down", "--volumes"], { env });
  }
}

const engine = await findEngine();
if (engine === undefined) {
  console.log("containers: skipped (there is neither podman nor docker here that answers)");
  process.exit(0);
}
const PARTS: Record<string, () => Promise<string>> = {
  [`image (${engine})`]: () => build(engine),
  "its limits": () => checkImage(engine),
  quadlet,
  "worker in a container": () => worker(engine),
  compose: () => compose(engine),
};
let failures = 0;
for (const [name, part] of Object.entries(PARTS)) {
  try {
    console.log(`${name}: ${await part()}`);
  } catch (thrown) {
    const isSkip = thrown instanceof Skipped;
    failures += isSkip ? 0 : 1;
    console.log(`${name}: ${isSkip ? "skipped" : "FAILED"} (${(thrown as Error).message})`);
    // Without an image nothing else can run.
    if (name.startsWith("image")) break;
  }
}
process.exit(failures === 0 ? 0 : 1);
