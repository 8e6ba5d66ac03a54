// Folders that one process uses and removes when it is done. The name carries the process id, so that a later process can
// remove what a killed one left behind.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isRunning } from "./is-running.ts";

const ownFolders = new Set<string>();

/** Makes `<parent>/<prefix><pid>-xxxxxx`, which only its owner can read. */
export function makeScratchFolder(parent: string, prefix: string): string {
  const folder = mkdtempSync(join(parent, `${prefix}${process.pid}-`));
  ownFolders.add(folder);
  return folder;
}

/** Removes the scratch folders in `parent` whose process has ended. Folders that cannot be listed or removed stay. */
export function removeOrphanedFolders(parent: string, prefix: string): void {
  for (const name of namesIn(parent)) {
    const folder = join(parent, name);
    if (name.startsWith(prefix) && isOrphaned(folder, Number.parseInt(name.slice(prefix.length), 10)))
      remove(folder);
  }
}

/** In a container an earlier process may have had this process's id. */
function isOrphaned(folder: string, pid: number): boolean {
  if (pid === process.pid) return !ownFolders.has(folder);
  return Number.isInteger(pid) && !isRunning(pid);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function remove(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch {
    // It belongs to another user.
  }
}
