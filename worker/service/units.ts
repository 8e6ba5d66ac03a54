// The files of services, filled in: a template of infra/ and the facts of this machine become the text that launchd, systemd or Podman reads.
// Pure but for reading the templates. Who starts and stops them is launchd.ts and systemd.ts.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { KamadoError } from "../errors.ts";

/** What can be installed: worker and engine natively, or the worker in a container, for which a Mac needs a Podman machine. */
export const PARTS = ["worker", "engine", "container"] as const;
export type Part = (typeof PARTS)[number];

export type Facts = {
  /** Where Kamado's own files are. */
  root: string;
  node: string;
  home: string;
  /** Where the service runs: there or above it is its kamado.toml. */
  folder: string;
  envFile: string;
  logs: string;
  /** How long a stop may take, in seconds. */
  stopSeconds: number;
  image: string;
  /** For a LaunchDaemon: whom it runs as. */
  user?: string | undefined;
  /** Where the worker finds an engine that is a service of its own. */
  engineUrl?: string | undefined;
  /** XDG_CONFIG_HOME, where somebody has set it: the user's kamado.toml is there. */
  configHome?: string | undefined;
  /** For a container. */
  mounts?: Mounts;
};

/** What settings name that a container must be given: folders as they are, files as secrets of Podman, each under its own path. */
export type Mounts = {
  folders: readonly string[];
  files: readonly { secret: string; path: string }[];
};

/** Beyond the drain: the engine's own stop, and what a busy machine needs. */
const ENGINE_STOP_SECONDS = 15;
const MARGIN_SECONDS = 30;

/** How long a stop may take at most: the open poll, the drain, the engine. Whoever stops a service must wait longer. */
export const stopSecondsOf = ({ drainSeconds, pollSeconds }: { drainSeconds: number; pollSeconds: number }) =>
  drainSeconds + pollSeconds + ENGINE_STOP_SECONDS + MARGIN_SECONDS;

export const launchdLabel = (name: string): string => `kamado.${name}`;

/** A property list for launchd; with `user` it is one of a LaunchDaemon. */
export function plistOf(name: "worker" | "engine" | "podman-machine", facts: Facts): string {
  const text = fill(template(facts.root, `launchd/${launchdLabel(name)}.plist`), facts, () => xml);
  const user = facts.user && `  <key>UserName</key><string>${xml(facts.user)}</string>\n`;
  const withUser = text.replace(/<\/dict>\n<\/plist>/, (end) => `${user ?? ""}${end}`);
  const more = variablesOf(name, facts).map(
    ([key, value]) => `    <key>${key}</key><string>${xml(value)}</string>\n`,
  );
  return withUser.replace(
    /<key>EnvironmentVariables<\/key>\n {2}<dict>\n/,
    (start) => `${start}${more.join("")}`,
  );
}

/** A unit of systemd's user instance. */
export function unitOf(name: "worker" | "engine", facts: Facts): string {
  const text = fill(template(facts.root, `systemd/kamado-${name}.service`), facts, iniOf);
  const more = variablesOf(name, facts).map(([key, value]) => `Environment="${key}=${ini(value)}"\n`);
  return text.replace("\n[Service]\n", (start) => `${start}${more.join("")}`);
}

/** What a service must know that stands in none of its files. */
function variablesOf(name: string, { engineUrl, configHome }: Facts): [string, string][] {
  const all = {
    KAMADO_ENGINE_URL: name === "worker" ? engineUrl : undefined,
    XDG_CONFIG_HOME: name === "podman-machine" ? undefined : configHome,
  };
  return Object.entries(all).filter((one): one is [string, string] => one[1] !== undefined);
}

/** Of the worker in a container, and of its network. */
export const QUADLETS = ["kamado.container", "kamado.network"] as const;

/** A file of Quadlet, from which Podman makes a unit of systemd. */
export function quadletOf(file: (typeof QUADLETS)[number], facts: Facts): string {
  const text = fill(template(facts.root, `quadlet/${file}`), facts, iniOf);
  const { folders = [], files = [] } = facts.mounts ?? {};
  const lines = [
    ...folders.map((path) => `Volume=${ini(path)}:${ini(path)}:ro`),
    ...files.map(
      ({ secret, path }) => `Secret="${secret},type=mount,uid=65532,gid=65532,mode=0400,target=${ini(path)}"`,
    ),
  ];
  return text.replace("\n[Container]\n", (start) => `${start}${lines.map((line) => `${line}\n`).join("")}`);
}

const template = (root: string, path: string) => readFileSync(join(root, "infra", path), "utf8");

type Encode = (text: string) => string;

/** `encoderOf`: how a value is written in this line. */
function fill(text: string, facts: Facts, encoderOf: (line: string, name: string) => Encode): string {
  const values: Record<string, string> = {
    ROOT: facts.root,
    NODE: facts.node,
    HOME: facts.home,
    FOLDER: facts.folder,
    ENV_FILE: facts.envFile,
    LOGS: facts.logs,
    IMAGE: facts.image,
    STOP_SECONDS: String(facts.stopSeconds),
    UNIT_STOP_SECONDS: String(facts.stopSeconds + MARGIN_SECONDS),
  };
  const filled = (line: string) =>
    line.replaceAll(/@([A-Z_]+)@/g, (_, name: string) => encoderOf(line, name)(values[name]!));
  return text.split("\n").map(filled).join("\n");
}

/** Only in a command line does a dollar sign begin a variable, and not in the program that it names. */
const iniOf = (line: string, name: string): Encode =>
  line.startsWith("Exec") && name !== "NODE" ? (text) => ini(text).replaceAll("$", "$$$$") : ini;

/** In a unit the percent sign begins a specifier. What quotes or ends a setting cannot be written in every one of them. */
function ini(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is refused
  if (!/[\x00-\x1f\x7f"'\\]/.test(text)) return text.replaceAll("%", "%%");
  const words = `${JSON.stringify(text)} cannot be in a unit of systemd, because of its quotes, backslashes or control characters.`;
  throw new KamadoError("config_invalid", words, { hint: "Rename the folder, and run the command again." });
}

function xml(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is refused
  if (/[\x00-\x1f\x7f]/.test(text))
    throw new KamadoError("config_invalid", `${JSON.stringify(text)} cannot be in a property list.`);
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
