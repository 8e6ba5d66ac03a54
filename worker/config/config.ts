// The configuration: reads the environment (the only file that does), kamado.toml and the settings of a service, and checks them with the
// schema in environment.ts. The values that the parts get are frozen; what they mean is in build-config.ts.
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseEnv } from "node:util";
import type { z } from "zod";
import { KamadoError, shapeOf } from "../errors.ts";
import { buildConfig, type Config, handlersFolder } from "./build-config.ts";
import { buildVariables, engineVariables, serviceVariables, type Variables } from "./child-environment.ts";
import {
  type ConfigFile,
  findConfigFile,
  openSecrets,
  unknownVariables,
  userConfigFile,
} from "./config-file.ts";
import { Environment, fromHome, isSecretName } from "./environment.ts";

export { type AwsKeys, type Config, HANDLERS, HOME } from "./build-config.ts";
export type { Variables } from "./child-environment.ts";

/** The SDK reads only the environment: when one of these is in a file, we give it all of them. */
const AWS_KEYS = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] as const;

/**
 * Reads the configuration. `flags` from the command line take precedence over the environment, and that over the file. `NAME_FILE` names
 * a file that holds the value of `NAME`. Throws `config_invalid`, which names the variable.
 */
export function loadConfig(
  flags: Variables = {},
  environment: Variables = process.env,
  file = environment === process.env ? findConfigFile(process.cwd(), environment) : undefined,
): Config {
  const all = allSettings(flags, environment, file);
  const parsed = Environment.safeParse(all);
  if (!parsed.success) throw new KamadoError("config_invalid", describe(parsed.error, all, file));
  const keyInFile = AWS_KEYS.find((name) => all[name] !== undefined && all[name] !== environment[name]);
  const warnings = [...(file?.warnings ?? []), ...unknownVariables(environment)];
  return deepFreeze({
    ...buildConfig(parsed.data, keyInFile),
    secretFiles: {
      engine: fileOf("KAMADO_ENGINE_TOKEN", all),
      web: fileOf("KAMADO_WEB_TOKEN", all),
      local: fileOf("KAMADO_LOCAL_KEY", all),
    },
    set: Object.keys(all).filter((name) => name in Environment.shape),
    warnings,
  });
}

const allSettings = (flags: Variables, environment: Variables, file: ConfigFile | undefined) =>
  withFiles({
    ...without(file?.variables ?? {}, environment),
    ...given(environment),
    ...defined(flags),
  });

/** The folder with the owner's handlers, for a command that works although another setting is wrong. Throws `config_invalid`. */
export function ownHandlersFolder(
  environment: Variables = process.env,
  file = findConfigFile(process.cwd(), environment),
): string | undefined {
  const { KAMADO_HANDLERS } = Environment.pick({ KAMADO_HANDLERS: true }).parse(
    allSettings({}, environment, file),
  );
  return handlersFolder(KAMADO_HANDLERS);
}

/** What a setting of the file means where the environment has it, as a value or as a file's name: nothing. */
function without(settings: Variables, environment: Variables): Variables {
  const base = (name: string) => (name in Environment.shape ? name : name.replace(/_FILE$/, ""));
  const inEnvironment = new Set(Object.keys(given(environment)).map(base));
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !inEnvironment.has(base(name))));
}

/** Variables of Kamado that do not exist, with what was meant. */
export const mistypedVariables = (): string[] => unknownVariables(process.env);

/** Where `kamado init --user` writes. */
export const userConfigPath = (): string => userConfigFile(process.env);

/** The kamado.toml that counts in this folder, for this process's user or the user `own`; undefined where there is none. */
export const configFilePath = (own?: number): string | undefined =>
  findConfigFile(process.cwd(), process.env, own)?.path || undefined;

/** The settings of services, which `kamado setup` writes, as `NAME=value` lines, beside the user's kamado.toml; they take precedence over that. */
export const serviceEnvFile = (home?: string): string =>
  home === undefined
    ? join(dirname(userConfigFile(process.env)), "kamado.env")
    : join(home, ".config/kamado/kamado.env");

/**
 * What a service of the user `own` reads: the lines of its file in place of this terminal's variables, and the kamado.toml of the folder it
 * runs in. Throws `config_invalid`.
 */
