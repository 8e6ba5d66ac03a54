// A file of variables, one `NAME=value` in a line, as systemd, Podman and `set -a; . FILE` read it. Only its owner may read it, because
// keys and secrets may stand there too. Which variables there are belongs to environment.ts.
import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { KamadoError } from "../errors.ts";

/** The text with these variables. Everything else in it stays: other variables, comments, their order. Pure. */
export function withVariables(text: string, variables: Readonly<Record<string, string>>): string {
  const left = new Map(Object.entries(variables));
  const lines = text === "" ? [] : text.replace(/\n$/, "").split("\n");
  const kept = lines.flatMap((line) => {
    const name = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=/.exec(line)?.[1];
    if (name === undefined || !(name in variables)) return [line];
    const value = left.get(name);
    left.delete(name);
    // Of two lines with one name the last would win.
    return value === undefined ? [] : [`${name}=${value}`];
  });
  return `${[...kept, ...[...left].map(([name, value]) => `${name}=${value}`)].join("\n")}\n`;
}

/** Empty when there is no such file. Throws `config_invalid`. */
export async function readEnvironmentFile(path: string): Promise<string> {
  return await readFile(path, "utf8").catch((cause) => {
    if (cause.code === "ENOENT") return "";
    throw refused(path, "read", cause);
  });
}

/** Replaces the file as a whole, so that neither a full disk nor a crash leaves half of it. Throws `config_invalid` or `disk_full`. */
export async function writeEnvironmentFile(path: string, text: string): Promise<void> {
  const next = `${path}.${randomUUID()}`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(next, text, { flag: "wx", mode: 0o600 });
    await rename(next, path);
  } catch (cause) {
    await rm(next, { force: true });
    throw refused(path, "written", cause as NodeJS.ErrnoException);
  }
}

function refused(path: string, what: string, cause: NodeJS.ErrnoException): KamadoError {
  const isFull = cause.code === "ENOSPC" || cause.code === "EDQUOT";
  const code = isFull ? "disk_full" : "config_invalid";
  return new KamadoError(code, `${path}: it cannot be ${what} (${cause.code}).`, {
    cause,
    ...(!isFull && { hint: "Name a file of yours with --file." }),
  });
}
