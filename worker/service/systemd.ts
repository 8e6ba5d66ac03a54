// Services of systemd's instance for a user, which run without a login once lingering is on. A container is one of Quadlet's.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { KamadoError } from "../errors.ts";
import { call, failed, removeFiles, writeFiles } from "./changes.ts";
import type { Machine } from "./machine.ts";
import type { Lines, Manager, Service } from "./manager.ts";
import { type Facts, type Part, QUADLETS, quadletOf, unitOf } from "./units.ts";

export function systemd(machine: Machine): Manager {
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
      const changed = writeFiles(one, doing);
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
      removeFiles(one, doing);
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
        lastExit: Number(ended ?? 0) > 0 && ExecMainStatus ? Number(ExecMainStatus) : null,
        file: one.files[0]!.path,
      };
    },
    logs: (one, _, options) => journal(one.name, options),
  };
}

/** The command that shows the last lines of a unit. */
export const journal = (unit: string, { lines, follow }: Lines): string[] => [
  "journalctl",
  "--user",
  `--unit=${unit}`,
  `--lines=${lines}`,
  "--no-pager",
  ...(follow ? ["--follow"] : []),
];

/** A Mac's containers run in a machine with a systemd of its own. */
export const inMachine = (command: string): string[] => ["podman", "machine", "ssh", command];
