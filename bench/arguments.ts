// The bench's command line: which table, its flags, and what a wrong one sounds like. Pure.
import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { KamadoError } from "../worker/errors.ts";

export type Values = Record<string, string | boolean | undefined>;
export type Print = (text: string) => void;
/** One table: its flags, and how it is measured. What `run` answers is what --json prints. */
export type Bench = {
  about: string;
  options: ParseArgsOptionsConfig;
  run(values: Values, print: Print): Promise<object>;
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
