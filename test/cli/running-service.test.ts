// What runs on this machine, seen from another terminal that knows nothing but the data folder.
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { announceService, findService } from "../../worker/cli/running-service.ts";
import { loadConfig } from "../../worker/config/config.ts";
import { createLog } from "../../worker/logging/log.ts";
import { startReceiver } from "../fakes/receiver.ts";
import { kamado, runKamado, SCRIPTED, served } from "./process.ts";

const folder = () => mkdtempSync(join(tmpdir(), "kamado-service-"));
const SERVICE = {
  pid: process.pid,
  startedAt: "2026-01-01T00:00:00Z",
  engine: { url: "http://127.0.0.1:1", model: "m", isDemo: false },
  web: { url: "http://127.0.0.1:1" },
  cloud: {
    isLocal: true,
    endpoint: "http://127.0.0.1:1",
    region: "us-east-1",
    queueUrl: "http://127.0.0.1:1/q",
    deadQueueUrl: "http://127.0.0.1:1/dead",
    deadDeliveriesQueueUrl: "http://127.0.0.1:1/dead",
    bucket: "kamado",
  },
};
const find = (content: unknown) => {
  const dataDir = folder();
  const text = typeof content === "string" ? content : JSON.stringify(content);
  writeFileSync(join(dataDir, "service.json"), text);
  return findService(loadConfig({ KAMADO_DATA_DIR: dataDir }, {}));
};
/** Of a process that has ended. */
const deadPid = async () =>
  await served(["--in-memory"], { KAMADO_DATA_DIR: folder() }).then(async ({ child, exited }) => {
    child.kill("SIGKILL");
    await exited;
    return child.pid!;
  });

test("a file is stale when its process is gone, or when its number now belongs to another process", async () => {
  expect(await find({ ...SERVICE, pid: await deadPid() })).toMatchObject({ is: "stale" });
  // This process lives, and is no Kamado: nothing answers, or another program does.
  expect(await find(SERVICE)).toMatchObject({ is: "stale" });
  await using page = await startReceiver((_, response) => void response.end('{"pid": 1}'));
  expect(await find({ ...SERVICE, web: { url: page.url } })).toMatchObject({ is: "stale" });
}, 60_000);

test("a second worker with the same data folder neither hides the first one nor takes its file along", async () => {
  const dataDir = folder();
  const config = loadConfig({ KAMADO_DATA_DIR: dataDir }, {});
  const path = join(dataDir, "service.json");
  // It lives, and is another process than this one.
  const first = { ...SERVICE, pid: process.ppid };
  await using page = await startReceiver((_, response) => void response.end(`{"pid": ${process.ppid}}`));
  writeFileSync(path, JSON.stringify({ ...first, web: { url: page.url } }));
  const cloud = { ...SERVICE.cloud, aws: { region: "us-east-1" }, topicArn: undefined };
  const started = { engineUrl: "http://127.0.0.1:2", webUrl: "http://127.0.0.1:2", isLocal: false };
  const lines: string[] = [];
  const log = createLog({ level: "info", destination: { write: (line) => void lines.push(line) } });
  const withdraw = await announceService(config, cloud as never, started, log);
  expect(lines.join("")).toContain(`pid ${process.ppid}`);
  withdraw();
  expect(await findService(config)).toMatchObject({ is: "running", service: { pid: process.ppid } });
  // Once the first is gone, whatever it left behind is replaced.
  writeFileSync(path, JSON.stringify(first));
  const own = await announceService(config, cloud as never, started, log);
  expect(JSON.parse(readFileSync(path, "utf8")).pid).toBe(process.pid);
  own();
  expect(existsSync(path)).toBe(false);
});

test.each([
  ["refuses", 401, ""],
  ["tells whoever has no token no more than how it is", 200, '{"status":"READY"}'],
])("a service whose page %s still counts as running", async (_, status, body) => {
  await using page = await startReceiver((_, response) => void response.writeHead(status).end(body));
  expect(await find({ ...SERVICE, web: { url: page.url } })).toMatchObject({ is: "running" });
});

test.each(["", "{", "[]", '{"pid": 0}', '{"pid": "1"}'])(
  "a damaged file counts as none: %j",
  async (text) => {
    expect(await find(text)).toEqual({ is: "none" });
  },
);

