// Keeps calibrations on disk, one JSON file for each subject: a machine, a model file, a version of a backend and a number
// of threads. A file that cannot be read counts as missing.
import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { readFile, rename, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { basename, join } from "node:path";
import { z } from "zod";
import { makeFolder } from "../../make-folder.ts";
import type { BackendName } from "../generation/backend.ts";
import type { EngineOptions } from "../options.ts";
import type { Measured } from "./choose.ts";
import { graphicsCards } from "./memory-available.ts";

/** What was measured, on what, and when (ISO 8601). */
export type Calibration = { subject: Subject; measuredAt: string; measured: Measured };

/** What a calibration is valid for. */
export type Subject = {
  cpu: string;
  cores: number;
  /** Null for Apple's, which have the CPU's name. */
  gpu: string | null;
  model: { name: string; size: number; mtimeMs: number; head: string };
  backend: BackendName;
  version: string;
  threads: number | null;
};

export function subjectOf(options: Pick<EngineOptions, "backend"> & Partial<EngineOptions>): Subject {
  const { model, backend, threads, llamaServer } = options;
  const { size, mtimeMs } = statSync(model!);
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() || process.arch,
    cores: processors.length,
    gpu: graphicsCards(),
    model: { name: basename(model!), size, mtimeMs: Math.round(mtimeMs), head: headOf(model!) },
    backend,
    version: backend === "llama-server" ? stampOf(llamaServer!) : versionOf(PACKAGES[backend]),
    threads: threads ?? null,
  };
}

const positive = z.number().positive();
const MeasuredShape = z.object({
  readings: z.array(z.object({ width: positive.int(), tokensPerSecond: positive })),
  leftOut: z.array(
    z.object({
      width: positive.int(),
      why: z.enum(["time", "memory", "ended", "failed"]),
      words: z.string().exactOptional(),
    }),
  ),
  // A measurement that other work disturbed is not kept.
  steady: z.literal(true),
  seenTwice: z.number().optional(),
  prefillTokensPerSecond: positive.nullable(),
  sampling: z.string().optional(),
  tookMs: z.number(),
});
const Kept = z.object({ version: z.literal(1), measuredAt: z.string(), measured: MeasuredShape });

export async function readCalibration(dataDir: string, subject: Subject): Promise<Calibration | undefined> {
  const { success, data } = Kept.safeParse(await readJson(calibrationFile(dataDir, subject)));
  return success ? { subject, measuredAt: data.measuredAt, measured: data.measured } : undefined;
}

/** Another process may read the file at any moment, so it is written beside its place and renamed. */
export async function writeCalibration(dataDir: string, calibration: Calibration): Promise<void> {
  const path = calibrationFile(dataDir, calibration.subject);
  makeFolder(join(dataDir, "calibration"));
  const draft = `${path}.${process.pid}`;
  await writeFile(draft, `${JSON.stringify({ version: 1, ...calibration }, null, 2)}\n`);
  await rename(draft, path);
}

export function calibrationFile(dataDir: string, subject: Subject): string {
  const name = createHash("sha256").update(JSON.stringify(subject)).digest("hex").slice(0, 24);
  return join(dataDir, "calibration", `${name}.json`);
}

const readJson = async (path: string): Promise<unknown> =>
  readFile(path, "utf8")
    .then(JSON.parse)
    .catch(() => undefined);

const HEAD_BYTES = 2 ** 20;

/** A hash of the file's first MiB. */
function headOf(path: string): string {
  const file = openSync(path, "r");
  try {
    const head = Buffer.alloc(HEAD_BYTES);
    const read = readSync(file, head, 0, HEAD_BYTES, 0);
    return createHash("sha256").update(head.subarray(0, read)).digest("hex").slice(0, 24);
  } finally {
    closeSync(file);
  }
}

const PACKAGES: Partial<Record<BackendName, string>> = {
  "node-llama-cpp": "node-llama-cpp",
  "llama-node": "@fugood/llama.node",
};

function versionOf(name: string | undefined): string {
  if (name === undefined) return "unknown";
  const paths = createRequire(import.meta.url).resolve.paths(name) ?? [];
  for (const folder of paths) {
    try {
      return JSON.parse(readFileSync(join(folder, name, "package.json"), "utf8")).version;
    } catch {}
  }
  return "unknown";
}

/** A program that was built here has no version that tells one build from another. */
function stampOf(program: string): string {
  const { size, mtime } = statSync(program);
  return `${mtime.toISOString().slice(0, 19)}, ${size} bytes`;
}
