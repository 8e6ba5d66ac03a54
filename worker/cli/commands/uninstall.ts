// `kamado uninstall`: removes what Kamado put outside of its own folder, and says what it leaves and which command removes that. Nothing in
// a queue or a bucket is touched.
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, parse, resolve } from "node:path";
import { Command } from "commander";
import { type Config, HOME, loadConfig, serviceEnvironment, userConfigPath } from "../../config/config.ts";
import { KamadoError } from "../../errors.ts";
import { removePath } from "../../service/changes.ts";
import { type Machine, thisMachine } from "../../service/machine.ts";
import { installedServices } from "../../service/manager.ts";
import { PARTS } from "../../service/units.ts";
import { examples } from "../examples.ts";
import { flagsOf } from "../flags.ts";
import { findService } from "../running-service.ts";
import { IMAGE, type Place, place } from "../service-place.ts";
import { shellWord } from "../shell-word.ts";
import { removeServices } from "./service.ts";

export function uninstallCommand(machine: Machine = thisMachine(serviceEnvironment())): Command {
  return examples(new Command("uninstall"), [
    "uninstall --dry-run",
    "uninstall           # services and logs; data and settings stay",
    "uninstall --data    # those too",
  ])
    .description("stop and remove Kamado's services and logs on this machine, and name what is left")
    .option("--dry-run", "change nothing, and say what would be done")
    .option(
      "--data",
      "remove the data folder (embedded queue, calibrations, built programs, models) and settings too",
    )
    .option("--daemon", "macOS: remove the LaunchDaemons; run it with sudo")
    .option("--user <name>", "with --daemon: whom they run as")
    .action(async (_, command: Command) => {
      const { data, dryRun } = flagsOf(command);
      const on = await place(machine, command, PARTS, { mustFit: data === true });
      const own = ownPaths(on, data === true);
      for (const path of own) refuseToRemove(path);
      const services = await removeServices(on, PARTS);
      // What runs may be one of the services, which a dry run does not stop.
      if (dryRun !== true || services === 0) await refuseWhileRunning(configs(on));
      for (const path of own) removePath(path, on.doing);
      const left = (await leftOf(machine, on, own)).join("\n");
      on.end(
        `Removed. What is left, and what removes it:\n${left}`,
        `What would be left, and what removes it:\n${left}`,
      );
    });
}

/** Of the services, and of this terminal: each may have a data folder of its own. */
function configs({ config }: Place): Config[] {
  try {
    return [config, loadConfig()];
  } catch {
    return [config];
  }
}

const dataFolders = (on: Place) => [...new Set(configs(on).map(({ dataDir }) => resolve(dataDir)))];

const ownPaths = (on: Place, withData: boolean): string[] =>
  [on.facts.logs, ...(withData ? [...dataFolders(on), on.facts.envFile, userConfigPath()] : [])].filter(
    (path) => existsSync(path),
  );

async function refuseWhileRunning(all: readonly Config[]): Promise<void> {
  for (const config of all) {
    const found = await findService(config);
    if (found.is === "running")
      throw new KamadoError("config_invalid", `Kamado still runs (process ${found.service.pid}).`, {
        hint: "Stop it with Ctrl-C, or `kill` and that number, and run the command again.",
      });
  }
}

/** Quadlet makes it, and removes it only in newer versions of Podman. */
const NETWORK = "kamado";

/** Lines of what stays, each with the command that removes it. */
async function leftOf(machine: Machine, on: Place, removed: readonly string[]): Promise<string[]> {
  const isLeft = (path: string) => existsSync(path) && !removed.includes(path);
  const lines: [string, string][] = [];
  for (const path of dataFolders(on).filter(isLeft))
    lines.push([`data and models (${path})`, "./kamado uninstall --data"]);
  for (const path of [userConfigPath(), on.facts.envFile].filter(isLeft))
    lines.push([`settings (${path})`, "./kamado uninstall --data"]);
  const { ownHandlers, queueUrl, aws } = on.config;
  if (ownHandlers !== undefined && existsSync(ownHandlers))
    lines.push([`handlers of yours (${ownHandlers})`, "by hand"]);
  if ((await machine.run(["podman", "image", "exists", IMAGE])).code === 0)
    lines.push([`the container's image (${IMAGE})`, `podman image rm ${IMAGE}`]);
  if ((await machine.run(["podman", "network", "exists", NETWORK])).code === 0)
    lines.push([`the container's network (${NETWORK})`, `podman network rm ${NETWORK}`]);
  if (queueUrl !== undefined && aws.endpoint === undefined)
    lines.push([
      "queues, bucket and topic on AWS, with all that is in them",
      "infra/remove.sh and the stack's name (infra/README.md)",
    ]);
  if (on.other)
    for (const { service, state } of await installedServices(on.other, PARTS, on.facts, machine))
      lines.push([`the service ${service.name}, which goes on running (${state.file})`, on.other.removal]);
  if (machine.platform === "linux")
    lines.push(["your services may run without a login", "loginctl disable-linger"]);
  lines.push([`Kamado itself (${HOME})`, `rm -r ${shellWord(HOME)}`]);
  return lines.map(([what, how]) => `  ${what}\n    -> ${how}`);
}

/** A data folder may be set to anything, and no command must empty a home folder. */
function refuseToRemove(path: string): void {
  const whole = resolve(path);
  const holders = [homedir(), HOME, process.cwd()];
  const isAbove = holders.some((folder) => folder === whole || folder.startsWith(join(whole, "/")));
  if (!isAbove && dirname(whole) !== parse(whole).root) return;
  throw new KamadoError(
    "config_invalid",
    `KAMADO_DATA_DIR: ${whole} holds more than Kamado's data, so it is not removed.`,
    {
      hint: "Remove what is Kamado's in it by hand; docs/architecture.md lists its folders.",
    },
  );
}
