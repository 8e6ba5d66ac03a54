// The file kamado.toml: where it is looked for, and how its keys become variables. Owns what may be in it. Which source takes precedence
// is left to config.ts, what a value may be to environment.ts.
import { existsSync, lstatSync, readFileSync, type Stats, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parse, TomlError } from "smol-toml";
import { KamadoError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import type { Variables } from "./child-environment.ts";
import { Environment, fromHome, isSecretName } from "./environment.ts";

export const CONFIG_FILE = "kamado.toml";

export type ConfigFile = { path: string; variables: Variables; warnings: readonly string[] };

/** Where the file of a user is, whatever folder a command runs in. */
export const userConfigFile = (environment: Variables): string =>
  join(environment.XDG_CONFIG_HOME || join(homedir(), ".config"), "kamado", CONFIG_FILE);

/**
 * The nearest kamado.toml from `folder` upwards, else the user's own. `own`: whose it must be, when it is not for this process's user. A file
 * that somebody else could have written is left out, with a warning: it may name programs to run. Throws `config_invalid`.
 */
export function findConfigFile(
  folder: string,
  environment: Variables,
  own = process.getuid?.(),
): ConfigFile | undefined {
  const warnings: string[] = [];
  for (const path of [...upwards(resolve(folder)), userConfigFile(environment)]) {
    const stats = statsOf(path);
    if (stats === undefined) continue;
    const danger = typeof stats === "string" ? stats : dangerOf(stats, own);
    if (danger === undefined && typeof stats !== "string") {
      const variables = readConfigFile(path);
      return { path, variables, warnings: [...warnings, ...openSecrets(path, stats, variables)] };
    }
    warnings.push(`${path} is ignored: ${danger}.`);
  }
  return warnings.length > 0 ? { path: "", variables: {}, warnings } : undefined;
}

function upwards(folder: string): string[] {
  const parent = dirname(folder);
  return [join(folder, CONFIG_FILE), ...(parent === folder ? [] : upwards(parent))];
}

/** Or why it cannot be used: whoever made it takes for granted that it counts. Undefined where there is none. */
function statsOf(path: string): Stats | string | undefined {
  try {
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
    const stats = statSync(path);
    if (stats.isFile()) return stats;
    return stats.isDirectory() ? "it is a folder" : "it is no file";
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    // A folder above that may not be looked into is not said: nobody knows whether there is one.
    if (code === "EACCES" || code === "ENOTDIR") return undefined;
    return code === "ENOENT" ? "it is a link to a file that is not there" : `it cannot be read (${code})`;
  }
}

function dangerOf({ uid, mode }: Stats, own: number | undefined): string | undefined {
  if (own !== undefined && uid !== own && uid !== 0) return "it belongs to another user";
  return (mode & 0o002) === 0 ? undefined : "everybody may write to it; chmod o-w helps";
}

/** A warning where others than the owner of the file may read a secret in it. */
export function openSecrets(path: string, { mode }: Stats, variables: Variables): string[] {
  const secrets = Object.keys(variables).filter(isSecretName);
  if (secrets.length === 0 || (mode & 0o077) === 0) return [];
  return [`${path} holds ${secrets.join(", ")}, and others may read it: chmod 600 ${path}`];
}

/** Throws `config_invalid` for what is no TOML, and for a key that is no setting. */
function readConfigFile(path: string): Variables {
  const variables: Variables = {};
  for (const [key, value] of flattened(parsed(path))) {
    const name = nameOf(key);
    if (!isKnown(name)) throw invalid(path, `there is no setting "${key}"${suggestion(key)}`);
    if (name in variables) throw invalid(path, `"${key}" is set twice`);
    variables[name] = fromFolder(name, textOf(value, key, path), dirname(path));
  }
  return variables;
}

const invalid = (path: string, why: string) =>
  new KamadoError("config_invalid", `${path}: ${why}${why.endsWith("?") ? "" : "."}`);

function parsed(path: string): object {
  try {
    return parse(readFileSync(path, "utf8").replace(/^\ufeff/, ""));
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (!(thrown instanceof TomlError)) throw invalid(path, `the file cannot be read (${code})`);
    // What follows shows the lines around the error, which may hold a secret.
    const what = thrown.message.split("\n")[0]!.replace("Invalid TOML document: ", "");
    throw invalid(path, `line ${thrown.line}, column ${thrown.column}: ${what}`);
  }
}

/** The value of this one is a table: its keys are names that the owner chose. */
const TABLES = ["KAMADO_BUDGETS"];

/** `[engine] url = …` is `engine_url = …`. */
function flattened(table: object, before: readonly string[] = []): [string, unknown][] {
  return Object.entries(table).flatMap(([key, value]: [string, unknown]): [string, unknown][] => {
    const all = [...before, key].join("_");
    if (!isTable(value)) return [[all, value]];
    return TABLES.includes(nameOf(all)) ? [[all, JSON.stringify(value)]] : flattened(value, [...before, key]);
  });
}

const isTable = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);

