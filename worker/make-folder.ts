// Makes a folder with those above it. Node's `mkdir` with `recursive` says ENOENT of a disk that is read-only, which says nothing to
// whoever reads it; here the error is that of the folder that could not be made.
import { existsSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";

/** Nothing is done where it is there already. Throws what `mkdirSync` throws. */
export function makeFolder(path: string, mode?: number): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path), mode);
  try {
    mkdirSync(path, mode);
  } catch (thrown) {
    // Another process may have made it meanwhile.
    if (!existsSync(path)) throw thrown;
  }
}
