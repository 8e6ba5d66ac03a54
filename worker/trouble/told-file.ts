// What was told of trouble, kept in a small file of the data folder, so that a restart does not tell it again. A file that cannot be read or
// written costs one repeated message at most.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { writeStateFile } from "../state-file.ts";
import { CONDITIONS } from "./conditions.ts";
import type { Episodes } from "./episodes.ts";

const NAME = "trouble.json";

const Episode = z
  .object({
    since: z.number().optional(),
    wellSince: z.number().optional(),
    isTold: z.boolean().optional(),
    toldAt: z.number().optional(),
    toldLevel: z.number().optional(),
    title: z.string().optional(),
  })
  .catch({});
const Told = z.object({
  episodes: z.partialRecord(z.enum(CONDITIONS), Episode).catch({}),
  /** How many dead letters there were that need not be told any more. */
  dead: z.object({ jobs: z.number().optional(), deliveries: z.number().optional() }).catch({}),
});
export type Told = {
  episodes: Episodes;
  dead: { jobs?: number | undefined; deliveries?: number | undefined };
};

export function readTold(dataDir: string): Told {
  try {
    return Told.parse(JSON.parse(readFileSync(join(dataDir, NAME), "utf8"))) as Told;
  } catch {
    return { episodes: {}, dead: {} };
  }
}

/** False where it cannot be written. */
export function writeTold(dataDir: string, told: Told): boolean {
  try {
    writeStateFile(join(dataDir, NAME), told);
    return true;
  } catch {
    return false;
  }
}
