// What the container's image leaves out: it is the worker alone. Who calls a command that needs more is told so.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { KamadoError } from "../errors.ts";

export const leftOut = (what: string, cause?: unknown): KamadoError =>
  new KamadoError("tool_missing", `This command needs ${what}, which is not installed here.`, {
    cause,
    hint: "The container image is the worker alone. Run the command in a clone of the repository, or run ./kamado there, which installs what is missing.",
  });

const HOME = join(import.meta.dirname, "../..");

/** Throws `tool_missing` where this folder of the repository is not. */
export function needFolder(name: string): void {
  if (!existsSync(join(HOME, name))) throw leftOut(`the folder ${name}/ of the repository`);
}
