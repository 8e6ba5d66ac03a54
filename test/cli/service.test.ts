// `kamado service` and `kamado uninstall` against machines that are not here: the commands of macOS and of systemd are answered as their
// manuals document. The files are real, in a folder of the test.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { serviceCommand } from "../../worker/cli/commands/service.ts";
import { uninstallCommand } from "../../worker/cli/commands/uninstall.ts";
import type { Machine } from "../../worker/service/machine.ts";

type Fake = Machine & { ran: string[]; loaded: Set<string>; inputs: Map<string, string> };

/** What launchctl and systemctl keep: which services are loaded. `broken`: commands that fail. */
function fake(platform: NodeJS.Platform, { broken = [] as string[] } = {}): Fake {
  const home = mkdtempSync(join(tmpdir(), "kamado-service-"));
  vi.stubEnv("XDG_CONFIG_HOME", join(home, ".config"));
  vi.stubEnv("KAMADO_DATA_DIR", join(home, ".kamado"));
  const ran: string[] = [];
  const loaded = new Set<string>();
  const inputs = new Map<string, string>();
  let lingers = false;
  const ok = (out = "") => ({ code: 0, out, errors: "" });
  const no = (errors: string, code = 1) => ({ code, out: "", errors });
  return {
    platform,
    uid: 501,
    user: "anna",
    home,
    systemRoot: join(home, "root"),
    ran,
    loaded,
    inputs,
    async run(command, { input } = {}) {
      const line = command.join(" ");
      if (!/ (print|show|show-user|ls) |^(id|\/bin\/sh) /.test(line)) ran.push(line);
      if (input !== undefined) inputs.set(line, input);
      if (broken.some((part) => line.includes(part))) return no("it does not work");
      const [, verb] = command;
      const last = command.at(-1)!;
      if (command[0] === "id") return ok(verb === "-u" ? "502\n" : "20\n");
      if (command[0] === "/bin/sh") return ok(`${home}\n`);
      if (command[0] === "launchctl") {
        const name = verb === "bootstrap" ? `${command[2]}/${last.replace(/^.*\/|\.plist$/g, "")}` : last;
        if (verb === "print")
          return loaded.has(name)
            ? ok(`${name} = {\n\tstate = running\n\tpid = 812\n\tlast exit code = 0\n}\n`)
            : no("Could not find service", 113);
        if (verb === "bootstrap" && loaded.has(name)) return no("Bootstrap failed: 5: Input/output error", 5);
        if (verb === "bootout" && !loaded.has(name)) return no("Boot-out failed: 3: No such process", 3);
        if (verb === "bootstrap") loaded.add(name);
        if (verb === "bootout") loaded.delete(name);
      }
      if (command[0] === "systemctl") {
        const [, , what, name = ""] = command;
        if (what === "show") {
          const isOn = loaded.has(name);
          return ok(
            `LoadState=${isOn ? "loaded" : "not-found"}\nActiveState=${isOn ? "active" : "inactive"}\nMainPID=${isOn ? 812 : 0}\n`,
          );
        }
        if (what === "restart") loaded.add(name);
        if (what === "stop") loaded.delete(name);
      }
      if (line.startsWith("loginctl enable-linger")) lingers = true;
      if (line.startsWith("loginctl show-user")) return ok(`Linger=${lingers ? "yes" : "no"}\n`);
      if (line.startsWith("podman secret ls"))
        return ok(ran.some((one) => one.includes("secret create")) ? "kamado.env\n" : "");
      return ok();
    },
  };
}

/** Runs one command and returns what it printed. */
async function kamado(machine: Machine, ...args: string[]): Promise<string> {
  let out = "";
  const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    out += text;
    return true;
  });
  const make = args[0] === "uninstall" ? uninstallCommand : serviceCommand;
  const list = args[0] === "uninstall" ? args.slice(1) : args;
  try {
    await make(machine).exitOverride().parseAsync(list, { from: "user" });
  } finally {
    write.mockRestore();
  }
  return out;
}

