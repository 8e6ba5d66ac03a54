// How much memory a model may take on this machine. What a model needs is need.ts's business.
import { readdirSync, readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";

export type MemoryFacts = {
  platform: string;
  totalBytes: number;
  /** what is left of a container's limit; the system's own figure outside of one */
  processBytes: number;
  /** Linux: /proc/meminfo */
  meminfo?: string | undefined;
};

const GIB = 2 ** 30;

/**
 * Linux counts what it can free at once as available, and a container may have less. macOS has no such figure (its free pages
 * are few on a machine that is well): there the limit is what it lets the GPU hold, about 70 % of a small machine's memory
 * and 75 % of a large one's.
 */
export function availableOf({ platform, totalBytes, processBytes, meminfo = "" }: MemoryFacts): number {
  if (platform === "darwin") return totalBytes * (totalBytes > 36 * GIB ? 0.75 : 0.7);
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1];
  return Math.min(processBytes, kib === undefined ? Infinity : Number(kib) * 1_024);
}

export function availableBytes(): number {
  const { platform } = process;
  return availableOf({
    platform,
    totalBytes: totalmem(),
    processBytes: process.availableMemory(),
    meminfo: platform === "linux" ? readFileSync("/proc/meminfo", "utf8") : undefined,
  });
}

// Which graphics cards this machine has, as far as can be told without loading what drives them.
const NVIDIA = "/proc/driver/nvidia/gpus";

/** NVIDIA's names where Linux tells them; null for none. Apple's GPUs are no cards: they share the machine's memory. */
export function graphicsCards(): string | null {
  try {
    const names = readdirSync(NVIDIA).map(
      (card) => /^Model:\s+(.+)$/m.exec(readFileSync(join(NVIDIA, card, "information"), "utf8"))?.[1],
    );
    return names.filter(Boolean).join(", ") || null;
  } catch {
    return null;
  }
}
