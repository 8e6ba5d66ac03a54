// Keeps what was measured, one JSON file a machine and model. What cannot be read counts as not there.
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Measured } from "./choose.ts";
import { keyOf, type Subject } from "./machine.ts";

const positive = z.number().positive();
const Shape = z.object({
  readings: z.array(z.object({ width: positive.int(), tokensPerSecond: positive })),
  leftOut: z.array(
    z.object({
      width: positive.int(),
      why: z.enum(["time", "memory", "ended", "failed"]),
      words: z.string().exactOptional(),
    }),
  ),
  // What other work disturbed says little, and is measured again.
  steady: z.literal(true),
  prefillTokensPerSecond: positive.nullable(),
  tookMs: z.number(),
});
const Kept = z.object({ version: z.literal(1), measuredAt: z.string(), measured: Shape });

/** What was measured, of what, and when (ISO 8601). */
export type Calibration = { subject: Subject; measuredAt: string; measured: Measured };

export const calibrationFile = (dataDir: string, subject: Subject) =>
  join(dataDir, "calibration", `${keyOf(subject)}.json`);

export async function readCalibration(dataDir: string, subject: Subject): Promise<Calibration | undefined> {
  const { success, data } = Kept.safeParse(await readJson(calibrationFile(dataDir, subject)));
  return success ? { subject, measuredAt: data.measuredAt, measured: data.measured } : undefined;
}

const readJson = async (path: string): Promise<unknown> =>
  readFile(path, "utf8")
    .then(JSON.parse)
    .catch(() => undefined);

/** Whole or not at all: another process may read it at any moment. */
export async function writeCalibration(dataDir: string, calibration: Calibration): Promise<void> {
  const path = calibrationFile(dataDir, calibration.subject);
  await mkdir(join(dataDir, "calibration"), { recursive: true });
  const draft = `${path}.${process.pid}`;
  await writeFile(draft, `${JSON.stringify({ version: 1, ...calibration }, null, 2)}\n`);
  await rename(draft, path);
}
