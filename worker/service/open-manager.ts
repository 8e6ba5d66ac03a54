// Which manager of services this machine has.
import { KamadoError } from "../errors.ts";
import { launchd } from "./launchd.ts";
import type { Machine } from "./machine.ts";
import type { Manager } from "./manager.ts";
import { systemd } from "./systemd.ts";

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
