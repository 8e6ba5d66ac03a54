// Installing, removing and looking at services, for launchd (macOS) and systemd with Quadlet (Linux). Owns the order of the calls and that
// a second call changes nothing. What is in the files is units.ts; what runs the calls is a Machine.
import { chownSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { KamadoError } from "../errors.ts";
import { makeFolder } from "../make-folder.ts";
import type { Machine, Ran } from "./machine.ts";
import { type Facts, launchdLabel, type Part, plistOf, QUADLETS, quadletOf, unitOf } from "./units.ts";

/** One service that the system runs: its file, or files, and the name by which the system knows it. */
export type Service = {
  part: Part | "podman-machine";
  name: string;
  files: readonly { path: string; content: string }[];
};

/** What was done, or would be: `did` is false when there was nothing to do. */
export type Step = { did: boolean; what: string };
/** `isDry`: nothing is changed, only said. */
export type Doing = { machine: Machine; isDry: boolean; say(step: Step): void };

export type State = {
  part: string;
  installed: boolean;
  running: boolean;
  pid: number | null;
  /** The exit code of the last run that ended. */
  lastExit: number | null;
  file: string;
};

export interface Manager {
  services(parts: readonly Part[], facts: Facts): Service[];
  install(service: Service, doing: Doing): Promise<void>;
  uninstall(service: Service, doing: Doing): Promise<void>;
  restart(service: Service, doing: Doing): Promise<void>;
  /** Resolves when it has stopped. It stays installed. */
  stop(service: Service, doing: Doing): Promise<void>;
  start(service: Service, doing: Doing): Promise<void>;
  state(service: Service, machine: Machine): Promise<State>;
  /** The command that removes all of them, for a person. */
  removal: string;
  /** The command that shows the last lines, and goes on with `follow`. */
  logs(service: Service, facts: Facts, options: Lines): string[];
}

export function managerFor(machine: Machine, { daemon }: { daemon: boolean }): Manager {
  if (machine.platform === "darwin") return launchd(machine, daemon);
  if (machine.platform === "linux" && !daemon) return systemd(machine);
  throw new KamadoError(
    "config_invalid",
    daemon
      ? "--daemon: only macOS has LaunchDaemons; on Linux a user's services run without a login once lingering is on, which install sees to."
      : `kamado service knows launchd and systemd; this is ${machine.platform}.`,
    { hint: "docs/service.md says how to run the worker under another supervisor." },
  );
}

/** Those of these parts that are installed, and how they are. */
export async function installedServices(
  manager: Manager,
  parts: readonly Part[],
  facts: Facts,
  machine: Machine,
): Promise<{ service: Service; state: State }[]> {
  const found: { service: Service; state: State }[] = [];
  for (const service of manager.services(parts, facts)) {
    const state = await manager.state(service, machine);
    if (state.installed) found.push({ service, state });
  }
  return found;
}

/** launchctl ends with the system's own numbers. A service that takes a while to stop is under way; one that has ended meanwhile is gone. */
const IN_PROGRESS = 36;
const NO_SUCH_PROCESS = 3;

/** How often a service is looked at that has been asked to stop; there is no event to wait for. */
const LOOK_EVERY_MS = 250;

function launchd(machine: Machine, daemon: boolean): Manager {
  const domain = daemon ? "system" : `gui/${machine.uid}`;
  const folder = daemon
    ? join(machine.systemRoot, "Library/LaunchDaemons")
    : join(machine.home, "Library/LaunchAgents");
  const target = ({ name }: Service) => `${domain}/${name}`;
  const print = (service: Service) => machine.run(["launchctl", "print", target(service)]);
  const isLoaded = async (service: Service) => (await print(service)).code === 0;

  const service = (part: Service["part"], facts: Facts): Service => {
    const name = part === "container" ? "podman-machine" : part;
    const label = launchdLabel(name);
    return {
      part,
      name: label,
      files: [{ path: join(folder, `${label}.plist`), content: plistOf(name, facts) }],
    };
  };

  async function unload(one: Service, doing: Doing, limitSeconds: number): Promise<void> {
    if (!(await isLoaded(one))) return;
    await call(["launchctl", "bootout", target(one)], doing, { mayEndWith: [IN_PROGRESS, NO_SUCH_PROCESS] });
    if (doing.isDry) return;
    const end = performance.now() + limitSeconds * 1_000;
    while (await isLoaded(one)) {
      if (performance.now() > end)
        throw new KamadoError("stopping", `${one.name} has not stopped after ${limitSeconds} s.`, {
          hint: `Look at it with \`launchctl print ${target(one)}\`, and run the command again.`,
        });
      await sleep(LOOK_EVERY_MS);
    }
  }

  async function load(one: Service, doing: Doing): Promise<void> {
    // One that was disabled once cannot be loaded.
    await call(["launchctl", "enable", target(one)], doing);
    await call(["launchctl", "bootstrap", domain, one.files[0]!.path], doing);
  }

  return {
    removal: daemon ? "sudo ./kamado uninstall --daemon" : "./kamado uninstall, as its user",
    services: (parts, facts) =>
      parts.map((part) => service(part === "container" ? "podman-machine" : part, facts)),
    async install(one, doing) {
      const seconds = secondsIn(one);
      const changed = write(one, doing);
      if (!changed && (await isLoaded(one))) return;
      await unload(one, doing, seconds);
      await load(one, doing);
    },
    stop: (one, doing) => unload(one, doing, secondsIn(one)),
    start: load,
    async uninstall(one, doing) {
      await unload(one, doing, secondsIn(one));
      remove(one, doing);
    },
    async restart(one, doing) {
      if (one.part === "podman-machine")
        return call(inMachine("systemctl --user restart kamado.service"), doing);
      const isRunning = pidIn((await print(one)).out) !== null;
      // KeepAlive starts it again; `kickstart -k` would not promise the time to stop in order. One that waits after a failure starts now.
      await call(["launchctl", ...(isRunning ? ["kill", "SIGTERM"] : ["kickstart"]), target(one)], doing);
    },
    async state(one) {
      const { code, out } = await print(one);
      const isRunning = code === 0 && /^\s*state = running$/m.test(out);
      // What is asked for is the worker in the machine.
      const isWhole =
        one.part !== "podman-machine" ||
        (isRunning && (await machine.run(inMachine("systemctl --user is-active kamado.service"))).code === 0);
      return {
        part: one.part,
        installed: code === 0 || existsSync(one.files[0]!.path),
        running: isRunning && isWhole,
        pid: pidIn(out),
        lastExit: numberIn(out, "last exit code"),
        file: one.files[0]!.path,
      };
    },
    logs: (one, { logs }, options) =>
      one.part === "podman-machine"
        ? inMachine(journal("kamado.service", options).join(" "))
        : tail(join(logs, `${one.name.replace("kamado.", "")}.log`), options),
  };
}

/** In what `launchctl print` says. */
const numberIn = (out: string, key: string) =>
  orNull(Number(new RegExp(`^\\s*${key} = (-?\\d+)`, "m").exec(out)?.[1] ?? Number.NaN));
const pidIn = (out: string) => numberIn(out, "pid");

type Lines = { lines: number; follow: boolean };

function tail(path: string, { lines, follow }: Lines): string[] {
  if (!existsSync(path))
    throw new KamadoError(
      "config_invalid",
      `${path} is not there: the service has not run, or somebody removed it.`,
      {
        hint: "`kamado service status` shows whether it runs; `kamado service restart` makes the file anew.",
      },
    );
  return ["tail", "-n", String(lines), ...(follow ? ["-F"] : []), path];
}

const journal = (unit: string, { lines, follow }: Lines): string[] => [
  "journalctl",
  "--user",
  `--unit=${unit}`,
  `--lines=${lines}`,
  "--no-pager",
  ...(follow ? ["--follow"] : []),
];

/** A Mac's containers run in a machine with a systemd of its own. */
export const inMachine = (command: string): string[] => ["podman", "machine", "ssh", command];

/** As long as launchd waits for it: by the file that it read, which may be an older one. */
const secondsIn = ({ files: [file] }: Service) => {
  const texts = [file!.content, existsSync(file!.path) ? readFileSync(file!.path, "utf8") : ""];
  const limits = texts.map((text) => Number(/<key>ExitTimeOut<\/key><integer>(\d+)/.exec(text)?.[1] ?? 60));
  return Math.max(...limits) + 10;
};

function systemd(machine: Machine): Manager {
  const ctl = (...list: string[]) => ["systemctl", "--user", ...list];
  const service = (part: Part, facts: Facts): Service => {
    const at = (path: string, content: string) => ({ path: join(machine.home, ".config", path), content });
    if (part !== "container") {
      const name = `kamado-${part}.service`;
      return { part, name, files: [at(`systemd/user/${name}`, unitOf(part, facts))] };
    }
    return {
      part,
      name: "kamado.service",
      files: QUADLETS.map((file) => at(`containers/systemd/${file}`, quadletOf(file, facts))),
    };
  };
  const properties = async ({ name }: Service) => {
    const { out } = await machine.run(
      ctl(
        "show",
        name,
        "--property=LoadState,ActiveState,MainPID,ExecMainStatus,ExecMainExitTimestampMonotonic",
      ),
    );
    return Object.fromEntries(out.split("\n").map((line) => line.split(/=(.*)/s) as [string, string]));
  };
  /** Throws before anything is written where no command could be carried out. */
  async function needInstance(command: string[]): Promise<void> {
    const ran = await machine.run(command);
    if (ran.code === 0) return;
    if (ran.code === 127) throw failed(command, ran);
    throw new KamadoError("service_failed", failed(command, ran).message, {
      hint: "This needs systemd and its instance for your user. Run the command as that user and without sudo; after `su` or in a bare ssh session, `export XDG_RUNTIME_DIR=/run/user/$(id -u)` first.",
    });
  }
  const isActive = async (one: Service) =>
    ["active", "activating"].includes((await properties(one)).ActiveState ?? "");

  return {
    removal: "./kamado uninstall, as its user",
    services: (parts, facts) => parts.map((part) => service(part, facts)),
    async install(one, doing) {
      if (!doing.isDry) await needInstance(ctl("show", "--property=Version"));
      const changed = write(one, doing);
      // Without it the services of a user end when the user logs out, and begin at the next login only.
      const { out } = await machine.run(["loginctl", "show-user", machine.user, "--property=Linger"]);
      if (out.trim() !== "Linger=yes") await call(["loginctl", "enable-linger", machine.user], doing);
      if (!changed && (await isActive(one))) return;
      await call(ctl("daemon-reload"), doing);
      // Podman's generator enables what it makes.
      if (one.part !== "container") await call(ctl("enable", one.name), doing);
      await call(ctl("restart", one.name), doing);
    },
    async uninstall(one, doing) {
      if (await isActive(one)) await call(ctl("stop", one.name), doing);
      const isThere = one.files.some(({ path }) => existsSync(path));
      if (isThere && one.part !== "container") await call(ctl("disable", one.name), doing);
      remove(one, doing);
      if (isThere) await call(ctl("daemon-reload"), doing);
    },
    restart: (one, doing) => call(ctl("restart", one.name), doing),
    stop: (one, doing) => call(ctl("stop", one.name), doing),
    start: (one, doing) => call(ctl("start", one.name), doing),
    async state(one) {
      const {
        LoadState,
        ActiveState,
        MainPID,
        ExecMainStatus,
        ExecMainExitTimestampMonotonic: ended,
      } = await properties(one);
      const pid = Number(MainPID ?? 0);
      return {
        part: one.part,
        installed: LoadState === "loaded" || existsSync(one.files[0]!.path),
        running: ActiveState === "active",
        pid: pid > 0 ? pid : null,
        lastExit: Number(ended ?? 0) > 0 ? orNull(Number(ExecMainStatus)) : null,
        file: one.files[0]!.path,
      };
    },
    logs: (one, _, options) => journal(one.name, options),
  };
}

const orNull = (value: number) => (Number.isFinite(value) ? value : null);

/** Whether a file had to be written. */
function write({ files }: Service, { isDry, say }: Doing): boolean {
  const changed = files.filter(
    ({ path, content }) => !existsSync(path) || readFileSync(path, "utf8") !== content,
  );
  for (const { path } of files.filter((file) => !changed.includes(file)))
    say({ did: false, what: `${path} is as it should be` });
  for (const { path, content } of changed) {
    say({ did: true, what: `write ${path}${isDry ? `\n${indented(content)}` : ""}` });
    if (isDry) continue;
    writable(path, () => {
      makeFolder(dirname(path));
      // launchd refuses a file that others could have written; no secret is in it.
      writeFileSync(path, content, { mode: 0o644 });
    });
  }
  return changed.length > 0;
}

function remove({ files }: Service, { isDry, say }: Doing): void {
  for (const { path } of files) {
    if (!existsSync(path)) say({ did: false, what: `${path} is not there` });
    else {
      say({ did: true, what: `remove ${path}` });
      if (!isDry) writable(path, () => rmSync(path, { force: true }));
    }
  }
}

/** A folder for the logs, which launchd does not make. `owner`: whom a LaunchDaemon runs as. */
export function makeLogs(path: string, doing: Doing, owner?: { uid: number; gid: number }): void {
  if (existsSync(path)) return;
  doing.say({ did: true, what: `make the folder ${path}` });
  if (doing.isDry) return;
  writable(path, () => {
    makeFolder(path, 0o700);
    if (owner) chownSync(path, owner.uid, owner.gid);
  });
}

function writable(path: string, change: () => void): void {
  try {
    change();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const isFull = code === "ENOSPC" || code === "EDQUOT";
    throw new KamadoError(isFull ? "disk_full" : "config_invalid", `${path} cannot be changed (${code}).`, {
      cause,
      hint: isFull
        ? "Free some disk space and run the command again."
        : "Run the command as the user that owns the folder; for a LaunchDaemon, with sudo.",
    });
  }
}

/**
 * Runs a command that changes something. `mayEndWith`: exit codes that are no failure. Throws `tool_missing` when there is no such command,
 * `service_failed` when it fails.
 */
export async function call(
  command: readonly string[],
  { machine, isDry, say }: Doing,
  { input, mayEndWith = [] }: { input?: string; mayEndWith?: readonly number[] } = {},
): Promise<void> {
  say({ did: true, what: `run ${command.join(" ")}` });
  if (isDry) return;
  const ran = await machine.run(command, input === undefined ? {} : { input });
  if (ran.code !== 0 && !mayEndWith.includes(ran.code)) throw failed(command, ran);
}

export function failed(command: readonly string[], { code, out, errors }: Ran): KamadoError {
  const line = command.join(" ");
  if (code === 127)
    return new KamadoError("tool_missing", `${command[0]} is not here: \`${line}\` cannot be run.`);
  const said = `${errors}\n${out}`.trim().split("\n").slice(-5).join("\n  ");
  return new KamadoError(
    "service_failed",
    `\`${line}\` ended with exit code ${code}.${said && `\n  ${said}`}`,
  );
}

const indented = (text: string) => text.trimEnd().replaceAll(/^/gm, "    ");
