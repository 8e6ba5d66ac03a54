// What a calibration holds for: this machine, this model file, this version of the backend, so many threads.
import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { basename, join } from "node:path";
import type { BackendName } from "../generation/backend.ts";
import type { EngineOptions } from "../options.ts";
import { graphicsCards } from "./memory-available.ts";

export type Subject = {
  cpu: string;
  cores: number;
  /** Apple's are named with the CPU. */
  gpu: string | null;
  model: { name: string; size: number; mtimeMs: number; head: string };
  backend: BackendName;
  version: string;
  threads: number | null;
};

const HEAD_BYTES = 2 ** 20;
const PACKAGES: Partial<Record<BackendName, string>> = {
  "node-llama-cpp": "node-llama-cpp",
  "llama-node": "@fugood/llama.node",
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

/** The name of a subject's file. */
export const keyOf = (subject: Subject) =>
  createHash("sha256").update(JSON.stringify(subject)).digest("hex").slice(0, 24);

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

/** A program built here has no number that says how. */
function stampOf(program: string): string {
  const { size, mtime } = statSync(program);
  return `${mtime.toISOString().slice(0, 19)}, ${size} bytes`;
}

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
