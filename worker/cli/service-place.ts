// What the commands that manage services know of this machine: its service manager, where the services' files are, and the settings that a
// service will read, which are not those of the terminal.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import {
  type Config,
  configFilePath,
  configHome,
  HOME,
  loadConfig,
  openSecretsIn,
  serviceConfig,
  serviceEnvFile,
  userConfigPath,
  variablesOfShell,
} from "../config/config.ts";
import { KamadoError } from "../errors.ts";
import { paint } from "../logging/terminal.ts";
import { type Doing, failed } from "../service/changes.ts";
import type { Machine } from "../service/machine.ts";
import type { Manager } from "../service/manager.ts";
import { managerFor } from "../service/open-manager.ts";
import { type Facts, type Part, stopSecondsOf } from "../service/units.ts";
import { warn } from "./configuration.ts";
import { flagsOf } from "./flags.ts";
import { needFolder } from "./left-out.ts";

export const IMAGE = "localhost/kamado-worker:latest";

export type Place = {
  manager: Manager;
  /** On a Mac, of agents beside daemons, and of daemons beside agents. */
  other: Manager | undefined;
  facts: Facts;
  /** As a service reads it. */
  config: Config;
  doing: Doing;
  owner: { uid: number; gid: number } | undefined;
  end(words: string, dryWords?: string): void;
};

/**
 * Where services are and what is known about this machine, from their settings and the flags of a command. `mustFit`: settings that are
 * wrong are refused; a service must be removed and looked at all the same.
 */
export async function place(
  machine: Machine,
  command: Command,
  chosen: readonly Part[],
  { mustFit = false } = {},
): Promise<Place> {
  needFolder("infra/systemd");
  const { dryRun, daemon, user, image } = flagsOf(command);
  const isDry = dryRun === true;
  const owner = daemon === true && (mustFit || user !== undefined) ? await ownerOf(machine, user) : undefined;
  const home = owner?.home ?? machine.home;
  const on = { ...machine, home, uid: owner?.uid ?? machine.uid };
  const manager = managerFor(on, { daemon: daemon === true });
  const other = machine.platform === "darwin" ? managerFor(on, { daemon: daemon !== true }) : undefined;
  const given = { home, image: String(image ?? IMAGE), owner };
  const { facts, config } = factsOf(given, mustFit);
  const [engine] = manager.services(["engine"], facts);
  const isEngineApart = chosen.includes("engine") || (await manager.state(engine!, on)).installed;
  const { say, end } = sayingOf(isDry);
  return {
    manager,
    other,
    facts: isEngineApart ? facts : { ...facts, engineUrl: undefined },
    config,
    doing: { machine: on, isDry, say },
    owner,
    end,
  };
}

/** How a command says what it does, or would do, and that it is done. */
function sayingOf(isDry: boolean): Pick<Doing, "say"> & Pick<Place, "end"> {
  return {
    say({ did, what }) {
      const [first = "", ...content] = what.split("\n");
      const lines = [`${did ? (isDry ? "would " : "") : "nothing to do: "}${first}`];
      if (content.length > 0) lines.push(paint("dim", content.join("\n")));
      process.stdout.write(`${lines.join("\n")}\n`);
    },
    end(words, dryWords) {
      const dry = ["Nothing was changed.", ...(dryWords === undefined ? [] : [dryWords])].join(" ");
      process.stdout.write(`${isDry ? dry : words}\n`);
    },
  };
}

type Given = { home: string; image: string; owner: Owner | undefined };

function factsOf({ home, image, owner }: Given, mustFit: boolean): { facts: Facts; config: Config } {
  const envFile = serviceEnvFile(owner && home);
  const folder = folderOf(home, owner?.uid);
  const config = settingsOf(() => serviceConfig(envFile, folder, owner?.uid), mustFit);
  const facts = {
    root: HOME,
    node: nodeOf(),
    home,
    folder,
    envFile,
    logs: join(home, "Library/Logs/kamado"),
    stopSeconds: stopSecondsOf(config),
    image,
    user: owner?.name,
    configHome: owner ? undefined : configHome(),
    // Two engines would need the model's memory twice. What the settings name counts, but for the name that only a container knows.
    engineUrl: isElsewhere(config.engine.url) ? undefined : `http://127.0.0.1:${config.engine.port}`,
  };
  return { facts, config };
}

const isElsewhere = (url: string | undefined) =>
  url !== undefined && new URL(url).hostname !== "host.containers.internal";

/** There or above it is the kamado.toml that commands use here; the user's own is found from everywhere. */
function folderOf(home: string, uid?: number): string {
  try {
    const file = configFilePath(uid);
    return file === undefined || file === userConfigPath() ? home : dirname(file);
  } catch {
    // One that cannot be read is named when its settings are.
    return home;
  }
}

function settingsOf(read: () => Config, mustFit: boolean): Config {
  try {
    return read();
  } catch (thrown) {
    if (mustFit) throw thrown;
    warn(`the settings are wrong, and their defaults are used: ${(thrown as Error).message}`);
    return loadConfig({}, {});
  }
}

/** The link to it is the same after an update that brings another Node. */
function nodeOf(): string {
  const pinned = join(HOME, "node_modules/.bin/node");
  return existsSync(pinned) ? pinned : process.execPath;
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

/** What the owner should hear before it is installed. */
export function warnOfSettings(machine: Machine, on: Place): void {
  const { envFile } = on.facts;
  for (const warning of [...on.config.warnings, ...openSecretsIn(envFile)]) warn(warning);
  warnOfClosedFolders(machine, on);
  warnOfShell();
}

/** macOS lets a service see what is in them only after somebody said yes to it, and a service cannot ask. */
const CLOSED = ["Documents", "Desktop", "Downloads"];

function warnOfClosedFolders({ platform }: Machine, { facts, config }: Place): void {
  if (platform !== "darwin") return;
  const { ownHandlers, destinationsFile, rulesFile, schedulesFile } = config;
  const seen = [facts.root, facts.folder, ownHandlers, destinationsFile, rulesFile, schedulesFile];
  for (const path of new Set(seen)) {
    const folder = CLOSED.find((name) => path?.startsWith(join(facts.home, name, "/")));
    if (folder !== undefined)
      warn(`macOS closes ~/${folder} to services: move ${path} elsewhere, and run the command again.`);
  }
}

/** A service sees files, and not what somebody exported in a terminal. */
function warnOfShell(): void {
  const names = variablesOfShell();
  if (names.length > 0)
    warn(
      `a service does not see what is set in this terminal only: ${names.join(", ")}. Write it into kamado.toml or ${serviceEnvFile()}.`,
    );
}
