// Fits a model into the memory there is before native code tries to, which ends the process when it fails.
import type { Logger } from "pino";
import { KamadoError } from "../../errors.ts";
import type { EngineOptions } from "../options.ts";
import { availableBytes, graphicsCards } from "./memory-available.ts";
import { needOf } from "./memory-need.ts";
import { bytesOf, type Need, type Plan, planMemory, type Wish } from "./memory-plan.ts";

/** The most a slot gets unasked. */
const MAX_CONTEXT = 8_192;

export type Fitted = { slots: number; contextSize: number | undefined; estimatedBytes?: number };
/** Chooses slots and context for a model. `most` is what a slot gets of context unasked, for those who need little. */
export type Fit = (wish: { slots: number; slotsNamed: boolean }, most?: number) => Fitted;

/** Throws `memory_insufficient` from the function it returns. A model nothing is known about passes as it was wished. */
export async function openFit(options: EngineOptions, log: Logger): Promise<Fit> {
  const need = await needOrNothing(options, log);
  if (need === undefined) return ({ slots }, most) => ({ slots, contextSize: options.contextSize ?? most });
  const available = options.memoryLimit ?? availableBytes();
  return (wish, most = MAX_CONTEXT) => {
    const whole: Wish = {
      ...wish,
      contextSize: options.contextSize ?? Math.min(need.trainContextSize, most),
      contextNamed: options.contextSize !== undefined,
    };
    const plan = planMemory(need, available, whole);
    const words = explain(plan, whole, need, available);
    if (plan.is === "refused") throw new KamadoError("memory_insufficient", words);
    if (plan.is !== "fits") log.warn({ slots: plan.slots, contextSize: plan.contextSize }, words);
    return { slots: plan.slots, contextSize: plan.contextSize, estimatedBytes: plan.bytes };
  };
}

async function needOrNothing(options: EngineOptions, log: Logger): Promise<Need | undefined> {
  if (options.backend === "scripted") return undefined;
  // A card has memory of its own, and the library that drives it knows how much.
  if (options.memoryLimit === undefined && graphicsCards() !== null) return undefined;
  try {
    return await needOf(options.backend, { model: options.model!, mmproj: options.mmproj });
  } catch (thrown) {
    log.debug({ err: thrown }, "what the model needs of memory cannot be estimated");
    return undefined;
  }
}

/** What was decided, in words for whoever has to live with it. */
export function explain(plan: Plan, wish: Wish, need: Need, available: number): string {
  const there = `${gib(available)} ${available === 2 ** 30 ? "is" : "are"} there for it`;
  const shape = `${plan.slots} slot${plan.slots === 1 ? "" : "s"} of ${plan.contextSize} tokens`;
  const wished = gib(bytesOf(need, wish));
  if (plan.is !== "refused")
    return `Memory for ${shape} instead of ${wish.slots} of ${wish.contextSize}: those need ${wished}, ${there}.`;
  const begin = `The model needs ${gib(plan.bytes)} with ${shape}, ${there}`;
  if (need.weightsBytes > available)
    return `${begin}; its weights alone are ${gib(need.weightsBytes)}. Take a smaller model or quant.`;
  return `${begin}. Take a smaller quant${wayOut(wish, need, available)}.`;
}

/** Which of what was named by hand could be less, and how much less. */
function wayOut(wish: Wish, need: Need, available: number): string {
  const free = { ...wish, slotsNamed: false, contextNamed: false };
  const fewer = planMemory(need, available, { ...free, contextNamed: wish.contextNamed });
  const shorter = planMemory(need, available, { ...free, slotsNamed: wish.slotsNamed });
  const ways = [
    wish.slotsNamed && fewer.is === "fewer slots" && `--slots ${fewer.slots} (KAMADO_SLOTS)`,
    wish.contextNamed &&
      shorter.is === "less context" &&
      `--context-size ${shorter.contextSize} (KAMADO_CONTEXT_SIZE)`,
  ].filter((way) => way !== false);
  if (ways.length > 0) return `, or ${ways.join(", or ")}`;
  return wish.slotsNamed || wish.contextNamed ? ", fewer slots and a smaller context" : "";
}

const gib = (bytes: number) =>
  bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${Math.ceil(bytes / 2 ** 20)} MiB`;
