// Opens the backend the flags name. Native libraries are loaded only when they are wanted.
import type { Logger } from "pino";
import type { Backend } from "./backend.ts";
import type { Flags } from "./flags.ts";

export async function openBackend(flags: Flags, log: Logger): Promise<Backend> {
  const { backend, model, mmproj, slots, contextSize, script } = flags;
  if (backend === "scripted") return (await import("./backends/scripted.ts")).openScripted({ script, slots });
  throw new Error(`not yet: ${model} ${mmproj} ${contextSize} ${log.level}`);
}
