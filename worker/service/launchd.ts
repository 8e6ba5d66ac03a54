// Services of macOS: LaunchAgents, or LaunchDaemons, which need nobody to log in. A worker in a container is one of the Podman machine, which
// a LaunchAgent starts.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { KamadoError } from "../errors.ts";
import { call, type Doing, removeFiles, writeFiles } from "./changes.ts";
import type { Machine } from "./machine.ts";
import type { Lines, Manager, Service } from "./manager.ts";
import { inMachine, journal } from "./systemd.ts";
import { type Facts, launchdLabel, plistOf } from "./units.ts";

/** launchctl ends with the system's own numbers. A service that takes a while to stop is under way; one that has ended meanwhile is gone. */
const IN_PROGRESS = 36;
const NO_SUCH_PROCESS = 3;

/** How often a service is looked at that has been asked to stop; there is no event to wait for. */
const LOOK_EVERY_MS = 250;

export function launchd(machine: Machine, daemon: boolean): Manager {
  const domain = daemon ? "system" : `gui/${machine.uid}`;
  const folder = daemon
    ? join(machine.systemRoot, "Library/LaunchDaemons")
    : join(machine.home, "Library/LaunchAgents");
  const target = ({ name }: Service) => `${domain}/${name}`;
  const print = (service: Service) => machine.run(["launchctl", "print", target(service)]);
  const isLoaded = async (service: Service) => (await print(service)).code === 0;

  const service = (part: Exclude<Service["part"], "container">, facts: Facts): Service => {
    const name = launchdLabel(part);
    return { part, name, files: [{ path: join(folder, `${name}.plist`), content: plistOf(part, facts) }] };
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
      const changed = writeFiles(one, doing);
      if (!changed && (await isLoaded(one))) return;
      await unload(one, doing, seconds);
      await load(one, doing);
    },
    stop: (one, doing) => unload(one, doing, secondsIn(one)),
    start: load,
    async uninstall(one, doing) {
      await unload(one, doing, secondsIn(one));
      removeFiles(one, doing);
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
const numberIn = (out: string, key: string) => {
  const found = new RegExp(`^\\s*${key} = (-?\\d+)`, "m").exec(out);
  return found ? Number(found[1]) : null;
};
const pidIn = (out: string) => numberIn(out, "pid");

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

/** As long as launchd waits for it: by the file that it read, which may be an older one. */
const secondsIn = ({ files: [file] }: Service) => {
  const texts = [file!.content, existsSync(file!.path) ? readFileSync(file!.path, "utf8") : ""];
  const limits = texts.map((text) => Number(/<key>ExitTimeOut<\/key><integer>(\d+)/.exec(text)?.[1] ?? 60));
  return Math.max(...limits) + 10;
};