test("the other terminal's run, enqueue and cancel use the engine and the queues that run here", async () => {
  const dataDir = folder();
  const here = { KAMADO_DATA_DIR: dataDir };
  const script = JSON.stringify({ rules: [{ when: "who", answer: "the one that runs" }] });
  const { child, exited, addresses } = await served(["--in-memory"], { ...here, KAMADO_SCRIPT: script });
  const path = join(dataDir, "service.json");
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const input = '{"prompt": "who are you?"}';

  const run = await runKamado(["run", "prompt", "--input", "-"], here, { input });
  expect(run).toMatchObject({ code: 0, out: expect.stringContaining("the one that runs") });
  expect(run.errors).toContain("on the running engine");
  const sent = await runKamado(["enqueue", "prompt", "--input", "-", "--wait", "60"], here, { input });
  expect(sent).toMatchObject({ code: 0, out: expect.stringContaining("the one that runs") });
  expect(await runKamado(["cancel", "later"], here)).toMatchObject({ code: 0 });
  expect(await runKamado(["dead"], here)).toMatchObject({ code: 0, out: "no dead letters\n" });

  // A model that the command names is not the one that runs.
  const own = { ...here, KAMADO_BACKEND: "scripted", KAMADO_ENGINE_PORT: "0" };
  const other = await runKamado(["run", "prompt", "--input", "-", "--model", "x"], own, { input });
  expect(other.errors).not.toContain("on the running engine");
  // Nor does a port that is set mean the one that is found.
  const elsewhere = { ...here, KAMADO_LOCAL_PORT: "1" };
  expect(await runKamado(["cancel", "later"], elsewhere)).toMatchObject({ code: 3 });

  child.kill("SIGTERM");
  await exited;
  expect(existsSync(path)).toBe(false);
  const after = await runKamado(["cancel", "later"], {
    ...here,
    KAMADO_LOCAL_PORT: new URL(addresses.endpoint).port,
  });
  expect(after).toMatchObject({ code: 3, errors: expect.stringContaining("npm start") });
}, 120_000);

test("tokens in files are found by way of the service, and never written into its file", async () => {
  const dataDir = folder();
  const token = "canary-canary-canary";
  const file = join(dataDir, "token");
  writeFileSync(file, token, { mode: 0o600 });
  const names = ["KAMADO_ENGINE_TOKEN", "KAMADO_WEB_TOKEN", "KAMADO_LOCAL_KEY"];
  const files = Object.fromEntries(names.map((name) => [`${name}_FILE`, file]));
  const { child, exited } = await served(["--in-memory"], { KAMADO_DATA_DIR: dataDir, ...files });
  expect(readFileSync(join(dataDir, "service.json"), "utf8")).not.toContain("canary");
  const here = { KAMADO_DATA_DIR: dataDir };
  const input = '{"prompt": "hi"}';
  expect(await runKamado(["run", "prompt", "--input", "-"], here, { input })).toMatchObject({ code: 0 });
  const sent = await runKamado(["enqueue", "prompt", "--input", "-", "--wait", "60"], here, { input });
  expect(sent).toMatchObject({ code: 0 });
  expect(await runKamado(["status"], here)).toMatchObject({ code: 0, out: expect.stringContaining("READY") });
  child.kill("SIGTERM");
  await exited;
}, 120_000);

test("a service that was killed leaves a file that no command believes", async () => {
  const dataDir = folder();
  const { child } = await served(["--in-memory"], { KAMADO_DATA_DIR: dataDir });
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
  expect(existsSync(join(dataDir, "service.json"))).toBe(true);
  expect(await runKamado(["status"], { KAMADO_DATA_DIR: dataDir, KAMADO_LOCAL_PORT: "1" })).toMatchObject({
    code: 3,
    errors: expect.stringContaining("npm start"),
  });
}, 120_000);

test("run uses an engine that runs by itself, and starts its own when that is gone", async () => {
  const here = { KAMADO_DATA_DIR: folder() };
  const script = JSON.stringify({ rules: [{ answer: "the one that runs" }] });
  const engine = kamado(["engine"], { ...here, ...SCRIPTED, KAMADO_SCRIPT: script });
  await once(createInterface(engine.stdout!), "line");
  await expect
    .poll(() => existsSync(join(here.KAMADO_DATA_DIR, "engine.json")), { timeout: 20_000 })
    .toBe(true);
  const run = () =>
    runKamado(
      ["run", "prompt", "--input", "-"],
      { ...here, KAMADO_ENGINE_PORT: "0" },
      { input: '{"prompt": "Text: buy milk"}' },
    );
  expect(await run()).toMatchObject({ code: 0, out: expect.stringContaining("the one that runs") });
  const exited = once(engine, "exit");
  engine.kill("SIGKILL");
  await exited;
  const after = await run();
  expect([after.code, after.errors]).toEqual([0, expect.not.stringContaining("on the running engine")]);
}, 120_000);

test("a worker that cannot write its file runs all the same, and says so", async () => {
  const place = folder();
  writeFileSync(join(place, "file"), "");
  const { child, exited, errors } = await served(["--in-memory"], {
    KAMADO_DATA_DIR: join(place, "file", "data"),
    KAMADO_LOG_LEVEL: "info",
  });
  child.kill("SIGTERM");
  const [code] = await exited;
  expect([code, errors()]).toEqual([0, expect.stringContaining("will not find it")]);
}, 60_000);
