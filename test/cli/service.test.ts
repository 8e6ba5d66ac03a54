// `kamado service` and `kamado uninstall` against machines that are not here: the commands of macOS and of systemd are answered as their
// manuals document. The files are real, in a folder of the test.
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { serviceCommand } from "../../worker/cli/commands/service.ts";
import { uninstallCommand } from "../../worker/cli/commands/uninstall.ts";
import type { Machine } from "../../worker/service/machine.ts";

// The default data folder is below the home folder, and these tests remove data folders: never those of whoever runs them. A module reads
// it when it is loaded, which is after this.
vi.hoisted(() => {
  process.env.HOME = process.env.TMPDIR ?? "/tmp";
});

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
      // What only asks.
      if (!/ (print|show|show-user|ls|exists|is-active|ssh true)( |$)|^(id|\/bin\/sh) /.test(line))
        ran.push(line);
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
        if (what === "restart" || what === "start") loaded.add(name);
        if (what === "stop") loaded.delete(name);
      }
      if (line.startsWith("loginctl enable-linger")) lingers = true;
      if (line.startsWith("loginctl show-user")) return ok(`Linger=${lingers ? "yes" : "no"}\n`);
      if (line.startsWith("podman secret ls"))
        return ok(
          [...inputs.keys()]
            .map((one) => `${/--replace (\S+) -$/.exec(one)?.[1] ?? "of another"}\n`)
            .join(""),
        );
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
  const list = /^(uninstall|service)$/.test(args[0]!) ? args.slice(1) : args;
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
const settings = ({ home }: Machine, ...lines: string[]) => {
  mkdirSync(join(home, ".config/kamado"), { recursive: true });
  const all = [
    "KAMADO_QUEUE_URL=http://127.0.0.1:9/0/kamado-jobs",
    "KAMADO_ENGINE_URL=http://host.containers.internal:4781",
    ...lines,
  ];
  writeFileSync(join(home, ".config/kamado/kamado.env"), `${all.join("\n")}\n`);
};
/** The file by which the system knows the native worker. */
const unit = ({ platform, home }: Machine) =>
  platform === "darwin"
    ? join(home, "Library/LaunchAgents/kamado.worker.plist")
    : join(home, ".config/systemd/user/kamado-worker.service");
