// `kamado service`: the worker as a service of this machine, which starts by itself and stops in order. install, uninstall, status, logs
// and restart; --dry-run says what would be done.
import { Command } from "commander";
import { serviceEnvironment } from "../../config/config.ts";
import { KamadoError } from "../../errors.ts";
import { EXIT, paint, table } from "../../logging/terminal.ts";
import { failed, makeLogs } from "../../service/changes.ts";
import {
  installInMachine,
  mountsOf,
  prepareContainer,
  removeFromMachine,
  removeSecrets,
} from "../../service/container.ts";
import { type Machine, thisMachine } from "../../service/machine.ts";
import { installedServices, type Service, type State } from "../../service/manager.ts";
import { PARTS, type Part } from "../../service/units.ts";
import { examples, notes } from "../examples.ts";
import { flagsOf, numberFrom } from "../flags.ts";
import { IMAGE, type Place, place, warnOfSettings } from "../service-place.ts";

export function serviceCommand(machine: Machine = thisMachine(serviceEnvironment())): Command {
  const service = new Command("service").description(
    "run Kamado as a service that starts by itself and stops in order",
  );
  for (const one of [install(machine), uninstall(machine), status(machine), logs(machine), restart(machine)])
    service.addCommand(one);
  return examples(service, [
    "service install --dry-run",
    "service install",
    "service status",
    "service logs --follow",
  ]);
}

const parts = (command: Command, words: string) =>
  command.argument("[part...]", `${words}: ${PARTS.join(", ")}`);

/** Of a command that changes something. */
const changing = (command: Command) =>
  command
    .option("--dry-run", "change nothing, and say what would be done")
    .option("--daemon", "macOS: as a LaunchDaemon, which needs nobody to log in; run it with sudo")
    .option("--user <name>", "with --daemon: whom it runs as");

function install(machine: Machine): Command {
  const command = changing(
    parts(new Command("install"), "what to install, by default what is installed already, else worker"),
  );
  return examples(command, [
    "service install                         # all in one process",
    "service install engine container        # the worker in Podman",
    "service install --daemon --user anna    # for a Mac without a login",
  ])
    .description("install services, or bring them up to date; what is as it should be is left alone")
    .option("--image <name>", "the image of the container", IMAGE)
    .action(async (names: string[], _, own: Command) => {
      const on = await place(machine, own, partsFrom(names, []), { mustFit: true });
      const asked = names.length > 0 ? partsFrom(names, []) : await installedOr(on, ["worker"]);
      const chosen = await withWorker(on, asked);
      await refuseTwice(on, chosen);
      refuseAnyPort(on, chosen);
      const facts = chosen.includes("container")
        ? { ...on.facts, mounts: mountsOf(on.facts.envFile) }
        : on.facts;
      warnOfSettings(machine, on);
      if (machine.platform === "darwin") makeLogs(on.facts.logs, on.doing, on.owner);
      for (const service of on.manager.services(chosen, facts)) {
        if (service.part === "container") await prepareContainer(facts, on.doing);
        await on.manager.install(service, on.doing);
        if (service.part === "podman-machine") await installInMachine(facts, on.doing);
      }
      on.end("Installed. `kamado service status` shows whether it runs.");
    });
}

/** As an agent and as a daemon the same service would use the same ports and the same memory. */
async function refuseTwice({ other, facts, doing }: Place, chosen: readonly Part[]): Promise<void> {
  if (other === undefined) return;
  const [found] = await installedServices(other, chosen, facts, doing.machine);
  if (found === undefined) return;
  const { service, state } = found;
  throw new KamadoError(
    "config_invalid",
    `${service.name} is installed in the other way already: ${state.file}.`,
    { hint: `Remove that (${other.removal}), and run the command again.` },
  );
}

