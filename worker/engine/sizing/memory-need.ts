// How much memory a model needs. llama.cpp estimates it without loading the model.
import { execFile } from "node:child_process";
import { statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Llama } from "node-llama-cpp";
import type { BackendName } from "../generation/backend.ts";

/** bytes = fixed + perToken x slots x context + perSlot x slots */
export type Need = {
  /** Weights, projector, working memory and this process itself. */
  fixedBytes: number;
  perTokenBytes: number;
  perSlotBytes: number;
  /** A part of `fixedBytes`, for messages. */
  weightsBytes: number;
  trainContextSize: number;
};
export type Files = { model: string; mmproj?: string | undefined };

/** This process without a model. */
const PROCESS_BYTES = 220 * 2 ** 20;
/** Estimates can be too low. */
const MARGIN = 1.05;
const BATCH = 512;
const ESTIMATE = fileURLToPath(new URL("./estimate.ts", import.meta.url));

/**
 * Throws when the model's file cannot be read. The estimate comes from node-llama-cpp. Another backend has its own build of
 * llama.cpp, and two builds must not meet in one process: then a process of its own makes the estimate. `library`: node-llama-cpp's, where
 * it is loaded already.
 */
export async function needOf(backend: BackendName, files: Files, library?: Llama): Promise<Need> {
  const { model, mmproj } = files;
  const need = backend === "node-llama-cpp" ? await estimate(model, library) : await estimateApart(model);
  const projector = mmproj === undefined ? 0 : statSync(mmproj).size;
  return { ...need, fixedBytes: need.fixedBytes + projector * MARGIN };
}

async function estimateApart(model: string): Promise<Need> {
  const { stdout } = await promisify(execFile)(process.execPath, [ESTIMATE, model], { timeout: 60_000 });
  return JSON.parse(stdout.trimEnd().split("\n").at(-1)!) as Need;
}

export async function estimate(model: string, library?: Llama): Promise<Need> {
  const { GgufInsights, readGgufFileInfo } = await import("node-llama-cpp");
  const info = await readGgufFileInfo(model, { sourceType: "filesystem", logWarnings: false });
  // The estimate is one for the CPU. A library that uses a GPU is not asked: without one, node-llama-cpp loads another that does not.
  const insights = await GgufInsights.from(info, library?.gpu === false ? library : undefined);
  const weights = sum(await insights.estimateModelResourceRequirementsV2({ gpuLayers: 0 }));
  const context = async (sequences: number, contextSize: number) => {
    const shape = { sequences, contextSize, batchSize: BATCH, modelGpuLayers: 0, swaFullCache: true };
    return sum(await insights.estimateContextResourceRequirementsV2(shape));
  };
  const [small, long, single] = [await context(8, 2_048), await context(8, 8_192), await context(1, 16_384)];
  return {
    ...needFrom({ small, long, single }, weights),
    weightsBytes: weights,
    trainContextSize: insights.trainContextSize ?? 4_096,
  };
}

/** From the estimates of three contexts (8 x 2,048, 8 x 8,192 and 1 x 16,384 tokens) to a formula for all. Pure. */
export function needFrom(
  { small, long, single }: { small: number; long: number; single: number },
  weights: number,
): Pick<Need, "fixedBytes" | "perTokenBytes" | "perSlotBytes"> {
  const perToken = Math.max(0, (long - small) / (8 * 8_192 - 8 * 2_048));
  // Only models that keep a state of a fixed size for each sequence have this part.
  const perSlot = Math.max(0, (small - single) / 7);
  const working = Math.max(0, small - 8 * 2_048 * perToken - 8 * perSlot);
  return {
    fixedBytes: PROCESS_BYTES + MARGIN * (weights + working),
    perTokenBytes: MARGIN * perToken,
    perSlotBytes: MARGIN * perSlot,
  };
}

const sum = ({ cpuRam, gpuVram }: { cpuRam: number; gpuVram: number }) => cpuRam + gpuVram;