beforeEach(() => {
  const cwd = process.cwd();
  process.chdir(mkdtempSync(join(tmpdir(), "kamado-folder-")));
  vi.spyOn(process.stderr, "write").mockImplementation(() => true);
  onTestFinished(() => process.chdir(cwd));
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

const filesUnder = (folder: string) =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((one) => one.isFile())
        .map(({ name }) => name)
    : [];
const settings = ({ home }: Machine) => {
  mkdirSync(join(home, ".config/kamado"), { recursive: true });
  writeFileSync(
    join(home, ".config/kamado/kamado.env"),
    "KAMADO_QUEUE_URL=http://127.0.0.1:9/0/kamado-jobs\n",
  );
};

describe.each(["darwin", "linux"] as const)("on %s", (platform) => {
  test("--dry-run says every file and command, and changes nothing", async () => {
    const machine = fake(platform);
    settings(machine);
    const before = filesUnder(machine.home);
    const out = await kamado(machine, "install", "worker", "engine", "container", "--dry-run");
    expect(machine.ran).toEqual([]);
    expect(filesUnder(machine.home)).toEqual(before);
    expect(out).toMatch(/would write .*worker/);
    expect(out).toMatch(/would run (launchctl bootstrap|systemctl --user restart)/);
    expect(out).toContain("Nothing was changed.");
    // The settings of a container are secrets.
    expect(out).not.toContain("kamado-jobs");
  });

  test("a second install changes nothing, and a changed setting is brought in by a stop and a start", async () => {
    const machine = fake(platform);
    await kamado(machine, "install");
    const first = machine.ran.splice(0);
    expect(first.length).toBeGreaterThan(0);
    expect(await kamado(machine, "install")).toContain("is as it should be");
    expect(machine.ran).toEqual([]);
    vi.stubEnv("KAMADO_DRAIN_SECONDS", "300");
    await kamado(machine, "install");
    expect(machine.ran.join("\n")).toMatch(
      platform === "darwin" ? /bootout[\s\S]*bootstrap/ : /daemon-reload[\s\S]*restart/,
    );
    expect(machine.loaded.size).toBe(1);
  });

  test("a worker uses the engine that is a service of its own, whichever was installed first", async () => {
    const file = ({ home }: Machine) =>
      join(
        home,
        platform === "darwin"
          ? "Library/LaunchAgents/kamado.worker.plist"
          : ".config/systemd/user/kamado-worker.service",
      );
    const [first, second] = [fake(platform), fake(platform)];
    await kamado(first, "install", "worker");
    expect(readFileSync(file(first), "utf8")).not.toContain("KAMADO_ENGINE_URL=http");
    await kamado(first, "install", "engine");
    await kamado(second, "install", "engine");
    await kamado(second, "install", "worker");
    for (const machine of [first, second]) {
      expect(readFileSync(file(machine), "utf8")).toContain("http://127.0.0.1:4781");
      expect(machine.loaded.size).toBe(2);
    }
  });

  test("uninstall removes what install made, may be called twice, and leaves the settings", async () => {
    const machine = fake(platform);
    settings(machine);
    await kamado(machine, "install", "worker", "engine", "container");
    expect(filesUnder(machine.home).length).toBeGreaterThan(2);
    await kamado(machine, "uninstall", "--data");
    expect([...machine.loaded]).toEqual([]);
    expect(filesUnder(machine.home)).toEqual([]);
    machine.ran.splice(0);
    await kamado(machine, "uninstall", "--data");
    expect(machine.ran).toEqual([]);
  });

  test("status tells what runs, for scripts too, and ends as it says", async () => {
    const machine = fake(platform);
    expect(await kamado(machine, "status")).toContain("No service is installed");
    expect(process.exitCode).toBe(3);
    await kamado(machine, "install");
    const states = JSON.parse(await kamado(machine, "status", "--json"));
    expect(states[0]).toMatchObject({ part: "worker", installed: true, running: true, pid: 812 });
    expect(process.exitCode).toBe(0);
    expect(
      Math.max(
        ...(await kamado(machine, "status"))
          .split("\n")
          .slice(0, 2)
          .map((line) => line.length),
      ),
    ).toBeLessThan(80);
    machine.loaded.clear();
    await kamado(machine, "status");
    expect(process.exitCode).toBe(1);
  });

  test("restart stops in order, and what is not installed is said", async () => {
    const machine = fake(platform);
    await expect(kamado(machine, "restart")).rejects.toMatchObject({ code: "config_invalid" });
    await kamado(machine, "install");
    machine.ran.splice(0);
    await kamado(machine, "restart");
    expect(machine.ran).toEqual([
      platform === "darwin"
        ? "launchctl kill SIGTERM gui/501/kamado.worker"
        : "systemctl --user restart kamado-worker.service",
    ]);
  });

  test("logs shows the last lines of the service that is asked for", async () => {
    const machine = fake(platform);
    await kamado(machine, "logs", "engine", "--lines", "7", "--follow");
    expect(machine.ran[0]).toMatch(
      platform === "darwin"
        ? /^tail -n 7 -F .*\/engine\.log$/
        : /^journalctl --user --unit=kamado-engine\.service --lines=7 .*--follow$/,
    );
  });

  test("a command that fails is named with its words, and a second try goes on", async () => {
    const machine = fake(platform, { broken: [platform === "darwin" ? "bootstrap" : "daemon-reload"] });
    await expect(kamado(machine, "install")).rejects.toMatchObject({
      code: "service_failed",
      message: expect.stringContaining("it does not work"),
    });
    const mended = { ...fake(platform), home: machine.home };
    await kamado(mended, "install");
    expect(mended.loaded.size).toBe(1);
  });

  test("a container without settings is refused, with what they must be", async () => {
    const machine = fake(platform);
    await expect(kamado(machine, "install", "container")).rejects.toMatchObject({
      code: "config_invalid",
      hint: expect.stringContaining("host.containers.internal"),
    });
  });

  test("a name that is no service is refused with those that are", async () => {
    await expect(kamado(fake(platform), "install", "wroker")).rejects.toMatchObject({
      message: expect.stringContaining("worker, engine, container"),
    });
  });
});

test("a LaunchDaemon runs as the user who is named, and its file is the system's", async () => {
  const machine = fake("darwin");
  await kamado(machine, "install", "--daemon", "--user", "anna").catch((error) => {
    // Only root may give the folder of the logs away.
    if (process.getuid?.() === 0) throw error;
  });
  const path = join(machine.systemRoot, "Library/LaunchDaemons/kamado.worker.plist");
  expect(readFileSync(path, "utf8")).toContain("<key>UserName</key><string>anna</string>");
  expect(machine.ran.at(-1)).toBe(`launchctl bootstrap system ${path}`);
});

test.each([[["--daemon"]], [["--daemon", "--user", "root"]], [["--daemon", "--user", "a; rm -rf"]]])(
  "install %s is refused: a daemon needs a user, and not root",
  async (flags) => {
    const machine = fake("darwin");
    await expect(kamado(machine, "install", ...flags)).rejects.toMatchObject({ code: "invalid_input" });
    expect(machine.ran).toEqual([]);
  },
);

test("on a Mac the container's files and settings go into the Podman machine, which starts with the Mac", async () => {
  const machine = fake("darwin");
  settings(machine);
  await kamado(machine, "install", "container");
  expect([...machine.loaded]).toEqual(["gui/501/kamado.podman-machine"]);
  expect(machine.inputs.get("podman secret create --replace kamado.env -")).toContain("kamado-jobs");
  expect(
    machine.inputs.get("podman machine ssh cat > .config/containers/systemd/kamado.container"),
  ).toContain("[Container]");
  expect(machine.ran.at(-1)).toBe("podman machine ssh systemctl --user restart kamado.service");
});

test("on Linux a service runs although nobody is logged in", async () => {
  const machine = fake("linux");
  await kamado(machine, "install");
  expect(machine.ran[0]).toBe("loginctl enable-linger anna");
});

test("another system is told so", async () => {
  await expect(kamado(fake("win32"), "install")).rejects.toMatchObject({ code: "config_invalid" });
});

describe("kamado uninstall", () => {
  test("keeps data and settings without --data, and names what is left", async () => {
    const machine = fake("linux");
    settings(machine);
    const data = join(machine.home, ".kamado/aws");
    mkdirSync(data, { recursive: true });
    const out = await kamado(machine, "uninstall");
    expect(existsSync(data)).toBe(true);
    expect(out).toContain(join(machine.home, ".kamado"));
    expect(out).toContain("kamado.env");
    await kamado(machine, "uninstall", "--data");
    expect(existsSync(join(machine.home, ".kamado"))).toBe(false);
  });

  test.each(["/", "~", "/usr"])(
    "never empties a folder that holds more than Kamado's data: %s",
    async (folder) => {
      const machine = fake("linux");
      vi.stubEnv("KAMADO_DATA_DIR", folder);
      await expect(kamado(machine, "uninstall", "--data", "--dry-run")).rejects.toMatchObject({
        code: "config_invalid",
        message: expect.stringContaining("holds more than Kamado's data"),
      });
    },
  );
});
