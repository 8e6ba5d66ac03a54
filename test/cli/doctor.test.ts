// `kamado doctor` as a whole: which lines there are, how they look, what scripts get, and that nothing on this machine is called what it
// is not. The single checks are in test/doctor/.
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { expect, onTestFinished, test, vi } from "vitest";
import { doctorCommand } from "../../worker/cli/commands/doctor.ts";
import { viewFinding, viewSummary } from "../../worker/cli/commands/doctor-view.ts";
import type { Service } from "../../worker/cli/running-service.ts";
import { fail, ok, warn } from "../../worker/doctor/finding.ts";
import type { Machine } from "../../worker/service/machine.ts";
import { fakeMachine } from "../doctor/machines.ts";
import { awsServer, blackHole, type Scripted } from "../fakes/aws-server.ts";
import { runKamado, served } from "./process.ts";

const folder = () => mkdtempSync(join(tmpdir(), "kamado-doctor-"));

/** Free ports, an engine that is not there, and no file of the user that runs the tests. */
const QUIET = {
  KAMADO_WEB_PORT: "0",
  KAMADO_ENGINE_PORT: "0",
  KAMADO_LOCAL_PORT: "0",
  KAMADO_BACKEND: "scripted",
};

async function doctor(machine: Machine, variables: Record<string, string> = {}, ...args: string[]) {
  const home = folder();
  for (const [name, value] of Object.entries({
    ...QUIET,
    HOME: home,
    XDG_CONFIG_HOME: join(home, ".config"),
    KAMADO_DATA_DIR: join(home, ".kamado"),
    ...variables,
  }))
    vi.stubEnv(name, value);
  let out = "";
  const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    out += text;
    return true;
  });
  onTestFinished(() => {
    vi.unstubAllEnvs();
    process.exitCode = undefined;
  });
  await doctorCommand(machine)
    .parseAsync(args, { from: "user" })
    .finally(() => write.mockRestore());
  return { out, code: process.exitCode };
}

const checksIn = (out: string): string[] =>
  JSON.parse(out).checks.map(({ check }: { check: string }) => check);

test("on Linux nothing is said of a Mac, and on a Mac its own lines come last", async () => {
  const linux = fakeMachine("linux");
  const { out, code } = await doctor(linux, {}, "--json");
  expect(checksIn(out)).toEqual([
    "Node",
    "disk",
    "memory",
    "GPU",
    "settings",
    "Kamado",
    "model",
    "engine",
    "queue",
    "destinations",
    "web port",
    "engine port",
    "queue port",
    "service",
  ]);
  expect([code, JSON.parse(out).ok]).toEqual([0, true]);
  expect(
    linux.ran.filter((line) => /fdesetup|pmset|defaults|sysctl|podman machine|launchctl/.test(line)),
  ).toEqual([]);
  const mac = await doctor(fakeMachine("darwin"), {}, "--json");
  expect(checksIn(mac.out).slice(-7)).toEqual([
    "service",
    "Podman machine",
    "FileVault",
    "automatic login",
    "sleep",
    "updates",
    "Metal",
  ]);
});

test("a LaunchDaemon that is installed needs no automatic login, and one that does not run fails", async () => {
  const state = (lines: string) => `system/kamado.worker = {\n${lines}\n}\n`;
  const machine = (lines: string) =>
    fakeMachine("darwin", { "launchctl print system/kamado.worker": state(lines) });
  const runs = JSON.parse((await doctor(machine("\tstate = running\n\tpid = 812"), {}, "--json")).out);
  const of = (all: typeof runs, name: string) =>
    all.checks.filter(({ check }: { check: string }) => check === name);
  expect(of(runs, "automatic login")).toMatchObject([{ status: "ok" }]);
  expect(of(runs, "service")).toMatchObject([{ status: "ok", found: "worker runs" }]);
  const { out, code } = await doctor(machine("\tstate = not running\n\tlast exit code = 1"), {}, "--json");
  expect([code, of(JSON.parse(out), "service")]).toMatchObject([1, [{ status: "fail" }]]);
});

test("a setting that is wrong is the line that fails; what needs no settings is still looked at", async () => {
  const { out, code } = await doctor(fakeMachine("linux"), { KAMADO_SLOTS: "many" });
  expect(code).toBe(1);
  expect(out).toMatch(/FAIL {2}settings +KAMADO_SLOTS: must be auto or a whole number/);
  expect(out).toMatch(/^ok {4}Node/);
  expect(out).toMatch(/\n1 check fails\.\n$/);
});

