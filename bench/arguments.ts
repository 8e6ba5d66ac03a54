// The command line of the tables: reads flags and refuses wrong ones with a message that names the flag.
import { statSync } from "node:fs";
import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { KamadoError } from "../worker/errors.ts";
import type { Session } from "./session.ts";

export type Values = Record<string, string | boolean | undefined>;
/** One table: its flags and how it is measured. --json prints what `run` returns. */
export type Bench = {
  about: string;
  options: ParseArgsOptionsConfig;
  run(values: Values, session: Session): Promise<object>;
};

/** The flags of one table. Every table accepts --json. Throws `config_invalid`. */
export function flagsOf({ options }: Pick<Bench, "options">, args: readonly string[]): Values {
  try {
    const all = { ...options, json: { type: "boolean" } } as const;
    return parseArgs({ args: [...args], options: all, strict: true }).values as Values;
  } catch (thrown) {
    throw new KamadoError("config_invalid", (thrown as Error).message);
  }
}

/** Reads a flag that is a whole number from 1 on. */
export function whole(values: Values, flag: string): number {
  const text = String(values[flag]);
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new KamadoError("config_invalid", `--${flag}: must be a whole number from 1 on, not ${text}.`);
}

/** Reads a flag that is a list of such numbers: 1,4,8. */
export function wholes(values: Values, flag: string): number[] {
  return String(values[flag])
    .split(",")
    .map((one) => whole({ [flag]: one.trim() }, flag));
}

/** Reads a flag that is one of these words. */
export function oneOf<Word extends string>(values: Values, flag: string, words: readonly Word[]): Word {
  const found = words.find((word) => word === values[flag]);
  if (found !== undefined) return found;
  throw new KamadoError(
    "config_invalid",
    `--${flag}: must be one of ${words.join(", ")}, not ${values[flag]}.`,
  );
}

/** Reads a flag that names a file. Undefined when it is not given. */
export function fileOf(values: Values, flag: string): string | undefined {
  const path = values[flag];
  if (typeof path !== "string") return undefined;
  if (statSync(path, { throwIfNoEntry: false })?.isFile()) return path;
  throw new KamadoError("config_invalid", `--${flag}: there is no file ${path}.`);
}

/** Reads a flag that names a folder, which has to be given. */
export function folderOf(values: Values, flag: string): string {
  const path = values[flag];
  if (typeof path === "string" && statSync(path, { throwIfNoEntry: false })?.isDirectory()) return path;
  throw new KamadoError(
    "config_invalid",
    typeof path === "string" ? `--${flag}: there is no folder ${path}.` : `--${flag}: must name a folder.`,
  );
}

/** Reads a flag that is a server's URL. Undefined when it is not given. */
export function addressOf(values: Values, flag: string): string | undefined {
  const text = values[flag];
  if (typeof text !== "string") return undefined;
  if (/^https?:$/.test(URL.parse(text)?.protocol ?? "")) return text;
  throw new KamadoError("config_invalid", `--${flag}: must be like http://127.0.0.1:8080, not ${text}.`);
}
