// How much space the disk of a folder has left. What is too little, and what to do then, is left to whoever asks.
import { statfsSync } from "node:fs";

/** With less than this free, the largest message and its result may not find room. Bytes. */
export const LEAST_FREE = 4 * 1_024 ** 2;

/** With less than this free, a model, an update of the system or a long queue may not find room. Bytes. */
export const LITTLE_FREE = 5e9;

export type Statfs = (folder: string) => { blocks?: number; bavail: number; bsize: number };

/** Undefined where there is no folder yet, no such number, or no limit. */
export function freeBytesOf(folder: string, statfs: Statfs = statfsSync): number | undefined {
  try {
    const { blocks, bavail, bsize } = statfs(folder);
    // A disk without a limit, such as a tmpfs with size=0 or a folder of a network, says 0 of 0.
    return blocks === 0 ? undefined : bavail * bsize;
  } catch {
    return undefined;
  }
}
