// How much space the disk of a folder has left.
import { statfsSync } from "node:fs";

/** With less than this free, the largest message and its result may not find room. Bytes. */
export const LEAST_FREE = 4 * 1_024 ** 2;

export type Statfs = (folder: string) => { bavail: number; bsize: number };

/** Undefined where there is no folder yet, or no such number. */
export function freeBytesOf(folder: string, statfs: Statfs = statfsSync): number | undefined {
  try {
    const { bavail, bsize } = statfs(folder);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}
