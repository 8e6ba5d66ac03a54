// The files of services are what launchd, systemd and Podman can read, and say what a stop needs.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parse } from "plist";
import { describe, expect, test } from "vitest";
import { type Facts, plistOf, quadletOf, stopSecondsOf, unitOf } from "../../worker/service/units.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const FACTS: Facts = {
  root: ROOT,
  node: process.execPath,
  home: "/Users/anna",
  folder: "/tmp",
  envFile: "/Users/anna/.config/kamado/kamado.env",
  logs: "/Users/anna/Library/Logs/kamado",
  stopSeconds: stopSecondsOf({ drainSeconds: 30, pollSeconds: 10 }),
  image: "localhost/kamado-worker:latest",
};
type Plist = Record<string, unknown> & { EnvironmentVariables: Record<string, string> };
const parsed = (name: "worker" | "engine" | "podman-machine", facts = FACTS) =>
  parse(plistOf(name, facts)) as Plist;

/** The keys of launchd.plist(5) that are used, with their types. plutil would accept any key. */
const KEYS: Record<string, string> = {
  Label: "string",
  ProgramArguments: "object",
  WorkingDirectory: "string",
  EnvironmentVariables: "object",
  RunAtLoad: "boolean",
  KeepAlive: "boolean",
  ThrottleInterval: "number",
  ExitTimeOut: "number",
  ProcessType: "string",
  StandardOutPath: "string",
  StandardErrorPath: "string",
  Umask: "number",
  AbandonProcessGroup: "boolean",
  UserName: "string",
};

describe("a property list of launchd", () => {
  test.each(["worker", "engine", "podman-machine"] as const)(
    "%s has known keys of the right type, each once",
    (name) => {
      const text = plistOf(name, { ...FACTS, user: "anna" });
      const keys = [...text.matchAll(/^ {2}<key>(\w+)<\/key>/gm)].map(([, key]) => key!);
      expect(new Set(keys).size).toBe(keys.length);
      const content = parsed(name, { ...FACTS, user: "anna" });
      expect(Object.keys(content)).toEqual(keys);
      for (const [key, value] of Object.entries(content))
        expect([key, typeof value]).toEqual([key, KEYS[key]]);
      expect(content.UserName).toBe("anna");
      expect(text).not.toMatch(/@[A-Z_]+@/);
    },
  );

  test("plutil takes them as they are", ({ skip }) => {
    skip(process.platform !== "darwin", "only macOS has plutil");
    const folder = mkdtempSync(join(tmpdir(), "kamado-plists-"));
    const paths = (["worker", "engine", "podman-machine"] as const).map((name) => {
      const path = join(folder, `kamado.${name}.plist`);
      writeFileSync(path, plistOf(name, { ...FACTS, user: "anna", configHome: "/Users/Jürgen & Ana/<x>" }));
      return path;
    });
    const lint = () => spawnSync("plutil", ["-lint", ...paths], { encoding: "utf8" });
    expect(lint()).toMatchObject({ status: 0 });
    writeFileSync(paths[0]!, plistOf("worker", FACTS).replace("</dict>", ""));
    expect(lint().status).not.toBe(0);
  });

  test("an agent names no user, because it is its user's", () => {
    expect(parsed("worker")).not.toHaveProperty("UserName");
  });

  test("gives a stop more time than the drain, the open poll and the engine need", () => {
    expect(parsed("worker").ExitTimeOut).toBeGreaterThan(30 + 10 + 15);
    const longer = { ...FACTS, stopSeconds: stopSecondsOf({ drainSeconds: 600, pollSeconds: 20 }) };
    expect(parsed("worker", longer).ExitTimeOut).toBeGreaterThan(600 + 20 + 15);
  });

  test("the worker and the engine start again whatever ended them; the machine does not", () => {
    expect([parsed("worker").KeepAlive, parsed("engine").KeepAlive]).toEqual([true, true]);
    expect(parsed("podman-machine")).toMatchObject({
      KeepAlive: false,
      RunAtLoad: true,
      AbandonProcessGroup: true,
    });
  });

  test("what it prints goes to the file that it keeps small", () => {
    for (const name of ["worker", "engine"] as const) {
      const { StandardOutPath, StandardErrorPath, EnvironmentVariables } = parsed(name);
      expect(StandardOutPath).toBe(EnvironmentVariables.KAMADO_LOG_FILE);
      expect(StandardErrorPath).toBe(StandardOutPath);
    }
  });

  test("runs programs that exist, with arguments that stay as they are", () => {
    const root = join(mkdtempSync(join(tmpdir(), "kamado-units-")), `a & b <c> "d"`);
    mkdirSync(join(root, "infra"), { recursive: true });
    execFileSync("cp", ["-r", join(ROOT, "infra/launchd"), join(root, "infra")]);
    const [node, env, start, command] = parsed("worker", { ...FACTS, root }).ProgramArguments as string[];
    expect([node, start, command]).toEqual([process.execPath, join(root, "worker/cli/start.mjs"), "serve"]);
    expect(env).toBe(`--env-file-if-exists=${FACTS.envFile}`);
    const [, , own] = parsed("engine").ProgramArguments as string[];
    expect(existsSync(own!)).toBe(true);
    const [, script] = parsed("podman-machine").ProgramArguments as string[];
    expect(existsSync(script!)).toBe(true);
  });

  test("a worker beside an engine of its own service starts none", () => {
    const { EnvironmentVariables } = parsed("worker", { ...FACTS, engineUrl: "http://127.0.0.1:4781" });
    expect(EnvironmentVariables.KAMADO_ENGINE_URL).toBe("http://127.0.0.1:4781");
    expect(parsed("worker").EnvironmentVariables).not.toHaveProperty("KAMADO_ENGINE_URL");
  });
});