/** `max_attempts`, `max-attempts` and `KAMADO_MAX_ATTEMPTS` are one. */
function nameOf(key: string): string {
  const name = key.toUpperCase().replaceAll("-", "_");
  return /^(KAMADO|AWS|HF|OTEL)_/.test(name) ? name : `KAMADO_${name}`;
}

function textOf(value: unknown, key: string, path: string): string {
  const one = (part: unknown) => {
    if (typeof part === "string" || typeof part === "number") return String(part);
    throw invalid(path, `"${key}" must be a text, a number or a list of them`);
  };
  return Array.isArray(value) ? value.map(one).join(",") : one(value);
}

const PATHS = /^KAMADO_(MMPROJ|LLAMA_SERVER|DATA_DIR|HANDLERS)$|_FILE$/;
/** These may be something else than a path: a name, a script itself. */
const MAYBE_PATHS = /^KAMADO_(MODEL|SCRIPT|CHAT_TEMPLATE)$/;

/** Whoever writes a path into the file sees it from there. */
function fromFolder(name: string, value: string, folder: string): string {
  const isMaybePath = MAYBE_PATHS.test(name);
  if (value === "" || !(isMaybePath || PATHS.test(name))) return value;
  const path = resolve(folder, fromHome(value));
  return isMaybePath && !/^(\.\.?|~)\//.test(value) && !existsSync(path) ? value : path;
}

const NAMES = Object.keys(Environment.shape);
/** Every setting may also be given as the name of the file that holds it. */
export const isKnown = (name: string): boolean =>
  NAMES.includes(name) || (name.endsWith("_FILE") && NAMES.includes(name.slice(0, -"_FILE".length)));

/** Of the tests of Kamado itself. */
const OF_TESTS = "KAMADO_TEST_";

/** Variables that look like Kamado's and are not. They are no error: another program may have set them. */
export const unknownVariables = (environment: Variables): string[] =>
  Object.keys(environment)
    .filter((name) => name.startsWith("KAMADO_") && !name.startsWith(OF_TESTS) && !isKnown(name))
    .map((name) => `${name} is ignored: there is no such variable${suggestion(name)}`);

/** In the form in which the name was given. */
function suggestion(given: string): string {
  const isVariable = given.startsWith("KAMADO_") || given.startsWith("AWS_");
  const shown = (name: string) => (isVariable ? name : keyOf(name));
  const asked = isVariable ? given : keyOf(nameOf(given));
  const all = NAMES.flatMap((name) => [name, `${name}_FILE`]).map(shown);
  const near = nearest(asked, all, asked.replace(/^KAMADO_/, "").length);
  return near === undefined ? "; docs/settings.md lists all" : `; did you mean ${near}?`;
}

/** How a variable is written in the file. */
export const keyOf = (name: string): string => name.replace(/^KAMADO_/, "").toLowerCase();
