// Opens the backend the flags name. Native libraries are loaded only when they are wanted.
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Logger } from "pino";
import type { Backend } from "./backend.ts";
import type { Flags } from "./flags.ts";

/** Slots and context are chosen before, in calibration/open.ts. */
export type Sized = Omit<Flags, "slots" | "contextSize"> & { slots: number; contextSize: number | undefined };

export async function openBackend(flags: Sized, log: Logger): Promise<Backend> {
  const { backend, slots, contextSize, threads = defaultThreads(), script } = flags;
  if (backend === "scripted") return (await import("./backends/scripted.ts")).openScripted({ script, slots });
  const model = flags.model!;
  if (backend === "node-llama-cpp") {
    const { openNodeLlamaCpp } = await import("./backends/node-llama-cpp/open.ts");
    const prefixFolder = flags.dataDir && join(flags.dataDir, "prefixes");
    return openNodeLlamaCpp({ model, slots, contextSize, threads, prefixFolder }, log);
  }
  if (backend === "llama-server") {
    const { openLlamaServer } = await import("./backends/llama-server/open.ts");
    const { mmproj, llamaServer: command } = flags;
    return openLlamaServer({ command: command!, model, mmproj, slots, contextSize, threads }, log);
  }
  const { openLlamaNode } = await import("./backends/llama-node/open.ts");
  return openLlamaNode({ model, mmproj: flags.mmproj, slots, contextSize, threads });
}

/**
 * llama.cpp's threads wait for each other by spinning, so on a CPU a core is left to everything else, or one busy core stops
 * all of them. With Metal the libraries know better.
 */
function defaultThreads(): number | undefined {
  return process.platform === "darwin" ? undefined : Math.max(1, availableParallelism() - 1);
}
