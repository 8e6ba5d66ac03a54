// The model's files: that they are there and are what they should be, and that this machine has the memory for them. Nothing is loaded.
import { sizeWords } from "../amounts.ts";
import type { Config } from "../config/config.ts";
import { canRunModels } from "../engine/install/place.ts";
import { graphicsCards } from "../engine/sizing/memory-available.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import { type Finding, fail, failed, ok, warn } from "./finding.ts";
import type { Memory } from "./machine.ts";

export async function modelFinding({ engine }: Config, memory: Memory): Promise<Finding> {
  const { url, remoteModel, backend, isDemo, model, mmproj } = engine;
  if (url !== undefined)
    return ok("model", remoteModel ? `${remoteModel}, at ${url}` : `the one that ${url} serves`);
  if (backend === "scripted")
    return warn(
      "model",
      "none: a script answers (KAMADO_BACKEND=scripted)",
      "Unset KAMADO_BACKEND to use a model.",
    );
  if (!canRunModels())
    return fail(
      "model",
      "this installation has no engine of its own",
      "Set KAMADO_ENGINE_URL to an engine outside of it (docs/containers.md).",
    );
  try {
    const { checkFiles } = await import("../engine/generation/model-check.ts");
    await checkFiles({ model, mmproj });
    const fits = await fit(engine, memory);
    if (fits.status !== "ok" || !isDemo) return fits;
    return warn(
      "model",
      `the demo model, a toy; ${fits.found}`,
      "`kamado model list` shows real ones and how to fetch them.",
    );
  } catch (thrown) {
    return failed("model", toKamadoError(thrown, "config_invalid"));
  }
}

async function fit({ model, mmproj, contextSize }: Config["engine"], memory: Memory): Promise<Finding> {
  const name = model.replace(/^.*\//, "");
  // A card has memory of its own, and the library that uses it knows how much.
  if (memory.from === "system" && graphicsCards() !== null) return ok("model", name);
  const { needOf } = await import("../engine/sizing/memory-need.ts");
  const { explain, MIN_CONTEXT, planMemory } = await import("../engine/sizing/memory-fit.ts");
  // Any backend but that of this process: the estimate is made apart.
  const need = await needOf("llama-server", { model, mmproj }).catch(() => undefined);
  if (need === undefined) return ok("model", `${name}; how much memory it needs cannot be estimated`);
  const wanted = {
    slots: 1,
    contextSize: contextSize ?? MIN_CONTEXT,
    slotsSet: false,
    contextSet: contextSize !== undefined,
  };
  const plan = planMemory(need, memory.mostBytes, wanted);
  if (plan.is !== "refused")
    return ok("model", `${name}, needs ${sizeWords(plan.bytes)} or more of ${sizeWords(memory.mostBytes)}`);
  const error = new KamadoError(
    "memory_insufficient",
    `${name}: ${explain(plan, wanted, need, memory.mostBytes)}`,
  );
  return failed("model", error);
}