test("settings are those that a service has, from kamado.env too, and one that others may read is warned of", async () => {
  const XDG_CONFIG_HOME = folder();
  const path = join(XDG_CONFIG_HOME, "kamado/kamado.env");
  mkdirSync(join(XDG_CONFIG_HOME, "kamado"));
  writeFileSync(path, "KAMADO_RETRY_SECONDS=never\nHF_TOKEN=hf_secret\n", { mode: 0o644 });
  onTestFinished(() => {
    delete process.env.KAMADO_RETRY_SECONDS;
    delete process.env.HF_TOKEN;
  });
  const wrong = await doctor(fakeMachine("linux"), { XDG_CONFIG_HOME });
  expect(wrong.out).toMatch(/FAIL {2}settings +KAMADO_RETRY_SECONDS: must be/);
  // What the terminal sets goes first.
  const { out, code } = await doctor(
    fakeMachine("linux"),
    { XDG_CONFIG_HOME, KAMADO_RETRY_SECONDS: "3" },
    "--json",
  );
  expect(code).toBe(0);
  expect(JSON.parse(out).checks).toContainEqual({
    check: "settings",
    status: "warn",
    found: `${path} holds HF_TOKEN, and others may read it: chmod 600 ${path}`,
    todo: expect.any(String),
  });
});

