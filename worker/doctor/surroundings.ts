// What Kamado needs around it: the receivers of the destinations file, its ports, its services, and on a Mac the Podman machine.
import { createServer } from "node:net";
import type { Config } from "../config/config.ts";
import { toKamadoError } from "../errors.ts";
import { isLoopback } from "../http/loopback.ts";
import { whyNotFree } from "../http/who-listens.ts";
import { type Destinations, loadDestinations } from "../outbound/destinations.ts";
import { tryConnection } from "../outbound/try-connection.ts";
import type { Machine } from "../service/machine.ts";
import type { State } from "../service/manager.ts";
import { type Finding, fail, failed, ok, warn } from "./finding.ts";
import { LOOK } from "./machine.ts";

/** Connects to each receiver, and sends nothing. */
export async function destinationFindings(file: string | undefined): Promise<Finding[]> {
  if (file === undefined)
    return [ok("destinations", "no file: only public https addresses, which jobs name")];
  let destinations: Destinations;
  try {
    destinations = loadDestinations(file);
  } catch (thrown) {
    return [failed("destinations", toKamadoError(thrown, "config_invalid"))];
  }
  const origins = new Map(
    destinations.map(({ match, allowPrivate }) => [
      `${new URL(match).origin} ${allowPrivate}`,
      { match, allowPrivate },
    ]),
  );
  if (origins.size === 0) return [ok("destinations", `${file} lists none`)];
  return Promise.all([...origins.values()].map(destinationFinding));
}

async function destinationFinding({
  match,
  allowPrivate,
}: {
  match: string;
  allowPrivate: boolean;
}): Promise<Finding> {
  const { origin, hostname } = new URL(match);
  const error = await tryConnection(match, { allowPrivate });
  if (error === null) return ok("destination", `${origin} takes connections`);
  if (error.code === "address_refused")
    return fail(
      "destination",
      error.message,
      'Set "allowPrivate": true for it in the destinations file, if it is in your network.',
    );
  return fail(
    "destination",
    error.message.replace(`${hostname}: `, `${origin}: `),
    "Start it or correct its address; until then deliveries to it are tried again for three days.",
  );
}

type Port = { check: string; port: number; host: string; variable: string };

/** Of what would be started: whether it could listen there. */
export async function portFindings({ web, engine, localPort, queueUrl }: Config): Promise<Finding[]> {
  const loopback = "127.0.0.1";
  const ports: Port[] = [{ check: "web port", port: web.port, host: web.host, variable: "KAMADO_WEB_PORT" }];
  if (engine.url === undefined)
    ports.push({
      check: "engine port",
      port: engine.port,
      host: engine.host,
      variable: "KAMADO_ENGINE_PORT",
    });
  if (queueUrl === undefined)
    ports.push({ check: "queue port", port: localPort, host: loopback, variable: "KAMADO_LOCAL_PORT" });
  const found = await Promise.all(ports.map(portFinding));
  if (isLoopback(web.host) || web.token || web.readToken || web.access) return found;
  const open = fail(
    "web port",
    `${web.host} can be reached from outside`,
    "Set KAMADO_WEB_TOKEN or KAMADO_WEB_TOKEN_FILE too.",
  );
  return [open, ...found.slice(1)];
}

async function portFinding({ check, port, host, variable }: Port): Promise<Finding> {
  if (port === 0) return ok(check, "any that is free");
  const { promise, resolve } = Promise.withResolvers<string | undefined | null>();
  const server = createServer().once("error", ({ code }: NodeJS.ErrnoException) => resolve(code));
  server.listen(port, host, () => server.close(() => resolve(null)));
  const code = await promise;
  if (code === null) return ok(check, `${port} is free`);
  const at = `http://${host.includes(":") ? `[${host}]` : host === "0.0.0.0" ? "127.0.0.1" : host}:${port}`;
  return fail(
    check,
    `${port} of ${host} ${await whyNotFree(code, at)}`,
    `Stop what listens there, or set ${variable}.`,
  );
}

/** `lingers`: on Linux, whether a user's services run without a login. */
export function serviceFindings(states: readonly State[], lingers: boolean | undefined): Finding[] {
  const installed = states.filter((state) => state.installed);
  if (installed.length === 0)
    return [ok("service", "none is installed; `kamado service install` makes Kamado start by itself")];
  const found = installed.map(({ part, running, lastExit }) => {
    // It starts the machine and ends.
    if (part === "podman-machine" && lastExit === 0) return ok("service", `${part} is installed`);
    if (running) return ok("service", `${part} runs`);
    const how = lastExit === null ? "" : `, its last exit code is ${lastExit}`;
    return fail(
      "service",
      `${part} is installed and does not run${how}`,
      `\`kamado service logs ${part}\` says why; \`kamado service restart ${part}\` starts it.`,
    );
  });
  if (lingers !== false) return found;
  return [
    ...found,
    warn("service", "ends when you log out, and starts when you log in", "Run `loginctl enable-linger`."),
  ];
}

/** Undefined where systemd does not say. */
export async function lingersOn(machine: Machine): Promise<boolean | undefined> {
  const { code, out } = await machine.run(["loginctl", "show-user", machine.user, "--property=Linger"], LOOK);
  return code === 0 ? out.trim() === "Linger=yes" : undefined;
}

/** How far the machine's clock may be from that of the Mac. It stands still while the Mac sleeps. */
const MOST_DRIFT_MS = 30_000;

/** On a Mac containers run in a virtual machine. `isNeeded`: the worker is installed as a container. */
export async function podmanFinding(machine: Machine, isNeeded: boolean): Promise<Finding> {
  const check = "Podman machine";
  const { code, out } = await machine.run(["podman", "machine", "inspect"], LOOK);
  const worse = isNeeded ? fail : warn;
  if (code === 127)
    return isNeeded
      ? fail(
          check,
          "Podman is not installed",
          "Install it (podman.io), or install the worker natively: `kamado service install worker`.",
        )
      : ok(check, "no Podman, which only the worker in a container needs");
  const inspected = machineIn(out);
  if (inspected === undefined)
    return isNeeded
      ? fail(check, "there is none", "Run `podman machine init` and `podman machine start`.")
      : ok(check, "none, which only the worker in a container needs");
  const { name, state } = inspected;
  if (state !== "running") return worse(check, `${name} is ${state}`, "Run `podman machine start`.");
  const asked = await machine.run(["podman", "machine", "ssh", "date +%s"], LOOK);
  const driftMs = Number(asked.out.trim() || Number.NaN) * 1_000 - Date.now();
  if (asked.code === 0 && Math.abs(driftMs) > MOST_DRIFT_MS)
    return worse(
      check,
      `${name} runs, and its clock is off by ${Math.round(Math.abs(driftMs) / 1_000)} s`,
      "Run `podman machine stop` and `podman machine start`.",
    );
  return ok(check, `${name} runs`);
}

function machineIn(json: string): { name: string; state: string } | undefined {
  try {
    const [{ Name = "it", State = "unknown" } = {}] = JSON.parse(json) as { Name?: string; State?: string }[];
    return JSON.parse(json).length === 0 ? undefined : { name: Name, state: State };
  } catch {
    return undefined;
  }
}