/** At another port after each start nobody would find an engine that is a service of its own. */
function refuseAnyPort({ facts, config }: Place, chosen: readonly Part[]): void {
  const isApart = chosen.includes("engine") || facts.engineUrl !== undefined;
  if (!isApart || config.engine.port !== 0) return;
  throw new KamadoError(
    "config_invalid",
    "KAMADO_ENGINE_PORT: 0 is another port at each start, where no worker finds the engine's service.",
    {
      hint: `Set it to one port, such as 4781, in ${facts.envFile} or kamado.toml, and run the command again.`,
    },
  );
}

/** What is installed, so that a call without names brings all of it up to date and adds nothing. */
async function installedOr({ manager, facts, doing }: Place, otherwise: readonly Part[]): Promise<Part[]> {
  const there: Part[] = [];
  for (const part of PARTS)
    if ((await installedServices(manager, [part], facts, doing.machine)).length > 0) there.push(part);
  return there.length > 0 ? there : [...otherwise];
}

/** A worker that is there already must learn of an engine that becomes a service of its own: two would use the same port and memory. */
async function withWorker({ manager, facts, doing }: Place, asked: readonly Part[]): Promise<Part[]> {
  const there = await installedServices(manager, ["worker"], facts, doing.machine);
  const mustLearn = asked.includes("engine") && there.length > 0;
  return PARTS.filter((part) => asked.includes(part) || (part === "worker" && mustLearn));
}

function uninstall(machine: Machine): Command {
  const command = changing(parts(new Command("uninstall"), "what to remove, everything by default"));
  return examples(command, ["service uninstall --dry-run", "service uninstall engine"])
    .description("stop services and remove them; data, settings and logs stay")
    .action(async (names: string[], _, own: Command) => {
      const chosen = partsFrom(names, PARTS);
      const on = await place(machine, own, chosen);
      if ((await removeServices(on, chosen)) === 0) return;
      if (chosen.includes("engine") && !chosen.includes("worker")) await giveEngineBack(on);
      on.end("Removed.");
    });
}

/** The worker that used the engine's service starts an engine of its own again. */
async function giveEngineBack({ manager, facts, doing }: Place): Promise<void> {
  const own = { ...facts, engineUrl: undefined };
  for (const { service } of await installedServices(manager, ["worker"], own, doing.machine))
    await manager.install(service, doing);
}

/** Also of `kamado uninstall`. What is not there is left alone, so it may be called twice. Resolves with how many were there. */
export async function removeServices(
  { manager, facts, doing }: Place,
  chosen: readonly Part[],
): Promise<number> {
  const services = manager.services(chosen, facts);
  const states = await Promise.all(services.map((service) => manager.state(service, doing.machine)));
  const there = services.filter((_, index) => states[index]!.installed);
  const [only] = services.length === 1 ? services : [];
  if (there.length === 0)
    doing.say({ did: false, what: only ? `${only.name} is not installed` : "no service is installed" });
  for (const service of there) {
    if (service.part === "podman-machine") await removeFromMachine(doing);
    if (service.part === "podman-machine" || service.part === "container") await removeSecrets(doing);
    await manager.uninstall(service, doing);
  }
  return there.length;
}

function status(machine: Machine): Command {
  const command = examples(new Command("status"), [
    "service status",
    "service status --json | jq '.[] | select(.running | not)'",
  ]);
  return notes(
    command,
    "Exit codes: 0 all that is installed runs, 1 something does not, 3 nothing is installed.",
  )
    .description("show what is installed and whether it runs")
    .option("--daemon", "macOS: look at the LaunchDaemons")
    .option("--json", "print one JSON line")
    .action(async (_, own: Command) => {
      const on = await place(machine, own, PARTS);
      const states: State[] = [];
      for (const one of on.manager.services(PARTS, on.facts))
        states.push(await on.manager.state(one, machine));
      if (on.other)
        states.push(
          ...(await installedServices(on.other, PARTS, on.facts, machine)).map(({ state }) => state),
        );
      process.stdout.write(`${flagsOf(own).json === true ? JSON.stringify(states) : shown(states)}\n`);
      process.exitCode = codeOf(states);
    });
}

