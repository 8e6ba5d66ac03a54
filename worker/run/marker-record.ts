// What stands in running/<id>.json: who runs the job, for how long that holds without another word, and how often the
// engine died meanwhile. Pure; taking, keeping and giving up a marker is in markers.ts.
import { z } from "zod";
import type { Found } from "../blobs/blobs.ts";
import { NO_DEATHS } from "./poison.ts";

const Count = z.int().min(0);
const Deaths = z.object({ beside: Count, alone: Count });
const MarkerRecord = z.object({
  worker: z.string(),
  /** Of this one attempt: no two are the same. */
  token: z.string(),
  /** Counts the heartbeats, so that each write differs from the one before. */
  beat: Count,
  /** The marker holds for so long after its last write; 0: nobody runs the job. */
  holdMs: Count,
  deaths: Deaths,
});
export type MarkerRecord = z.output<typeof MarkerRecord>;

export const MARKERS = "running/";
export const markerKey = (id: string) => `${MARKERS}${id}.json`;

/** Stores tell an object's time in whole seconds, once when it is written and once when it is read. */
const COARSE_MS = 2_000;

/** What is no record of ours holds nothing. */
export function readRecord(bytes: Uint8Array): MarkerRecord {
  try {
    return MarkerRecord.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return { worker: "", token: "", beat: 0, holdMs: 0, deaths: NO_DEATHS };
  }
}

/** How long a marker still holds; 0 when it may be taken over. Both times are the store's, so no machine's clock matters. */
export function holdsForMs({ holdMs }: MarkerRecord, { ageMs }: Pick<Found, "ageMs">): number {
  return holdMs === 0 ? 0 : Math.max(0, holdMs + COARSE_MS - ageMs);
}
