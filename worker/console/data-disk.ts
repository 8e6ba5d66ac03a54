// How much space the disk of the data folder has left, looked up when somebody asks for the state. What is written there, and what
// a failed write means, is left to those who write.
import { DISK_FULL_HINT } from "../aws/errors.ts";
import { freeBytesOf, LEAST_FREE, type Statfs } from "../free-disk.ts";
import type { DiskState, State } from "./state.ts";

/** The state with its disk. A full one is only a hint, but where it holds the queue no job can be sent and no result stored. */
export function withDisk(
  state: State,
  folder: string,
  { holdsQueue, statfs }: { holdsQueue: boolean; statfs?: Statfs },
): State {
  const freeBytes = freeBytesOf(folder, statfs);
  if (freeBytes === undefined) return state;
  const isFull = freeBytes < LEAST_FREE;
  const hint = holdsQueue ? DISK_FULL_HINT : "Free some space on the disk of KAMADO_DATA_DIR.";
  const disk: DiskState = { folder, freeBytes, isFull, ...(isFull && { hint }) };
  const isWell = ["READY", "BUSY", "PAUSED"].includes(state.status);
  return { ...state, disk, status: isFull && holdsQueue && isWell ? "UNHEALTHY" : state.status };
}