test("a stopped engine, a wrong queue and a receiver that is away are lines that fail, in 80 columns", async () => {
  const { out, code } = await doctor(fakeMachine("linux"), {
    KAMADO_ENGINE_URL: "http://127.0.0.1:1",
    KAMADO_QUEUE_URL: "http://127.0.0.1:1/000000000000/kamado-jobs",
    AWS_ENDPOINT_URL: "http://127.0.0.1:1",
    AWS_ACCESS_KEY_ID: "a",
    AWS_SECRET_ACCESS_KEY: "b",
  });
  expect(code).toBe(1);
  expect(out).toMatch(/FAIL {2}engine +does not answer at http:\/\/127\.0\.0\.1:1/);
  expect(out).toMatch(/FAIL {2}queue +http[\s\S]*not\s+answer/);
  expect(Math.max(...out.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
});

/** What fails where a Kamado runs whose page and queue are at `endpoint`. */
async function failingWith({ endpoint }: Scripted) {
  const KAMADO_DATA_DIR = folder();
  const queueUrl = `${endpoint}/000000000000/kamado-jobs`;
  const service: Service = {
    pid: process.pid,
    startedAt: new Date().toISOString(),
    engine: { url: "http://127.0.0.1:1", model: "m", isDemo: false },
    web: { url: endpoint },
    cloud: {
      ...{ isLocal: true, endpoint, region: "us-east-1", bucket: "kamado" },
      ...{ queueUrl, deadQueueUrl: queueUrl, deadDeliveriesQueueUrl: queueUrl },
    },
  };
  writeFileSync(join(KAMADO_DATA_DIR, "service.json"), JSON.stringify(service));
  const { out } = await doctor(fakeMachine("linux"), { KAMADO_DATA_DIR }, "--json");
  return JSON.parse(out).checks.filter(({ status }: { status: string }) => status === "fail");
}

const WELL = { status: "UNHEALTHY", engine: {}, queue: { health: "ok" }, bucket: { health: "ok" } };
const PASSED = { passed: true };

test.each([
  [
    "a start check that fails",
    { startCheck: { passed: false, error: { code: "clock_wrong", message: "The clock.", hint: "Set it." } } },
    ["clock_wrong: The clock.", "Set it."],
  ],
  [
    "a full disk under its queue",
    { startCheck: PASSED, disk: { isFull: true, hint: "Free some." } },
    ["the disk of its queue is full", "Free some."],
  ],
  [
    "a queue that is missing",
    { startCheck: PASSED, queue: { health: "missing_queue", hint: "Create it." } },
    ["its queue cannot be used (missing_queue)", "Create it."],
  ],
])("a Kamado that pulls no jobs because of %s says so, with what to do", async (_, state, [why, todo]) => {
  await using page = await awsServer((request, response) =>
    response
      .writeHead(200, { "content-type": "application/json" })
      .end(JSON.stringify(request.url === "/health" ? { pid: process.pid } : { ...WELL, ...state })),
  );
  expect((await failingWith(page))[0]).toEqual(
    fail("Kamado", `process ${process.pid} pulls no jobs: ${why}`, todo!),
  );
});

test("where the process with the embedded queue is stopped, that is said, and no network is blamed", async () => {
  await using stopped = await blackHole();
  expect(await failingWith(stopped)).toMatchObject([
    { check: "Kamado", found: expect.stringContaining("does not answer") },
    { check: "engine" },
    { check: "queue", found: `the embedded one is part of process ${process.pid}, which does not answer` },
  ]);
}, 30_000);

test("a check that breaks is a line that fails, and the others are there", async () => {
  const machine = fakeMachine("darwin");
  const broken: Machine = {
    ...machine,
    run: async (command) => {
      if (command[0] === "podman") throw new Error("EACCES");
      return machine.run(command);
    },
  };
  const { out, code } = await doctor(broken, {}, "--json");
  expect([code, checksIn(out).slice(-5)]).toEqual([
    1,
    ["FileVault", "automatic login", "sleep", "updates", "Metal"],
  ]);
  expect(JSON.parse(out).checks).toContainEqual(
    expect.objectContaining({ check: "service", found: "EACCES" }),
  );
});

test("--deep starts the engine that is configured, lets it say a token and ends it; a model that cannot load is told", async () => {
  const { out } = await doctor(fakeMachine("linux"), {}, "--json", "--deep");
  const engineIn = (text: string) =>
    JSON.parse(text).checks.find(({ check }: { check: string }) => check === "engine");
  const { status, found } = engineIn(out);
  expect([status, found]).toEqual(["ok", expect.stringMatching(/said a token within \d+ ms, at http/)]);
  await expect(fetch(`${/http\S+/.exec(found)![0]}/health`)).rejects.toThrow();
  const missing = { KAMADO_BACKEND: "auto", KAMADO_MODEL: "/no/such/model.gguf" };
  const other = await doctor(fakeMachine("linux"), missing, "--json", "--deep");
  expect([other.code, engineIn(other.out)]).toEqual([
    1,
    expect.objectContaining({ status: "fail", found: expect.stringContaining("does not exist") }),
  ]);
}, 60_000);

test("a line says how it is without its colour, and what to do below; what is too long for a line is cut, not lost", () => {
  const arn = `arn:aws:sqs:eu-central-1:123456789012:${"x".repeat(90)}`;
  const shown = stripVTControlCharacters(
    viewFinding(fail("queue", `AWS refuses it`, `Grant sqs:SendMessage on ${arn}.`), 80),
  );
  expect(shown.split("\n")[0]).toBe("FAIL  queue            AWS refuses it");
  expect(shown.replaceAll(/\s/g, "")).toContain(arn);
  expect(Math.max(...shown.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
  expect(viewFinding(warn("disk", "low", "Free."), 80)).toMatch(/^warn {2}disk/);
  expect(viewFinding(ok("disk", "\u001b[2Jfree"), 80)).not.toContain("\u001b[2J");
  expect(viewSummary([ok("a", "b")])).toBe("All is well.");
  expect(viewSummary([fail("a", "b", "c"), fail("a", "b", "c"), warn("a", "b", "c")])).toBe(
    "2 checks fail, 1 warning.",
  );
});

test("with a Kamado that runs here every line is true, the model says a token, and --deep starts no second engine", async () => {
  const KAMADO_DATA_DIR = folder();
  const here = { KAMADO_DATA_DIR, KAMADO_BACKEND: "scripted" };
  const { addresses, child } = await served(["--in-memory"], here);
  const { out, code } = await runKamado(["doctor", "--json", "--deep"], here);
  const { ok: isOk, checks } = JSON.parse(out);
  expect([isOk, code]).toEqual([true, 0]);
  const of = (name: string) => checks.find(({ check }: { check: string }) => check === name);
  expect(of("Kamado")).toEqual(ok("Kamado", `READY, process ${child.pid}, ${addresses.web}`));
  expect(of("engine")).toMatchObject({
    status: "ok",
    found: expect.stringMatching(/said a token within \d+ ms/),
  });
  expect(of("queue")).toMatchObject({ status: "ok", found: "0 waiting, 0 in flight" });
  expect(of("bucket")).toMatchObject({ status: "ok" });
  expect(checks.map(({ check }: { check: string }) => check)).not.toContain("web port");
}, 120_000);
