// How much space the disk of the data folder has left, looked up when somebody asks for the state. What is written there, and what
// a failed write means, is left to those who write.
import { statfsSync } from "node:fs";
import { DISK_FULL_HINT } from "../aws/errors.ts";
import type { DiskState, State } from "./state.ts";

/** With less than this free, the largest message and its result may not find room. Bytes. */
const LEAST_FREE = 4 * 1_024 ** 2;

type Statfs = (folder: string) => { bavail: number; bsize: number };

/** The state with its disk. A full one is only a hint, but where it holds the queue no job can be sent and no result stored. */
export function withDisk(
  state: State,
  folder: string,
  { holdsQueue, statfs = statfsSync }: { holdsQueue: boolean; statfs?: Statfs },
): State {
  const freeBytes = freeOf(folder, statfs);
  if (freeBytes === undefined) return state;
  const isFull = freeBytes < LEAST_FREE;
  const hint = holdsQueue ? DISK_FULL_HINT : "Free some space on the disk of KAMADO_DATA_DIR.";
  const disk: DiskState = { folder, freeBytes, isFull, ...(isFull && { hint }) };
  const isWell = state.status === "READY" || state.status === "BUSY";
  return { ...state, disk, status: isFull && holdsQueue && isWell ? "UNHEALTHY" : state.status };
}

/** Undefined where there is no folder yet, or no such number. */
function freeOf(folder: string, statfs: Statfs): number | undefined {
  try {
    const { bavail, bsize } = statfs(folder);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}