export function serviceConfig(envFile: string, folder: string, own?: number): Config {
  const { XDG_CONFIG_HOME } = process.env;
  return loadConfig({}, serviceVariablesIn(envFile), findConfigFile(folder, { XDG_CONFIG_HOME }, own));
}

/** The lines of a service's file, read as Node does when the service starts; what it would leave out in silence is refused. */
function serviceVariablesIn(envFile: string): Variables {
  if (!existsSync(envFile)) return {};
  const invalid = (why: string, hint: string) =>
    new KamadoError("config_invalid", `${envFile}: ${why}`, { hint });
  let text: string;
  try {
    text = readFileSync(envFile, "utf8");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw invalid(
      `it cannot be read (${code}), and a service would start without its settings.`,
      "Make it a file of yours with mode 0600, and run the command again.",
    );
  }
  if (text.startsWith("\ufeff"))
    throw invalid(
      "it begins with a byte order mark, which hides its first line.",
      "Save it as UTF-8 without a byte order mark.",
    );
  return parseEnv(text);
}

/** A warning where others than its owner may read a secret in a service's file. */
export const openSecretsIn = (envFile: string): string[] =>
  existsSync(envFile) ? openSecrets(envFile, statSync(envFile), serviceVariablesIn(envFile)) : [];

/** XDG_CONFIG_HOME, where the owner keeps settings elsewhere. */
export const configHome = (): string | undefined => process.env.XDG_CONFIG_HOME || undefined;

/** Makes this process see what a service sees; what is set in the terminal goes first. The path is that of the file, if there is one. */
export function loadServiceVariables(path = serviceEnvFile()): string | undefined {
  if (!existsSync(path)) return undefined;
  for (const [name, value] of Object.entries(serviceVariablesIn(path))) process.env[name] ??= value;
  return path;
}

/** The names of variables that are set in this terminal, which a service does not see. */
export const variablesOfShell = (): string[] =>
  Object.keys(given(process.env)).filter((name) => name.replace(/_FILE$/, "") in Environment.shape);

/** The environment of the commands that manage services. */
export const serviceEnvironment = (environment: Variables = process.env) => serviceVariables(environment);

/** The environment of the engine process. */
export const engineEnvironment = (environment: Variables = process.env) => engineVariables(environment);

/** The environment of the programs that build llama-server. */
export const buildEnvironment = (environment: Variables = process.env) => buildVariables(environment);

const defined = (variables: Variables) =>
  Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== undefined));

/** An empty variable counts as unset. */
const given = (variables: Variables): Variables =>
  Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== undefined && value !== ""));

/** `KAMADO_X_FILE` names the file with the value of `KAMADO_X`. */
function withFiles(variables: Variables): Variables {
  const all = given(variables);
  for (const name of Object.keys(Environment.shape)) {
    const file = all[`${name}_FILE`];
    if (file === undefined || `${name}_FILE` in Environment.shape || all[name] !== undefined) continue;
    try {
      all[name] = readFileSync(fromHome(file), "utf8").trim();
    } catch {
      throw new KamadoError("config_invalid", `${name}_FILE: the file it names cannot be read.`);
    }
  }
  return all;
}

const fileOf = (name: string, { [`${name}_FILE`]: path }: Variables) => path && resolve(fromHome(path));

/** Each wrong variable once: what is allowed, what it holds, and where that was written. */
function describe(error: z.ZodError, all: Variables, file: ConfigFile | undefined): string {
  const wrong = new Map<string, string>();
  for (const { path, message } of error.issues.toReversed()) wrong.set(String(path[0]), message);
  return [...wrong]
    .map(([name, message]) => {
      const value = all[name];
      const where = value !== undefined && file?.variables[name] === value ? `, in ${file.path}` : "";
      return `${name}: ${message} (got ${shown(name, value)}${where})`;
    })
    .join("; ");
}

/** Longer values are described, as secrets are. */
const SHOWN = 80;

/** Without what may be a secret in an address. */
function shown(name: string, value: string | undefined): string {
  if (value === undefined || value.length > SHOWN || isSecretName(name)) return shapeOf(value);
  return JSON.stringify(value.replaceAll(/\/\/[^/@]*@/g, "//…@").replace(/\?.*$/s, "?…"));
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
