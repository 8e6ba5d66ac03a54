// How much memory of this machine a model may use, and which graphics cards there are, which have memory of their own.
import { readdirSync, readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";

export type MemoryFacts = {
  platform: string;
  totalBytes: number;
  /** What a container's limit leaves; outside of containers the system's own figure. */
  processBytes: number;
  /** The text of /proc/meminfo on Linux. */
  meminfo?: string | undefined;
};

const GIB = 2 ** 30;

export function availableBytes(): number {
  const { platform } = process;
  return availableOf({
    platform,
    totalBytes: totalmem(),
    processBytes: process.availableMemory(),
    meminfo: platform === "linux" ? readFileSync("/proc/meminfo", "utf8") : undefined,
  });
}

/**
 * Linux says how much memory it can free at once; a container may have less. macOS has no such figure, and its number of free
 * pages is always small. There it is what the GPU may hold: two thirds of a small machine's memory and three
 * quarters of a large one's, as llama.cpp prints it (recommendedMaxWorkingSetSize) on Macs with 16, 32 and 36 GB.
 */
export function availableOf({ platform, totalBytes, processBytes, meminfo = "" }: MemoryFacts): number {
  if (platform === "darwin") return totalBytes * (totalBytes < 36 * GIB ? 2 / 3 : 3 / 4);
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1];
  return Math.min(processBytes, kib === undefined ? Infinity : Number(kib) * 1_024);
}

/** What a model may use at most on this machine, when nothing else runs. */
export function mostBytes(): number {
  const total = totalmem();
  if (process.platform === "darwin") return availableBytes();
  // 0 or a number larger than the memory: no limit of a container.
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(total, limit) : total;
}

const NVIDIA = "/proc/driver/nvidia/gpus";

/**
 * The names of NVIDIA's cards on Linux, without loading a driver; null when there are none. An Apple GPU is not a card: it
 * shares the machine's memory.
 */
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
