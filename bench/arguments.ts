// The bench's command line: which table, its flags, and what a wrong one sounds like.
import { statSync } from "node:fs";
import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { KamadoError } from "../worker/errors.ts";
import type { Session } from "./session.ts";

export type Values = Record<string, string | boolean | undefined>;
/** One table: its flags, and how it is measured. What `run` answers is what --json prints. */
export type Bench = {
  about: string;
  options: ParseArgsOptionsConfig;
  run(values: Values, session: Session): Promise<object>;
};

/** The flags of one table; --json goes with each. Throws `config_invalid`. */
export function flagsOf({ options }: Pick<Bench, "options">, args: readonly string[]): Values {
  try {
    const all = { ...options, json: { type: "boolean" } } as const;
    return parseArgs({ args: [...args], options: all, strict: true }).values as Values;
  } catch (thrown) {
    throw new KamadoError("config_invalid", (thrown as Error).message);
  }
}

/** A flag that is a whole number from 1 on. */
export function whole(values: Values, flag: string): number {
  const text = String(values[flag]);
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new KamadoError("config_invalid", `--${flag}: must be a whole number from 1 on, not ${text}.`);
}

/** A flag that is several of them: 1,4,8. */
export function wholes(values: Values, flag: string): number[] {
  return String(values[flag])
    .split(",")
    .map((one) => whole({ [flag]: one.trim() }, flag));
}

/** A flag that is one of some words. */
export function oneOf<Word extends string>(values: Values, flag: string, words: readonly Word[]): Word {
  const found = words.find((word) => word === values[flag]);
  if (found !== undefined) return found;
  throw new KamadoError(
    "config_invalid",
    `--${flag}: must be one of ${words.join(", ")}, not ${values[flag]}.`,
  );
}

/** A flag that is a file; undefined where it is not given. */
export function fileOf(values: Values, flag: string): string | undefined {
  const path = values[flag];
  if (typeof path !== "string") return undefined;
  if (statSync(path, { throwIfNoEntry: false })?.isFile()) return path;
  throw new KamadoError("config_invalid", `--${flag}: there is no file ${path}.`);
}

/** A flag that is a server's address; undefined where it is not given. */
export function addressOf(values: Values, flag: string): string | undefined {
  const text = values[flag];
  if (typeof text !== "string") return undefined;
  if (/^https?:$/.test(URL.parse(text)?.protocol ?? "")) return text;
  throw new KamadoError("config_invalid", `--${flag}: must be like http://127.0.0.1:8080, not ${text}.`);
}
