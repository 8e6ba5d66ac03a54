// What a table was measured on. Without it a figure means nothing.
import { statSync } from "node:fs";
import { arch, availableParallelism, cpus, platform } from "node:os";
import { basename } from "node:path";

export type Machine = { cores: number; cpu: string; system: string; node: string };
export type ModelFile = { file: string; bytes: number };

export const machine = (): Machine => ({
  cores: availableParallelism(),
  cpu: cpus()[0]?.model.trim() ?? "unknown",
  system: `${platform()} ${arch()}`,
  node: process.version,
});

export const modelFile = (path: string): ModelFile => ({ file: basename(path), bytes: statSync(path).size });

/** The line above a table. */
export function factsLine(
  { cores, cpu, system, node }: Machine,
  more: Record<string, string | number>,
): string {
  const rest = Object.entries(more).map(([name, value]) => `${name} ${value}`);
  return [`${cores} × ${cpu}`, system, `node ${node}`, ...rest].join(" · ");
}

export const modelText = ({ file, bytes }: ModelFile) => `${file} (${(bytes / 1e6).toFixed(1)} MB)`;