const stopSeconds = (machine: Machine) =>
  Number(
    /(?:ExitTimeOut<\/key><integer>|TimeoutStopSec=)(\d+)/.exec(readFileSync(unit(machine), "utf8"))![1],
  );

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
    settings(machine, "KAMADO_DRAIN_SECONDS=300");
    await kamado(machine, "install");
    expect(machine.ran.join("\n")).toMatch(
      platform === "darwin" ? /bootout[\s\S]*bootstrap/ : /daemon-reload[\s\S]*restart/,
    );
    expect(machine.loaded.size).toBe(1);
  });

  test("an engine's service is refused a port that is another at each start, and nothing is changed", async () => {
    const machine = fake(platform);
    settings(machine, "KAMADO_ENGINE_PORT=0");
    const refused = { code: "config_invalid", message: expect.stringContaining("KAMADO_ENGINE_PORT: 0") };
    for (const parts of [["engine"], ["worker", "engine"], ["engine", "container"]])
      await expect(kamado(machine, "install", ...parts)).rejects.toMatchObject(refused);
    expect(machine.ran).toEqual([]);
    // The worker's own engine says where it listens.
    await kamado(machine, "install", "worker");
    await expect(kamado(machine, "install", "engine")).rejects.toMatchObject(refused);
    settings(machine);
    await kamado(machine, "install", "engine");
    settings(machine, "KAMADO_ENGINE_PORT=0");
    await expect(kamado(machine, "install", "worker")).rejects.toMatchObject(refused);
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

  test("has the time to stop that the service's own settings ask for, whatever this terminal's are", async () => {
    const machine = fake(platform);
    vi.stubEnv("KAMADO_DRAIN_SECONDS", "7");
    settings(machine, "KAMADO_DRAIN_SECONDS=300", "KAMADO_POLL_SECONDS=20");
    await kamado(machine, "install");
    expect(stopSeconds(machine)).toBeGreaterThan(300 + 20 + 15);
    // The file takes precedence over kamado.toml, as for the service itself.
    writeFileSync("kamado.toml", "drain_seconds = 5\npoll_seconds = 1\n");
    await kamado(machine, "install");
    expect(stopSeconds(machine)).toBeGreaterThan(300 + 20 + 15);
    settings(machine);
    await kamado(machine, "install");
    expect(stopSeconds(machine)).toBe(5 + 1 + 15 + 30);
  });

  test.each([
    ["KAMADO_DRAIN_SECONDS=soon", "KAMADO_DRAIN_SECONDS"],
    ["\ufeffKAMADO_DRAIN_SECONDS=5", "byte order mark"],
  ])(
    "settings that the service could not use are refused, and keep nothing from being removed: %j",
    async (text, word) => {
      const machine = fake(platform);
      await kamado(machine, "install");
      settings(machine);
      writeFileSync(join(machine.home, ".config/kamado/kamado.env"), `${text}\n`);
      const error = { code: "config_invalid", message: expect.stringContaining(word) };
      await expect(kamado(machine, "install")).rejects.toMatchObject(error);
      expect(await kamado(machine, "status")).toContain("running");
      await expect(kamado(machine, "uninstall", "--data")).rejects.toMatchObject(error);
      await kamado(machine, "uninstall");
      expect(machine.loaded.size).toBe(0);
    },
  );

  test("reads the settings where `kamado setup` and `kamado init --user` write them, also under XDG_CONFIG_HOME", async () => {
    const machine = fake(platform);
    const elsewhere = join(machine.home, "Einstellungen für mich");
    vi.stubEnv("XDG_CONFIG_HOME", elsewhere);
    mkdirSync(join(elsewhere, "kamado"), { recursive: true });
    writeFileSync(join(elsewhere, "kamado/kamado.toml"), "drain_seconds = 300\n");
    writeFileSync(join(elsewhere, "kamado/kamado.env"), "KAMADO_POLL_SECONDS=20\n");
    await kamado(machine, "install");
    const text = readFileSync(unit(machine), "utf8");
    expect(text).toContain(`--env-file-if-exists=${elsewhere}/kamado/kamado.env`);
    expect(text).toMatch(/XDG_CONFIG_HOME(=|<\/key><string>).*Einstellungen für mich/);
    expect(stopSeconds(machine)).toBe(300 + 20 + 15 + 30);
  });

  test("without a name, install brings up to date what is there and adds nothing", async () => {
    const machine = fake(platform);
    settings(machine);
    await kamado(machine, "install", "engine", "container");
    const before = [...machine.loaded].toSorted();
    const files = filesUnder(machine.home).toSorted();
    settings(machine, "KAMADO_DRAIN_SECONDS=300");
    await kamado(machine, "install");
    expect([...machine.loaded].toSorted()).toEqual(before);
    expect(filesUnder(machine.home).toSorted()).toEqual(files);
  });

  test("a file that an older version wrote is brought up to date, and names the Node of the next version too", async () => {
    const machine = fake(platform);
    await kamado(machine, "install");
    const now = readFileSync(unit(machine), "utf8");
    expect(now).toContain("/node_modules/.bin/node");
    writeFileSync(unit(machine), now.replace(/[^">]*node_modules\/.bin\/node/, "/opt/node-25/bin/node"));
    machine.ran.splice(0);
    await kamado(machine, "install");
    expect(readFileSync(unit(machine), "utf8")).toBe(now);
    expect(machine.ran.join("\n")).toMatch(/bootstrap|restart/);
  });

  test("an engine's service that is removed gives the worker an engine of its own again", async () => {
    const machine = fake(platform);
    await kamado(machine, "install", "worker", "engine");
    expect(readFileSync(unit(machine), "utf8")).toContain("127.0.0.1:4781");
    await kamado(machine, "service", "uninstall", "engine");
    expect(readFileSync(unit(machine), "utf8")).not.toContain("127.0.0.1:4781");
    expect([...machine.loaded]).toEqual([expect.stringContaining("worker")]);
  });

  test("an engine that the settings name stays the worker's, whatever else is installed", async () => {
    const machine = fake(platform);
    settings(machine, "KAMADO_ENGINE_URL=http://192.0.2.7:8080");
    await kamado(machine, "install", "worker", "engine");
    expect(readFileSync(unit(machine), "utf8")).not.toContain("127.0.0.1:4781");
  });

  test("a container is looked at, restarted and read like the other services", async () => {
    const machine = fake(platform);
    settings(machine);
    await kamado(machine, "install", "container");
    expect(await kamado(machine, "status")).toContain("running");
    machine.ran.splice(0);
    await kamado(machine, "restart");
    await kamado(machine, "logs", "--follow");
    const inside = platform === "darwin" ? "podman machine ssh " : "";
    expect(machine.ran).toEqual([
      `${inside}systemctl --user restart kamado.service`,
      `${inside}journalctl --user --unit=kamado.service --lines=50 --no-pager --follow`,
    ]);
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

  test("restart stops the worker before the engine that it finishes its jobs with, and starts it after", async () => {
    const machine = fake(platform);
    await kamado(machine, "install", "worker", "engine");
    machine.ran.splice(0);
    await kamado(machine, "restart");
    const steps = machine.ran
      .filter((line) => /bootout|bootstrap|stop|start/.test(line))
      .map(
        (line) =>
          `${/bootout|stop/.test(line) ? "stop" : "start"} ${/worker|engine/.exec(line.split("/").at(-1)!)}`,
      );
    expect(steps).toEqual(["stop worker", "stop engine", "start engine", "start worker"]);
    expect(machine.loaded.size).toBe(2);
  });

  test("logs shows the last lines of the service that is asked for", async () => {
    const machine = fake(platform);
    mkdirSync(join(machine.home, "Library/Logs/kamado"), { recursive: true });
    writeFileSync(join(machine.home, "Library/Logs/kamado/engine.log"), "");
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

  test("a container gets the files and the kinds that its settings name, each under its own path", async () => {
    const machine = fake(platform);
    const destinations = join(machine.home, "meine Ziele.json");
    const kinds = join(machine.home, "meine Kinds");
    mkdirSync(kinds);
    writeFileSync(destinations, '{"secret": 1}');
    settings(machine, `KAMADO_DESTINATIONS_FILE="${destinations}"`, `KAMADO_HANDLERS="${kinds}"`);
    await kamado(machine, "install", "container");
    const text =
      platform === "darwin"
        ? machine.inputs.get("podman machine ssh cat > .config/containers/systemd/kamado.container")!
        : readFileSync(join(machine.home, ".config/containers/systemd/kamado.container"), "utf8");
    expect(text).toContain(`\nVolume=${kinds}:${kinds}:ro\n`);
    expect(text).toContain(
      `\nSecret="kamado.file.KAMADO_DESTINATIONS_FILE,type=mount,uid=65532,gid=65532,mode=0400,target=${destinations}"\n`,
    );
    expect(machine.inputs.get("podman secret create --replace kamado.file.KAMADO_DESTINATIONS_FILE -")).toBe(
      '{"secret": 1}',
    );
    await kamado(machine, "service", "uninstall");
    expect(machine.ran.join("\n")).toMatch(
      /podman secret rm kamado\.env kamado\.file\.KAMADO_DESTINATIONS_FILE$/m,
    );
  });

  test.each([
    ["KAMADO_DESTINATIONS_FILE=destinations.json", "is no absolute path"],
    ["KAMADO_RULES_FILE=/nowhere/rules.json", "is not there"],
    ["KAMADO_HANDLERS=/tmp/a:b", "has one of the signs"],
    ["KAMADO_HANDLERS='/tmp/a$b'", "has one of the signs"],
    ["KAMADO_ENGINE_URL=", "has no KAMADO_ENGINE_URL"],
  ])(
    "a container that would not see what its settings name is refused before anything is changed: %s",
    async (line, word) => {
      const machine = fake(platform);
      settings(machine, line);
      await expect(kamado(machine, "install", "container")).rejects.toMatchObject({
        code: "config_invalid",
        message: expect.stringContaining(word),
      });
      expect([machine.ran, filesUnder(machine.home)]).toEqual([[], ["kamado.env"]]);
    },
  );

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

test("on a Mac whose Podman machine has stopped or is gone, status says so and everything else is removed", async () => {
  const machine = fake("darwin");
  settings(machine);
  await kamado(machine, "install", "worker", "container");
  const without: Fake = {
    ...machine,
    run: (command, options) =>
      command[0] === "podman"
        ? Promise.resolve({ code: 127, out: "", errors: "" })
        : machine.run(command, options),
  };
  expect(await kamado(without, "status")).toMatch(/podman-machine\s+not running/);
  expect(process.exitCode).toBe(1);
  expect(await kamado(without, "uninstall", "--data")).toContain("the Podman machine does not answer");
  expect([machine.loaded.size, filesUnder(machine.home)]).toEqual([0, []]);
});

test("on a Mac a service that takes a while to stop is waited for, and one that waits after a failure is started", async () => {
  const machine = fake("darwin");
  await kamado(machine, "install");
  const [name] = machine.loaded;
  let looks = 0;
  const slow: Fake = {
    ...machine,
    async run(command, options) {
      const [, verb] = command;
      if (verb === "bootout")
        return { code: 36, out: "", errors: "Boot-out failed: 36: Operation now in progress" };
      // It finishes its job meanwhile.
      if (verb === "print" && command.at(-1) === name && ++looks === 5) machine.loaded.delete(name!);
      return machine.run(command, options);
    },
  };
  await kamado(slow, "uninstall");
  expect([machine.loaded.size, looks]).toEqual([0, 5]);
  expect(existsSync(unit(machine))).toBe(false);

  await kamado(machine, "install");
  const waiting: Fake = {
    ...machine,
    run: async (command, options) => {
      const ran = await machine.run(command, options);
      return command[1] === "print" ? { ...ran, out: `${name} = {\n\tstate = spawn scheduled\n}\n` } : ran;
    },
  };
  machine.ran.splice(0);
  await kamado(waiting, "restart");
  expect(machine.ran).toEqual([`launchctl kickstart ${name}`]);
});

test("on a Mac a log that somebody removed is named, and what makes it anew", async () => {
  const machine = fake("darwin");
  await kamado(machine, "install");
  await expect(kamado(machine, "logs")).rejects.toMatchObject({
    message: expect.stringContaining("worker.log is not there"),
    hint: expect.stringContaining("kamado service restart"),
  });
});

test("a LaunchDaemon has the settings of its user, although root installs it", async ({ skip }) => {
  skip(process.getuid?.() !== 0, "only root may give a file to another user");
  const machine = fake("darwin");
  // The stand-in says that anna's number is 502.
  writeFileSync("kamado.toml", "drain_seconds = 300\n", { mode: 0o600 });
  chownSync("kamado.toml", 502, 20);
  settings(machine, "KAMADO_POLL_SECONDS=20");
  await kamado(machine, "install", "--daemon", "--user", "anna");
  const text = readFileSync(join(machine.systemRoot, "Library/LaunchDaemons/kamado.worker.plist"), "utf8");
  expect(text).toContain(`<key>WorkingDirectory</key><string>${process.cwd()}</string>`);
  expect(text).toContain(`<key>ExitTimeOut</key><integer>${300 + 20 + 15 + 30}<`);
});

test("on a Mac a folder that is closed to services is named", async () => {
  const machine = fake("darwin");
  const own = join(machine.home, "Documents/meine Kinds");
  settings(machine, `KAMADO_HANDLERS="${own}"`);
  await kamado(machine, "install", "--dry-run");
  const said = vi
    .mocked(process.stderr.write)
    .mock.calls.map(([text]) => String(text))
    .join("");
  expect(said).toContain(`macOS closes ~/Documents to services: move ${own} elsewhere`);
});

test("an agent and a daemon are not installed beside each other, and each command knows of both", async () => {
  const machine = fake("darwin");
  const path = join(machine.systemRoot, "Library/LaunchDaemons/kamado.worker.plist");
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, "");
  machine.loaded.add("system/kamado.worker");
  await expect(kamado(machine, "install")).rejects.toMatchObject({
    message: expect.stringContaining(path),
    hint: expect.stringContaining("sudo ./kamado uninstall --daemon"),
  });
  expect(machine.ran).toEqual([]);
  expect(await kamado(machine, "status")).toContain(`worker: ${path}`);
  const left = await kamado(machine, "uninstall");
  expect(left).toContain(
    `kamado.worker, which goes on running (${path})\n    -> sudo ./kamado uninstall --daemon`,
  );
  // And the other way round.
  machine.loaded.clear();
  rmSync(path);
  await kamado(machine, "install");
  await expect(kamado(machine, "install", "--daemon", "--user", "anna")).rejects.toMatchObject({
    message: expect.stringContaining("LaunchAgents/kamado.worker.plist"),
  });
});

test("settings that hold secrets and that others may read are named", async () => {
  const machine = fake("linux");
  settings(machine, "AWS_SECRET_ACCESS_KEY=x", "AWS_ACCESS_KEY_ID=y");
  const file = join(machine.home, ".config/kamado/kamado.env");
  chmodSync(file, 0o644);
  await kamado(machine, "install");
  const said = () =>
    vi
      .mocked(process.stderr.write)
      .mock.calls.map(([text]) => String(text))
      .join("");
  expect(said()).toContain(`AWS_SECRET_ACCESS_KEY, and others may read it: chmod 600`);
  chmodSync(file, 0o600);
  vi.mocked(process.stderr.write).mockClear();
  await kamado(machine, "install");
  expect(said()).not.toContain("chmod");
});

test("status, restart and uninstall of a LaunchDaemon need no name of its user", async () => {
  const machine = fake("darwin");
  machine.loaded.add("system/kamado.worker");
  expect(await kamado(machine, "status", "--daemon")).toContain("running");
  await kamado(machine, "restart", "--daemon");
  expect(machine.ran).toEqual(["launchctl kill SIGTERM system/kamado.worker"]);
});

test("on Linux without systemd, or its instance for the user, nothing is written and the way is named", async () => {
  const machine = fake("linux");
  const without: Fake = {
    ...machine,
    run: async (command) =>
      command[0] === "systemctl"
        ? { code: 1, out: "", errors: "Failed to connect to bus: No medium found" }
        : machine.run(command),
  };
  await expect(kamado(without, "install")).rejects.toMatchObject({
    code: "service_failed",
    message: expect.stringContaining("No medium found"),
    hint: expect.stringContaining("XDG_RUNTIME_DIR"),
  });
  expect(filesUnder(machine.home)).toEqual([]);
  // A dry run shows what would be done on a machine that has it.
  expect(await kamado(without, "install", "--dry-run")).toContain("would write");
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
  test("names what is left, each with the command that removes it", async () => {
    const machine = fake("linux");
    const own = join(machine.home, "meine kinds");
    mkdirSync(own);
    mkdirSync(join(machine.home, ".kamado/models"), { recursive: true });
    settings(
      machine,
      "KAMADO_QUEUE_URL=https://sqs.eu-central-1.amazonaws.com/1/kamado-jobs",
      `KAMADO_HANDLERS="${own}"`,
    );
    const out = await kamado(machine, "uninstall");
    expect(out).toMatch(/data and models \(.*\.kamado\)\n {4}-> .*uninstall --data/);
    expect(out).toMatch(/settings \(.*kamado\.env\)\n {4}-> .*uninstall --data/);
    expect(out).toContain(`handlers of yours (${own})\n    -> by hand`);
    expect(out).toMatch(/AWS.*\n {4}-> infra\/remove\.sh/);
    expect(out).toContain("podman image rm localhost/kamado-worker:latest");
    expect(out).toContain("podman network rm kamado");
    expect(out).toContain("loginctl disable-linger");
    expect(out).toMatch(/Kamado itself \((.*)\)\n {4}-> rm -r '?\1/);
  });

  test("removes the data folder that the service has, and that of this terminal, before it has removed one of a stranger", async () => {
    const machine = fake("linux");
    const folder = join(machine.home, "data of the service");
    for (const one of [folder, join(machine.home, ".kamado")]) mkdirSync(one);
    settings(machine, `KAMADO_DATA_DIR="${folder}"`);
    await kamado(machine, "uninstall", "--data");
    expect(readdirSync(machine.home)).toEqual([".config"]);
    // Nothing is stopped or removed when one of the folders may not be.
    settings(machine, "KAMADO_DATA_DIR=/usr");
    await kamado(machine, "install");
    await expect(kamado(machine, "uninstall", "--data")).rejects.toMatchObject({ code: "config_invalid" });
    expect(machine.loaded.size).toBe(1);
  });

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

  test("with --dry-run says the same and changes nothing, and says in one line that no service is installed", async () => {
    const machine = fake("linux");
    settings(machine);
    const data = join(machine.home, ".kamado/aws");
    mkdirSync(data, { recursive: true });
    const [first, ...more] = (await kamado(machine, "uninstall", "--data", "--dry-run")).split("\n");
    expect(first).toBe("nothing to do: no service is installed");
    expect(more.join("\n")).toMatch(
      /^would remove .*\.kamado\nwould remove .*kamado\.env\nNothing was changed\. What would be left, and what removes it:\n/,
    );
    expect(more.join("\n")).not.toContain("settings (");
    await kamado(machine, "install");
    expect(await kamado(machine, "uninstall", "--dry-run")).not.toContain("is not installed");
    expect(await kamado(machine, "service", "uninstall", "engine")).toContain(
      "nothing to do: kamado-engine.service is not installed",
    );
    expect([existsSync(data), machine.loaded.size]).toEqual([true, 1]);
    expect(await kamado(fake("linux"), "service", "uninstall")).toBe(
      "nothing to do: no service is installed\n",
    );
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