/** The settings of a unit, by section. */
function settings(text: string): Record<string, Record<string, string>> {
  const all: Record<string, Record<string, string>> = {};
  let section = "";
  for (const line of text.split("\n").filter((one) => one !== "" && !one.startsWith("#"))) {
    const [, name] = /^\[(\w+)\]$/.exec(line) ?? [];
    if (name !== undefined) section = name;
    const [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (name === undefined) expect(key, `${line} is no setting`).toBeDefined();
    if (key !== undefined) all[section] = { ...all[section], [key]: value! };
  }
  return all;
}

describe("a unit of systemd", () => {
  test.each(["worker", "engine"] as const)(
    "%s: a stop tells the main process alone, and waits longer than it needs",
    (name) => {
      const { Service, Install } = settings(unitOf(name, FACTS));
      expect(Service).toMatchObject({ KillMode: "mixed", Restart: "always" });
      expect(Number(Service!.TimeoutStopSec)).toBeGreaterThan(30 + 10 + 15);
      expect(Install).toEqual({ WantedBy: "default.target" });
    },
  );

  test("a percent sign in a path is one, and what cannot be written is refused", () => {
    expect(unitOf("worker", { ...FACTS, folder: "/home/100%" })).toContain("WorkingDirectory=/home/100%%\n");
    expect(() => unitOf("worker", { ...FACTS, folder: "/home/a\nExecStartPre=/bin/rm" })).toThrow(
      expect.objectContaining({ code: "config_invalid" }),
    );
  });

  test("a dollar sign begins a variable in a command line only, and not in the program's name", () => {
    const text = unitOf("worker", {
      ...FACTS,
      node: "/a$b/node",
      folder: "/a$b",
      envFile: "/a$b/c",
      configHome: "/a$b",
    });
    expect(text).toContain(`ExecStart="/a$b/node" "--env-file-if-exists=/a$$b/c"`);
    expect(text).toContain("\nWorkingDirectory=/a$b\n");
    expect(text).toContain(`\nEnvironment="XDG_CONFIG_HOME=/a$b"\n`);
  });

  test("systemd takes them as they are, with no word of warning", ({ skip }) => {
    const { error } = spawnSync("systemd-analyze", ["--version"]);
    skip(error !== undefined, "there is no systemd-analyze here");
    const folder = join(mkdtempSync(join(tmpdir(), "kamado-units-")), "Jürgen & Ana 100%h $HOME");
    mkdirSync(folder);
    // It looks whether the program and the folder are there, by the names that it has read.
    symlinkSync(process.execPath, join(folder, "node"));
    const facts = { ...FACTS, home: folder, folder, node: join(folder, "node") };
    const paths = (["worker", "engine"] as const).map((name) => {
      const path = join(folder, `kamado-${name}.service`);
      writeFileSync(path, unitOf(name, { ...facts, engineUrl: "http://127.0.0.1:4781" }));
      return path;
    });
    const verify = (list: string[]) =>
      spawnSync("systemd-analyze", ["--user", "verify", "--man=no", ...list], {
        encoding: "utf8",
        env: { PATH: process.env.PATH, HOME: folder, XDG_RUNTIME_DIR: folder },
      });
    const said = verify(paths);
    const own = said.stderr.split("\n").filter((line) => line.includes("kamado-"));
    expect({ code: said.status, own }).toEqual({ code: 0, own: [] });
    // It does find what is wrong.
    writeFileSync(paths[0]!, unitOf("worker", facts).replace("KillMode", "KilMode"));
    expect(verify(paths).stderr).toContain("KilMode");
    writeFileSync(paths[0]!, unitOf("worker", { ...facts, node: join(folder, "nod") }));
    expect(verify(paths).status).not.toBe(0);
  });
});

describe("a container of Quadlet", () => {
  test("may write nothing but its own memory, and gets time to stop", () => {
    const { Container, Service } = settings(quadletOf("kamado.container", FACTS));
    expect(Container).toMatchObject({
      ReadOnly: "true",
      DropCapability: "all",
      NoNewPrivileges: "true",
      User: "65532",
    });
    const [, inner] = /--stop-timeout=(\d+)/.exec(Container!.PodmanArgs!)!;
    expect(Number(inner)).toBeGreaterThan(30 + 10 + 15);
    expect(Number(Service!.TimeoutStopSec)).toBeGreaterThan(Number(inner));
  });

  test("its settings are a secret, and none is in the file", () => {
    const text = quadletOf("kamado.container", FACTS);
    expect(text).toMatch(/^Secret=kamado\.env,type=mount/m);
    expect(text).not.toMatch(/^Environment/m);
  });

  const GENERATOR = [
    "/usr/libexec/podman/quadlet",
    "/usr/lib/podman/quadlet",
    "/usr/lib/systemd/system-generators/podman-system-generator",
  ].find((path) => existsSync(path));

  test("Podman's generator makes a unit of it", ({ skip }) => {
    skip(GENERATOR === undefined, "there is no Quadlet here; it comes with Podman 4.4");
    const folder = mkdtempSync(join(tmpdir(), "kamado-quadlet-"));
    for (const file of ["kamado.container", "kamado.network"] as const)
      writeFileSync(join(folder, file), quadletOf(file, FACTS));
    const dryRun = () =>
      spawnSync(GENERATOR!, ["-dryrun", "-user"], { encoding: "utf8", env: { QUADLET_UNIT_DIRS: folder } });
    const said = dryRun();
    expect({ code: said.status, said: said.stderr }).toMatchObject({ code: 0 });
    expect(said.stdout).toContain("--read-only");
    writeFileSync(
      join(folder, "kamado.container"),
      quadletOf("kamado.container", FACTS).replace("ReadOnly", "ReedOnly"),
    );
    expect(dryRun().status).not.toBe(0);
  });
});

test("every template of infra/ is used", () => {
  const names = (folder: string) => readdirSync(join(ROOT, "infra", folder)).toSorted();
  expect(names("launchd")).toEqual([
    "kamado.engine.plist",
    "kamado.podman-machine.plist",
    "kamado.worker.plist",
    "podman-machine.sh",
  ]);
  expect(names("systemd")).toEqual(["kamado-engine.service", "kamado-worker.service"]);
  expect(names("quadlet")).toEqual(["kamado.container", "kamado.network"]);
});
