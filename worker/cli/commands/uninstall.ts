// `kamado uninstall`: removes what Kamado put outside of its own folder, and says what it leaves. Nothing in a queue or a bucket is touched.
import { existsSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, parse, resolve } from "node:path";
import { Command } from "commander";
import { HOME, serviceEnvFile, serviceEnvironment, userConfigPath } from "../../config/config.ts";
import { KamadoError } from "../../errors.ts";
import { type Machine, thisMachine } from "../../service/machine.ts";
import { PARTS } from "../../service/units.ts";
import { configOf } from "../configuration.ts";
import { examples } from "../examples.ts";
import { flagsOf } from "../flags.ts";
import { findService } from "../running-service.ts";
import { place, removeServices } from "./service.ts";

export function uninstallCommand(machine: Machine = thisMachine(serviceEnvironment())): Command {
  return examples(new Command("uninstall"), [
    "uninstall --dry-run",
    "uninstall                # services and logs; data and settings stay",
    "uninstall --data         # those too",
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
      const config = configOf();
      const on = await place(machine, command, PARTS);
      await removeServices(on, PARTS);
      const found = await findService(config);
      if (found.is === "running" && dryRun !== true)
        throw new KamadoError("config_invalid", `Kamado still runs (process ${found.service.pid}).`, {
          hint: "Stop it with Ctrl-C, or `kill` and that number, and run the command again.",
        });
      const settings = [...new Set([userConfigPath(), serviceEnvFile(on.facts.home)])];
      const own = [on.facts.logs, ...(data === true ? [config.dataDir, ...settings] : [])];
      for (const path of own) removePath(path, on.doing);
      const left = [HOME, ...(data === true ? [] : [config.dataDir, ...settings])].filter((path) =>
        existsSync(path),
      );
      on.end(`Removed. Left on this machine: ${left.join(", ")}.${AWS}`);
    });
}

const AWS = " Queues, buckets and objects on AWS are as they were.";

function removePath(path: string, { isDry, say }: Awaited<ReturnType<typeof place>>["doing"]): void {
  if (!existsSync(path)) return;
  refuseToRemove(path);
  say({ did: true, what: `remove ${path}` });
  if (isDry) return;
  rmSync(path, { recursive: true, force: true });
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
