// A file of variables, one `NAME=value` in a line, as systemd, Podman and `set -a; . FILE` read it. Only its owner may read it, because
// keys and secrets may stand there too. Which variables there are belongs to environment.ts.
import { randomUUID } from "node:crypto";
import { mkdir, readFile, readlink, rename, rm, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { KamadoError } from "../errors.ts";

/** The text with these variables, and without those that are undefined. Everything else in it stays: other variables, comments, their order. Pure. */
export function withVariables(text: string, variables: Readonly<Record<string, string | undefined>>): string {
  const left = new Map(
    Object.entries(variables).filter((one): one is [string, string] => one[1] !== undefined),
  );
  const lines = text === "" ? [] : text.replace(/\r?\n$/, "").split(/\r?\n/);
  const kept = lines.flatMap((line) => {
    const name = nameOf(line);
    if (name === undefined || !(name in variables)) return [line];
    const value = left.get(name);
    left.delete(name);
    // Of two lines with one name the last would win.
    return value === undefined ? [] : [`${name}=${value}`];
  });
  return `${[...kept, ...[...left].map(([name, value]) => `${name}=${value}`)].join("\n")}\n`;
}

const nameOf = (line: string) => /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=/.exec(line)?.[1];

/** Whether the text gives the variable a value. Pure. */
export const hasVariable = (text: string, name: string): boolean =>
  text.split(/\r?\n/).some((line) => nameOf(line) === name && !/=\s*$/.test(line));

/** Empty when there is no such file. Throws `config_invalid`. */
export async function readEnvironmentFile(path: string): Promise<string> {
  return await readFile(path, "utf8").catch((cause) => {
    if (cause.code === "ENOENT") return "";
    throw refused(path, "read", cause);
  });
}

/**
 * Replaces the file as a whole, so that neither a full disk nor a crash leaves half of it. A symbolic link stays one: what it points to is
 * replaced. Throws `config_invalid` or `disk_full`.
 */
export async function writeEnvironmentFile(path: string, text: string): Promise<void> {
  let next = "";
  try {
    const file = await behindLinks(path);
    next = `${file}.${randomUUID()}`;
    await mkdir(dirname(file), { recursive: true });
    await writeFile(next, text, { flag: "wx", mode: 0o600 });
    await rename(next, file);
  } catch (cause) {
    await rm(next, { force: true });
    throw refused(path, "written", cause as NodeJS.ErrnoException);
  }
}

/** As many as the kernel follows. */
const MAX_LINKS = 40;

/** The file at the end of symbolic links, whether there is one or not. */
async function behindLinks(path: string): Promise<string> {
  let file = path;
  for (let links = 0; links < MAX_LINKS; links++) {
    const target = await readlink(file).catch(() => null);
    if (target === null) return file;
    file = resolve(dirname(file), target);
  }
  throw Object.assign(new Error("too many symbolic links"), { code: "ELOOP" });
}

function refused(path: string, what: string, cause: NodeJS.ErrnoException): KamadoError {
  const isFull = cause.code === "ENOSPC" || cause.code === "EDQUOT";
  const code = isFull ? "disk_full" : "config_invalid";
  return new KamadoError(code, `${path}: it cannot be ${what} (${cause.code}).`, {
    cause,
    ...(!isFull && { hint: "Name a file of yours with --file." }),
  });
}
