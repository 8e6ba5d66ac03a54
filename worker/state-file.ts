// A small file in which a process says something of itself, as JSON, for other processes and for its next start.
import { renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { makeFolder } from "./make-folder.ts";

/** Whoever reads it meanwhile finds the old file or the new one. Its owner alone can read it. Throws what the file system throws. */
export function writeStateFile(path: string, state: object): void {
  makeFolder(dirname(path), 0o700);
  const next = `${path}.${process.pid}`;
  writeFileSync(next, `${JSON.stringify(state)}\n`, { mode: 0o600 });
  renameSync(next, path);
}
