// The text of a file with settings that a command changes: kamado.toml and kamado.env. Owns that a change is whole or not at all. What
// changes in them is left to config-edit.ts and environment-file.ts.
import { randomUUID } from "node:crypto";
import { chmod, readFile, readlink, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { KamadoError } from "../errors.ts";
import { makeFolder } from "../make-folder.ts";

/** Undefined when there is no such file. Throws `config_invalid`. */
export async function readSettingsFile(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").catch((cause) => {
    if (cause.code === "ENOENT") return undefined;
    throw refused(path, "read", cause);
  });
}

/**
 * Replaces the file as a whole, so that neither a full disk nor a crash leaves half of it. A symbolic link stays one: what it points to is
 * replaced. `mode`: by default that of the file before; a new one can be read by its owner only, because secrets may stand there. Throws
 * `config_invalid` or `disk_full`.
 */
export async function replaceSettingsFile(path: string, text: string, mode?: number): Promise<void> {
  let next = "";
  try {
    const file = await behindLinks(path);
    const before = await stat(file).catch(() => ({ mode: 0o600 }));
    next = `${file}.${randomUUID()}`;
    makeFolder(dirname(file));
    await writeFile(next, text, { flag: "wx", mode: 0o600 });
    await chmod(next, mode ?? before.mode & 0o777);
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
    ...(!isFull && {
      hint: "It must be a file of the user that runs the command, in a folder where that user may write.",
    }),
  });
}
