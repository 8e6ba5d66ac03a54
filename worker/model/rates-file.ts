// The rates of the engine over a restart, in a small file of the data folder. A file that cannot be read or written costs only that they
// are measured anew.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { writeStateFile } from "../state-file.ts";
import type { MeasuredRates } from "./rates.ts";

const NAME = "rates.json";

const Amount = z.number().min(0);
const Measured = z.object({
  model: z.string().nullable().catch(null),
  stretches: z
    .array(z.object({ seconds: Amount, prompt: Amount, completion: Amount }))
    .max(1_000)
    .catch([]),
});

export function readRates(dataDir: string): MeasuredRates {
  try {
    return Measured.parse(JSON.parse(readFileSync(join(dataDir, NAME), "utf8")));
  } catch {
    return { model: null, stretches: [] };
  }
}

export function writeRates(dataDir: string, measured: MeasuredRates): void {
  if (measured.stretches.length === 0) return;
  try {
    writeStateFile(join(dataDir, NAME), measured);
  } catch {
    // As on a full disk.
  }
}
