// The machine itself: Node, the disk of the data folder, memory, and what computes. Each is looked at without loading a model.
import { accessSync, constants, existsSync } from "node:fs";
import { totalmem } from "node:os";
import { dirname } from "node:path";
import { sizeWords } from "../amounts.ts";
import { availableOf, graphicsCards, mostBytes } from "../engine/sizing/memory-available.ts";
import { freeBytesOf, LEAST_FREE, LITTLE_FREE, type Statfs } from "../free-disk.ts";
import type { Machine } from "../service/machine.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

/** Of a command that only looks. */
export const LOOK = { timeoutMs: 10_000 };

/** `wanted` as in package.json, `>=24`. */
export async function nodeFinding(machine: Machine, wanted: string): Promise<Finding> {
  const { version, arch } = process;
  const found = `${version} (${machine.platform} ${arch})`;
  const least = Number(/\d+/.exec(wanted)?.[0] ?? 0);
  if (Number.parseInt(version.slice(1), 10) < least)
    return fail(
      "Node",
      `${found}; Kamado needs ${wanted}`,
      "Install a newer Node, or run ./kamado, which brings its own.",
    );
  // A program for Intel does not see Apple's GPU as Metal needs it.
  const isTranslated =
    machine.platform === "darwin" &&
    (await machine.run(["sysctl", "-n", "sysctl.proc_translated"], LOOK)).out.trim() === "1";
  if (!isTranslated) return ok("Node", found);
  return fail(
    "Node",
    `${found}, translated by Rosetta: the model cannot use the GPU`,
    "Install Node for Apple silicon (arm64).",
  );
}

/** `holdsQueue`: the embedded queue and its bucket are there. */
export function diskFinding(
  dataDir: string,
  { holdsQueue = false, statfs }: { holdsQueue?: boolean; statfs?: Statfs } = {},
): Finding {
  const folder = nearestFolder(dataDir);
  const free = freeBytesOf(folder, statfs);
  if (free === undefined)
    return warn("disk", `how much is free for ${dataDir} cannot be told`, "Look at it with `df -h`.");
  if (!isWritable(folder))
    return fail(
      "disk",
      `${folder} cannot be written`,
      "Give it to the user that runs Kamado, or set KAMADO_DATA_DIR.",
    );
  const found = `${sizeWords(free)} free for ${dataDir}`;
  if (free < LEAST_FREE)
    return fail(
      "disk",
      `full: ${found}`,
      `Free some space${holdsQueue ? "; until then no job can be sent and no result stored" : ""}.`,
    );
  if (free < LITTLE_FREE) return warn("disk", found, "Free some space: models and updates need more.");
  return ok("disk", found);
}

/** The data folder may not be there yet. */
function nearestFolder(path: string): string {
  for (let folder = path; ; folder = dirname(folder))
    if (existsSync(folder) || folder === dirname(folder)) return folder;
}

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** What a model may use: what the owner set, else what the system lets it have. */
export type Memory = { totalBytes: number; mostBytes: number; from: "system" | "KAMADO_MEMORY_LIMIT" };

export function memoryOf(machine: Machine, memoryLimit: number | undefined): Memory {
  const totalBytes = totalmem();
  if (memoryLimit !== undefined) return { totalBytes, mostBytes: memoryLimit, from: "KAMADO_MEMORY_LIMIT" };
  const isMac = machine.platform === "darwin";
  const most = isMac
    ? availableOf({ platform: "darwin", totalBytes, processBytes: totalBytes })
    : mostBytes();
  return { totalBytes, mostBytes: most, from: "system" };
}

export function memoryFinding({ totalBytes, mostBytes, from }: Memory): Finding {
  const why = from === "system" ? "" : ` (${from})`;
  const found = `${sizeWords(totalBytes)}; a model may use ${sizeWords(mostBytes)}${why}`;
  if (mostBytes <= totalBytes) return ok("memory", found);
  return warn("memory", found, "Set KAMADO_MEMORY_LIMIT to less than the machine has.");
}

export function gpuFinding({ platform }: Machine, arch: string = process.arch): Finding {
  if (platform === "darwin")
    return arch === "arm64"
      ? ok("GPU", "Metal, which shares the machine's memory")
      : warn(
          "GPU",
          "this Node sees no Apple GPU: the model runs on the CPU",
          "Use a Mac with Apple silicon and Node for arm64.",
        );
  const cards = graphicsCards();
  return ok(
    "GPU",
    cards === null
      ? "no NVIDIA card is seen; the model runs on the CPU, if the engine finds no other"
      : cards,
  );
}
