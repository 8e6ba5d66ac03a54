// `kamado service`: the worker as a service of this machine, which starts by itself and stops in order. install, uninstall, status, logs
// and restart; --dry-run says what would be done.
import { dirname, join } from "node:path";
import { Command } from "commander";
import {
  type Config,
  configFileOf,
  HOME,
  serviceEnvFile,
  serviceEnvironment,
  variablesOfShell,
} from "../../config/config.ts";
import { KamadoError } from "../../errors.ts";
import { EXIT, paint, table } from "../../logging/terminal.ts";
import {
  installInMachine,
  prepareContainer,
  removeFromMachine,
  removeSecret,
} from "../../service/container.ts";
import { type Machine, thisMachine } from "../../service/machine.ts";
import { type Doing, failed, type Manager, makeLogs, managerFor, type State } from "../../service/manager.ts";
import { type Facts, PARTS, type Part, stopSecondsOf } from "../../service/units.ts";
import { configOf } from "../configuration.ts";
import { examples } from "../examples.ts";
import { flagsOf, numberFrom } from "../flags.ts";

const IMAGE = "localhost/kamado-worker:latest";

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
  const command = changing(parts(new Command("install"), "what to install, worker by default"));
  return examples(command, [
    "service install                     # queue or KAMADO_QUEUE_URL, worker and engine",
    "service install engine container    # the engine natively, the worker in Podman",
    "service install --daemon --user anna    # with sudo: a Mac nobody logs in to",
  ])
    .description("install services, or bring them up to date; what is as it should be is left alone")
    .option("--image <name>", "the image of the container", IMAGE)
    .action(async (names: string[], _, own: Command) => {
      const asked = partsFrom(names, ["worker"]);
      const on = await place(machine, own, asked);
      const chosen = await withWorker(on, asked);
      warnOfShell();
      if (machine.platform === "darwin") makeLogs(on.facts.logs, on.doing, on.owner);
      for (const service of on.manager.services(chosen, on.facts)) {
        if (service.part === "container") await prepareContainer(on.facts, on.doing);
        await on.manager.install(service, on.doing);
        if (service.part === "podman-machine") await installInMachine(on.facts, on.doing);
      }
      on.end("Installed. `kamado service status` shows whether it runs.");
    });
}

/** A worker that is there already must learn of an engine that becomes a service of its own: two would use the same port and memory. */
async function withWorker({ manager, facts, doing }: Place, asked: readonly Part[]): Promise<Part[]> {
  const [worker] = manager.services(["worker"], facts);
  const isThere = asked.includes("engine") && (await manager.state(worker!, doing.machine)).installed;
  return PARTS.filter((part) => asked.includes(part) || (part === "worker" && isThere));
}

function uninstall(machine: Machine): Command {
  const command = changing(parts(new Command("uninstall"), "what to remove, everything by default"));
  return examples(command, ["service uninstall --dry-run", "service uninstall engine"])
    .description("stop services and remove them; data, settings and logs stay")
    .action(async (names: string[], _, own: Command) => {
      const on = await place(machine, own, partsFrom(names, PARTS));
      await removeServices(on, partsFrom(names, PARTS));
      on.end("Removed.");
    });
}

/** Also of `kamado uninstall`. What is not there is left alone, so it may be called twice. */
export async function removeServices(
  { manager, facts, doing }: Place,
  chosen: readonly Part[],
): Promise<void> {
  for (const service of manager.services(chosen, facts)) {
    const { installed } = await manager.state(service, doing.machine);
    if (!installed) {
      doing.say({ did: false, what: `${service.name} is not installed` });
      continue;
    }
    if (service.part === "podman-machine") await removeFromMachine(doing);
    if (service.part === "podman-machine" || service.part === "container") await removeSecret(doing);
    await manager.uninstall(service, doing);
  }
}

function status(machine: Machine): Command {
  return examples(new Command("status"), [
    "service status",
    "service status --json | jq '.[] | select(.running | not)'",
  ])
    .description("show what is installed and whether it runs")
    .option("--daemon", "macOS: look at the LaunchDaemons")
    .option("--json", "print one JSON line")
    .addHelpText(
      "after",
      "\nExit codes: 0 all that is installed runs, 1 something does not, 3 nothing is installed.",
    )
    .action(async (_, own: Command) => {
      const on = await place(machine, own, PARTS);
      const states: State[] = [];
      for (const one of on.manager.services(PARTS, on.facts))
        states.push(await on.manager.state(one, machine));
      process.stdout.write(`${flagsOf(own).json === true ? JSON.stringify(states) : shown(states)}\n`);
      process.exitCode = codeOf(states);
    });
}

