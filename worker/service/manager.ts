// The port to what runs services on a machine: installing, removing and looking at them. Its adapters are launchd.ts (macOS) and systemd.ts
// (Linux, with Quadlet for a container).
import type { Doing } from "./changes.ts";
import type { Machine } from "./machine.ts";
import type { Facts, Part } from "./units.ts";

/** One service that the system runs: its file, or files, and the name by which the system knows it. */
export type Service = {
  part: Part | "podman-machine";
  name: string;
  files: readonly { path: string; content: string }[];
};

export type State = {
  part: string;
  installed: boolean;
  running: boolean;
  pid: number | null;
  /** The exit code of the last run that ended. */
  lastExit: number | null;
  file: string;
};

/** A second call of `install` or `uninstall` changes nothing. */
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

export type Lines = { lines: number; follow: boolean };

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
