// Changes on this machine, each of which is said before it is made, or only said: files that are written and removed, commands that are run.
import { chownSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { KamadoError } from "../errors.ts";
import { makeFolder } from "../make-folder.ts";
import type { Machine, Ran } from "./machine.ts";

/** What was done, or would be: `did` is false when there was nothing to do. */
export type Step = { did: boolean; what: string };
/** `isDry`: nothing is changed, only said. */
export type Doing = { machine: Machine; isDry: boolean; say(step: Step): void };

type Files = { files: readonly { path: string; content: string }[] };

/** Whether a file had to be written. */
export function writeFiles({ files }: Files, { isDry, say }: Doing): boolean {
  const changed = files.filter(
    ({ path, content }) => !existsSync(path) || readFileSync(path, "utf8") !== content,
  );
  for (const { path } of files.filter((file) => !changed.includes(file)))
    say({ did: false, what: `${path} is as it should be` });
  for (const { path, content } of changed) {
    say({ did: true, what: `write ${path}${isDry ? `\n${indented(content)}` : ""}` });
    if (isDry) continue;
    writable(path, () => {
      makeFolder(dirname(path));
      // launchd refuses a file that others could have written; no secret is in it.
      writeFileSync(path, content, { mode: 0o644 });
    });
  }
  return changed.length > 0;
}

export function removeFiles({ files }: Files, doing: Doing): void {
  for (const { path } of files)
    if (existsSync(path)) removePath(path, doing);
    else doing.say({ did: false, what: `${path} is not there` });
}

/** A file, or a folder with all that is in it. */
export function removePath(path: string, { isDry, say }: Doing): void {
  say({ did: true, what: `remove ${path}` });
  if (!isDry) writable(path, () => rmSync(path, { recursive: true, force: true }));
}

/** A folder for the logs, which launchd does not make. `owner`: whom a LaunchDaemon runs as. */
export function makeLogs(path: string, doing: Doing, owner?: { uid: number; gid: number }): void {
  if (existsSync(path)) return;
  doing.say({ did: true, what: `make the folder ${path}` });
  if (doing.isDry) return;
  writable(path, () => {
    makeFolder(path, 0o700);
    if (owner) chownSync(path, owner.uid, owner.gid);
  });
}

function writable(path: string, change: () => void): void {
  try {
    change();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const isFull = code === "ENOSPC" || code === "EDQUOT";
    throw new KamadoError(isFull ? "disk_full" : "config_invalid", `${path} cannot be changed (${code}).`, {
      cause,
      hint: isFull
        ? "Free some disk space and run the command again."
        : "Run the command as the user that owns the folder; for a LaunchDaemon, with sudo.",
    });
  }
}

/**
 * Runs a command that changes something. `mayEndWith`: exit codes that are no failure. Throws `tool_missing` when there is no such command,
 * `service_failed` when it fails.
 */
export async function call(
  command: readonly string[],
  { machine, isDry, say }: Doing,
  { input, mayEndWith = [] }: { input?: string; mayEndWith?: readonly number[] } = {},
): Promise<void> {
  say({ did: true, what: `run ${command.join(" ")}` });
  if (isDry) return;
  const ran = await machine.run(command, input === undefined ? {} : { input });
  if (ran.code !== 0 && !mayEndWith.includes(ran.code)) throw failed(command, ran);
}

export function failed(command: readonly string[], { code, out, errors }: Ran): KamadoError {
  const line = command.join(" ");
  if (code === 127)
    return new KamadoError("tool_missing", `${command[0]} is not here: \`${line}\` cannot be run.`);
  const said = `${errors}\n${out}`.trim().split("\n").slice(-5).join("\n  ");
  return new KamadoError(
    "service_failed",
    `\`${line}\` ended with exit code ${code}.${said && `\n  ${said}`}`,
  );
}

const indented = (text: string) => text.trimEnd().replaceAll(/^/gm, "    ");
