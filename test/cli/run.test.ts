// One job without a queue: it ends, whatever happens to its engine.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import { runAlone } from "../../worker/cli/commands/run.ts";
import { loadConfig, type Variables } from "../../worker/config/config.ts";
import { Job } from "../../worker/job/envelope.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { startReceiver } from "../fakes/receiver.ts";
import { kamado, runKamado } from "./process.ts";

const JOB = Job.parse({ id: "a", kind: "prompt", input: { prompt: "hello" } });
const OURS = { KAMADO_BACKEND: "scripted", KAMADO_ENGINE_PORT: "0" };
const run = (variables: Variables, signal = new AbortController().signal, job = JOB) =>
  runAlone(job, {
    config: loadConfig(variables, {}),
    aws: { region: "us-east-1", credentials: { accessKeyId: "any", secretAccessKey: "thing" } },
    log: silentLog,
    signal,
    watch: () => {},
  });
const scripted = (script: object) => ({ ...OURS, KAMADO_SCRIPT: JSON.stringify(script) });

test("gives up when our own engine cannot load its model", async () => {
  await expect(run(scripted({ loadFails: "the model is broken" }))).rejects.toMatchObject({
    code: "engine_unavailable",
    message: expect.stringContaining("the model is broken"),
  });
}, 60_000);

test("ends the job when the engine ends during it", async () => {
  await expect(run(scripted({ rules: [{ do: "crash" }] }))).rejects.toMatchObject({ code: "engine_died" });
}, 60_000);

test("gives up when somebody else's engine cannot be reached", async () => {
  await expect(run({ KAMADO_ENGINE_URL: "http://127.0.0.1:1" })).rejects.toMatchObject({
    code: "engine_unavailable",
    message: expect.stringContaining("ECONNREFUSED"),
  });
}, 60_000);

test("says what is wrong with an input before it asks for an engine", async () => {
  const nowhere = { KAMADO_ENGINE_URL: "http://127.0.0.1:1" };
  const wrong = Job.parse({ ...JOB, input: { prompt: 5 } });
  const { status, error } = await run(nowhere, undefined, wrong);
  expect([status, error]).toEqual([
    "failed",
    expect.objectContaining({ code: "invalid_input", message: expect.stringContaining("input.prompt") }),
  ]);
});

test("waits while somebody else's engine loads its model", async () => {
  let asked = 0;
  await using engine = await startReceiver(({ path }, response) => {
    if (path === "/health") return void response.writeHead(++asked > 6 ? 200 : 503).end("{}");
    response.end(JSON.stringify({ data: [], choices: [{ message: { content: "hi" } }] }));
  });
  const { status, output } = await run({ KAMADO_ENGINE_URL: engine.url });
  expect([status, output]).toEqual(["succeeded", { text: "hi" }]);
}, 60_000);

test("Ctrl-C while a model loads ends the wait and the engine", async () => {
  const stop = new AbortController();
  const running = run(scripted({ loadMs: 600_000 }), stop.signal);
  setTimeout(() => stop.abort(new Error("Interrupted.")), 100);
  await expect(running).rejects.toThrow("Interrupted.");
}, 60_000);

/** `kamado run prompt --json` as a process of its own: what it printed, and its exit code. */
async function command(variables: Variables, more: readonly string[] = []) {
  const folder = mkdtempSync(join(tmpdir(), "kamado-run-"));
  writeFileSync(join(folder, "input.json"), '{"prompt": "hello"}');
  const start = join(import.meta.dirname, "../../worker/cli/start.mjs");
  const args = [start, "run", "prompt", "--json", "--input", join(folder, "input.json")];
  const child = spawn(process.execPath, [...more, ...args], {
    env: { PATH: process.env.PATH, HOME: folder, ...variables },
    stdio: ["ignore", "pipe", "pipe"],
    cwd: folder,
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const [printed, errors, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit"),
  ]);
  return { printed, errors, code };
}

test("the command ends after printing its result, whatever a library leaves open", async () => {
  const open = ["--import", "data:text/javascript,setInterval(() => {}, 1e6);"];
  const { printed, code } = await command(OURS, open);
  expect([JSON.parse(printed).status, code]).toEqual(["succeeded", 0]);
}, 60_000);

test.each([
  ["an engine that is away", { KAMADO_ENGINE_URL: "http://127.0.0.1:1" }, "engine_unavailable", 3],
  ["a handler's input that is wrong", { ...OURS }, "invalid_input", 1],
])(
  "--json prints JSON for %s, and no hint speaks of a queue",
  async (_, variables, code, exit) => {
    const input = code === "invalid_input" ? "{}" : '{"prompt": "hi"}';
    const found = await runKamado(["run", "prompt", "--input", "-", "--json"], variables, { input });
    expect(JSON.parse(found.out)).toMatchObject({ kind: "prompt", status: "failed", error: { code } });
    expect(found.code).toBe(exit);
    expect(found.out + found.errors).not.toMatch(
      /tries (the job|again)|[Ss]end (it|the job) again|dead-letter/,
    );
  },
  60_000,
);

test("Ctrl-C ends with the code that shells expect, and gives no advice about a canceled job", async () => {
  const variables = scripted({ rules: [{ do: "hang" }] });
  const child = kamado(["run", "prompt", "--input", "-", "--log-level", "info"], variables);
  const out = text(child.stdout!);
  let errors = "";
  child.stderr!.setEncoding("utf8").on("data", (more) => {
    if (!errors.includes("READY") && `${errors}${more}`.includes("READY")) child.kill("SIGINT");
    errors += more;
  });
  child.stdin!.end('{"prompt": "hi"}');
  const [code] = await once(child, "exit");
  expect(code).toBe(130);
  expect(errors + (await out)).toContain("Nothing was stored");
}, 60_000);
test.for([
  ["is away", { KAMADO_ENGINE_URL: "http://127.0.0.1:1" }, "engine_unavailable", null],
  ["dies of the job", scripted({ model: "pan", rules: [{ do: "crash" }] }), "engine_died", "pan"],
  ["cannot load its model", scripted({ loadFails: "it is broken" }), "engine_unavailable", null],
] as [string, Variables, string, string | null][])(
  "with --json a result is printed, and nothing else, when the engine %s",
  { timeout: 60_000 },
  async ([, variables, code, model]) => {
    const { printed, errors, code: exit } = await command(variables);
    expect(printed.trim().split("\n")).toHaveLength(1);
    const { status, error, receipt } = JSON.parse(printed);
    expect([status, error.code, receipt.model, exit]).toEqual(["failed", code, model, 3]);
    expect(errors).toContain(code);
  },
);