const codeOf = (states: readonly State[]) => {
  const installed = states.filter((state) => state.installed);
  if (installed.length === 0) return EXIT.unavailable;
  return installed.every(({ running }) => running) ? EXIT.ok : EXIT.failed;
};

function shown(states: readonly State[]): string {
  const installed = states.filter((state) => state.installed);
  if (installed.length === 0) return "No service is installed. `kamado service install` installs the worker.";
  const columns = [
    { title: "service" },
    { title: "state", styled: true as const },
    { title: "pid" },
    { title: "last exit" },
  ];
  const rows = installed.map(({ part, running, pid, lastExit }) => [
    part,
    running ? paint("green", "running") : paint("red", "not running"),
    String(pid ?? "-"),
    String(lastExit ?? "-"),
  ]);
  return `${table(columns, rows)}\n${installed.map(({ part, file }) => `${part}: ${file}`).join("\n")}`;
}

function logs(machine: Machine): Command {
  return examples(
    parts(new Command("logs"), "whose log, by default the worker's, native or in its container"),
    ["service logs", "service logs engine --lines 500", "service logs --follow"],
  )
    .description("show the last lines that a service wrote")
    .option("--lines <n>", "how many", numberFrom(1, 1_000_000, { whole: true }), 50)
    .option("-f, --follow", "go on with new lines until Ctrl-C")
    .action(async (names: string[], _, own: Command) => {
      const on = await place(machine, own, PARTS);
      const { lines, follow } = flagsOf(own);
      const asked = names.length > 0 ? partsFrom(names, []) : await logged(on);
      for (const service of on.manager.services(asked.slice(0, 1), on.facts)) {
        const command = on.manager.logs(service, on.facts, { lines: Number(lines), follow: follow === true });
        const ran = await machine.run(command, { isShown: true });
        if (ran.code !== 0) throw failed(command, ran);
      }
    });
}

/** The worker first; an engine alone has a log too. */
async function logged(on: Place): Promise<Part[]> {
  const there = await installedOr(on, ["worker"]);
  return (["worker", "container", "engine"] as const).filter((part) => there.includes(part));
}

function restart(machine: Machine): Command {
  return examples(
    changing(parts(new Command("restart"), "what to restart, all that is installed by default")),
    ["service restart", "service restart engine"],
  )
    .description("stop services in order, so that running jobs are finished, and start them again")
    .action(async (names: string[], _, own: Command) => {
      const on = await place(machine, own, PARTS);
      const found = await installedServices(on.manager, partsFrom(names, PARTS), on.facts, machine);
      const there = found.map(({ service }) => service);
      if (there.length === 0)
        throw new KamadoError("config_invalid", "No such service is installed.", {
          hint: "`kamado service install` installs the worker.",
        });
      await restartAll(on, there);
      on.end("Restarted.");
    });
}

/** A worker needs the engine to finish its jobs, so the two are stopped one after the other. */
async function restartAll({ manager, doing }: Place, there: readonly Service[]): Promise<void> {
  const pair = there.filter(({ part }) => part === "worker" || part === "engine");
  const isPair = pair.length === 2;
  if (isPair) for (const one of pair) await manager.stop(one, doing);
  if (isPair) for (const one of pair.toReversed()) await manager.start(one, doing);
  for (const one of there) if (!isPair || !pair.includes(one)) await manager.restart(one, doing);
}

function partsFrom(names: readonly string[], otherwise: readonly Part[]): Part[] {
  const unknown = names.find((name) => !PARTS.includes(name as Part));
  if (unknown !== undefined)
    throw new KamadoError(
      "invalid_input",
      `There is no service ${JSON.stringify(unknown)}; there are ${PARTS.join(", ")}.`,
    );
  const chosen = names.length === 0 ? otherwise : PARTS.filter((part) => names.includes(part));
  return [...chosen];
}