const codeOf = (states: readonly State[]) => {
  const installed = states.filter((state) => state.installed);
  if (installed.length === 0) return EXIT.unavailable;
  return installed.every(
    ({ running, part, lastExit }) => running || (part === "podman-machine" && lastExit === 0),
  )
    ? EXIT.ok
    : EXIT.failed;
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
  return examples(parts(new Command("logs"), "whose log, that of the worker by default"), [
    "service logs",
    "service logs engine --lines 500",
    "service logs --follow",
  ])
    .description("show the last lines that a service wrote")
    .option("--lines <n>", "how many", numberFrom(1, 1_000_000, { whole: true }), 50)
    .option("-f, --follow", "go on with new lines until Ctrl-C")
    .action(async (names: string[], _, own: Command) => {
      const on = await place(machine, own, PARTS);
      const { lines, follow } = flagsOf(own);
      for (const service of on.manager.services(partsFrom(names, ["worker"]).slice(0, 1), on.facts)) {
        const command = on.manager.logs(service, on.facts, { lines: Number(lines), follow: follow === true });
        const ran = await machine.run(command, { isShown: true });
        if (ran.code !== 0) throw failed(command, ran);
      }
    });
}

function restart(machine: Machine): Command {
  return examples(
    changing(parts(new Command("restart"), "what to restart, all that is installed by default")),
    ["service restart", "service restart engine"],
  )
    .description("stop services in order, so that running jobs are finished, and start them again")
    .action(async (names: string[], _, own: Command) => {
      const on = await place(machine, own, PARTS);
      let any = false;
      for (const one of on.manager.services(partsFrom(names, PARTS), on.facts)) {
        if (one.part === "podman-machine" || !(await on.manager.state(one, machine)).installed) continue;
        any = true;
        await on.manager.restart(one, on.doing);
      }
      if (!any)
        throw new KamadoError("config_invalid", "No such service is installed.", {
          hint: "`kamado service install` installs the worker.",
        });
      on.end("Restarted.");
    });
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

type Place = {
  manager: Manager;
  facts: Facts;
  doing: Doing;
  owner: { uid: number; gid: number } | undefined;
  end(words: string): void;
};

/** Where services are and what is known about this machine, from the configuration and the flags of a command. */
export async function place(
  machine: Machine,
  command: Command,
  chosen: readonly Part[],
  config: Config = configOf(),
): Promise<Place> {
  const { dryRun, daemon, user, image } = flagsOf(command);
  const isDry = dryRun === true;
  const owner = daemon === true ? await ownerOf(machine, user) : undefined;
  const home = owner?.home ?? machine.home;
  const on = { ...machine, home };
  const manager = managerFor(on, { daemon: daemon === true });
  const facts = factsOf(config, { home, image: String(image ?? IMAGE), user: owner?.name });
  const [engine] = manager.services(["engine"], facts);
  const isEngineApart = chosen.includes("engine") || (await manager.state(engine!, on)).installed;
  const say: Doing["say"] = ({ did, what }) =>
    void process.stdout.write(`${did ? (isDry ? "would " : "") : "nothing to do: "}${what}\n`);
  return {
    manager,
    facts: isEngineApart ? facts : { ...facts, engineUrl: undefined },
    doing: { machine: on, isDry, say },
    owner,
    end: (words) => void process.stdout.write(isDry ? "Nothing was changed.\n" : `${words}\n`),
  };
}

type Given = { home: string; image: string; user: string | undefined };

function factsOf(config: Config, { home, image, user }: Given): Facts {
  const file = configFileOf();
  return {
    root: HOME,
    node: process.execPath,
    home,
    folder: file === undefined || file.startsWith(join(home, ".config")) ? home : dirname(file),
    envFile: serviceEnvFile(home),
    logs: join(home, "Library/Logs/kamado"),
    stopSeconds: stopSecondsOf(config),
    image,
    user,
    // Two engines would need the model's memory twice.
    engineUrl: `http://127.0.0.1:${config.engine.port}`,
  };
}

type Owner = { name: string; home: string; uid: number; gid: number };

/** Of a LaunchDaemon: the files belong to root, and what runs does not. */
async function ownerOf(machine: Machine, name: unknown): Promise<Owner> {
  if (typeof name !== "string" || !/^[A-Za-z0-9_][\w.-]*$/.test(name) || name === "root")
    throw new KamadoError(
      "invalid_input",
      "--daemon: name the user that it runs as, with --user; not root.",
      {
        hint: "Run `sudo ./kamado service install --daemon --user NAME`.",
      },
    );
  const ask = async (command: string[]) => {
    const ran = await machine.run(command);
    if (ran.code !== 0) throw failed(command, ran);
    return ran.out.trim();
  };
  const [uid, gid] = [Number(await ask(["id", "-u", name])), Number(await ask(["id", "-g", name]))];
  return { name, uid, gid, home: await ask(["/bin/sh", "-c", `echo ~${name}`]) };
}

/** A service sees files, and not what somebody exported in a terminal. */
function warnOfShell(): void {
  const names = variablesOfShell();
  if (names.length > 0)
    process.stderr.write(
      `${paint("yellow", "kamado", process.stderr)}: a service does not see what is set in this terminal only: ${names.join(", ")}. Write it into kamado.toml or ${serviceEnvFile()}.\n`,
    );
}
