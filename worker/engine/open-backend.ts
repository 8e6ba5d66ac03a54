// Opens the backend the flags name. Native libraries are loaded only when they are wanted.
import type { Logger } from "pino";
import type { Backend } from "./backend.ts";
import type { Flags } from "./flags.ts";

export async function openBackend(flags: Flags, log: Logger): Promise<Backend> {
  const { backend, slots, contextSize, threads, script } = flags;
  if (backend === "scripted") return (await import("./backends/scripted.ts")).openScripted({ script, slots });
  const model = flags.model!;
  if (backend === "node-llama-cpp") {
    const { openNodeLlamaCpp } = await import("./backends/node-llama-cpp/open.ts");
    return openNodeLlamaCpp({ model, slots, contextSize, threads }, log);
  }
  const { openLlamaNode } = await import("./backends/llama-node/open.ts");
  return openLlamaNode({ model, mmproj: flags.mmproj, slots, contextSize, threads });
}
