// The private folder that saved states lie in, and what dead engines left: it is named after its process.
import { mkdtempSync, readdirSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";

const NAME = "kamado-states-";

/** Only its owner can look inside. Undefined where none can be made. */
export function folderIn(parent: string): string | undefined {
  try {
    return mkdtempSync(join(parent, `${NAME}${process.pid}-`));
  } catch {
    return undefined;
  }
}

export function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** Removes the folders of engines that are no more, as far as they are ours. */
export function sweep(parent: string): void {
  try {
    for (const name of readdirSync(parent)) if (isOrphaned(name)) remove(join(parent, name));
  } catch {
    // What cannot be listed cannot be swept.
  }
}

function isOrphaned(name: string): boolean {
  if (!name.startsWith(NAME)) return false;
  const pid = Number.parseInt(name.slice(NAME.length), 10);
  return Number.isInteger(pid) && !isAlive(pid);
}

function remove(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch {
    // Somebody else's.
  }
}

function isAlive(pid: number): boolean {
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
