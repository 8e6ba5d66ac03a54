// Keeps what was measured, one JSON file a machine and model. What cannot be read counts as not there.
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { BACKENDS } from "../backend.ts";
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
  steady: z.boolean(),
  prefillTokensPerSecond: positive.nullable(),
  tookMs: z.number(),
});
const Kept = z.object({ version: z.literal(1), measuredAt: z.string(), measured: Shape });
const About = z.object({
  cpu: z.string(),
  cores: z.number(),
  gpu: z.string().nullable(),
  model: z.object({ name: z.string(), size: z.number(), mtimeMs: z.number(), head: z.string() }),
  backend: z.enum(BACKENDS),
  version: z.string(),
  threads: z.number().nullable(),
});
const Named = Kept.extend({ subject: About });

/** What was measured, of what, and when (ISO 8601). */
export type Calibration = { subject: Subject; measuredAt: string; measured: Measured };

export const calibrationFile = (dataDir: string, subject: Subject) =>
  join(dataDir, "calibration", `${keyOf(subject)}.json`);

export async function readCalibration(dataDir: string, subject: Subject): Promise<Calibration | undefined> {
  const { success, data } = Kept.safeParse(await readJson(calibrationFile(dataDir, subject)));
  return success ? { subject, measuredAt: data.measuredAt, measured: data.measured } : undefined;
}

/** All that are kept, of whatever machine and model, the latest first. */
export async function keptCalibrations(dataDir: string): Promise<Calibration[]> {
  const folder = join(dataDir, "calibration");
  const names = await readdir(folder).catch(() => []);
  const kept: Calibration[] = [];
  for (const name of names.filter((one) => one.endsWith(".json"))) {
    const about = Named.safeParse(await readJson(join(folder, name)));
    if (about.success) kept.push(about.data);
  }
  return kept.sort((a, b) => b.measuredAt.localeCompare(a.measuredAt));
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
