// Fits a model into the memory that is available, before native code tries to load it: native code that runs out of memory
// ends the process. What a model needs is memory-need.ts, what is available memory-available.ts.
import type { Llama } from "node-llama-cpp";
import type { Logger } from "pino";
import { plural } from "../../amounts.ts";
import { KamadoError } from "../../errors.ts";
import type { EngineOptions } from "../options.ts";
import { availableBytes, graphicsCards } from "./memory-available.ts";
import { type Need, needOf } from "./memory-need.ts";

export type Shape = { slots: number; contextSize: number };
/** The shape that is wanted. A number that the user set is kept or refused; the others may become smaller. */
export type Wanted = Shape & { slotsSet: boolean; contextSet: boolean };
export type Plan = Shape & { is: "fits" | "less context" | "fewer slots" | "refused"; bytes: number };

/** A smaller context is of little use, so the number of slots is reduced instead. */
export const MIN_CONTEXT = 2_048;
/** The largest context of a slot unless the user sets another. */
const MAX_CONTEXT = 8_192;

export type Fitted = { slots: number; contextSize: number | undefined; estimatedBytes?: number };
/** Chooses slots and context. `maxContext` limits a context that the user did not set. */
export type Fit = (wanted: { slots: number; slotsSet: boolean }, maxContext?: number) => Fitted;

/** The function throws `memory_insufficient`. When the model's need is unknown, it takes what is wanted. */
export async function openFit(options: EngineOptions, log: Logger, library?: Llama): Promise<Fit> {
  const need = await needIfKnown(options, log, library);
  if (need === undefined)
    return ({ slots }, maxContext) => ({ slots, contextSize: options.contextSize ?? maxContext });
  const available = options.memoryLimit ?? availableBytes();
  return (slots, maxContext = MAX_CONTEXT) => {
    const wanted: Wanted = {
      ...slots,
      contextSize: options.contextSize ?? Math.min(need.trainContextSize, maxContext),
      contextSet: options.contextSize !== undefined,
    };
    const plan = planMemory(need, available, wanted);
    const message = explain(plan, wanted, need, available);
    if (plan.is === "refused") throw new KamadoError("memory_insufficient", message);
    if (plan.is !== "fits") log.warn({ slots: plan.slots, contextSize: plan.contextSize }, message);
    return { slots: plan.slots, contextSize: plan.contextSize, estimatedBytes: plan.bytes };
  };
}

async function needIfKnown(
  options: EngineOptions,
  log: Logger,
  library: Llama | undefined,
): Promise<Need | undefined> {
  if (options.backend === "scripted") return undefined;
  // A graphics card has its own memory, and the library that uses the card knows how much.
  if (options.memoryLimit === undefined && graphicsCards() !== null) return undefined;
  try {
    return await needOf(options.backend, { model: options.model!, mmproj: options.mmproj }, library);
  } catch (thrown) {
    log.debug({ err: thrown }, "the memory that the model needs cannot be estimated");
    return undefined;
  }
}

export function bytesOf(need: Need, { slots, contextSize }: Shape): number {
  return Math.round(need.fixedBytes + need.perTokenBytes * slots * contextSize + need.perSlotBytes * slots);
}

/**
 * The first shape that fits: first the wanted one, then with its context halved again and again down to MIN_CONTEXT, then
 * with fewer and fewer slots. Pure.
 */
export function planMemory(need: Need, available: number, wanted: Wanted): Plan {
  const contexts = wanted.contextSet ? [wanted.contextSize] : halvings(wanted.contextSize);
  const counts = wanted.slotsSet
    ? [wanted.slots]
    : Array.from({ length: wanted.slots }, (_, less) => wanted.slots - less);
  const smallest = contexts.at(-1)!;
  const shapes = [
    ...contexts.map((contextSize) => ({ slots: wanted.slots, contextSize })),
    ...counts.slice(1).map((slots) => ({ slots, contextSize: smallest })),
  ];
  const shape = shapes.find((one) => bytesOf(need, one) <= available);
  if (shape === undefined) {
    const least = shapes.at(-1)!;
    return { is: "refused", ...least, bytes: bytesOf(need, least) };
  }
  const hasLessContext = shape.contextSize < wanted.contextSize;
  const is = shape.slots < wanted.slots ? "fewer slots" : hasLessContext ? "less context" : "fits";
  return { is, ...shape, bytes: bytesOf(need, shape) };
}

function halvings(contextSize: number): number[] {
  const half = Math.floor(contextSize / 2);
  return half < MIN_CONTEXT ? [contextSize] : [contextSize, ...halvings(half)];
}

/** What was decided and why, for the log or the error. */
export function explain(plan: Plan, wanted: Wanted, need: Need, available: number): string {
  const has = `${gib(available)} ${available === 2 ** 30 ? "is" : "are"} available`;
  const shape = `${plural(plan.slots, "slot")} of ${plan.contextSize} tokens`;
  if (plan.is !== "refused")
    return `The engine uses ${shape} instead of ${wanted.slots} of ${wanted.contextSize}: these need ${gib(bytesOf(need, wanted))}, and ${has}.`;
  const start = `The model needs ${gib(plan.bytes)} with ${shape}, and ${has}`;
  if (need.weightsBytes > available)
    return `${start}; its weights alone are ${gib(need.weightsBytes)}. Use a smaller model or quantization.`;
  return `${start}. Use a smaller quantization${alternatives(wanted, need, available)}.`;
}

/** The settings of the user that could be smaller, and how small they must be. */
function alternatives(wanted: Wanted, need: Need, available: number): string {
  const free = { ...wanted, slotsSet: false, contextSet: false };
  const fewer = planMemory(need, available, { ...free, contextSet: wanted.contextSet });
  const shorter = planMemory(need, available, { ...free, slotsSet: wanted.slotsSet });
  const settings = [
    wanted.slotsSet && fewer.is === "fewer slots" && `--slots ${fewer.slots} (KAMADO_SLOTS)`,
    wanted.contextSet &&
      shorter.is === "less context" &&
      `--context-size ${shorter.contextSize} (KAMADO_CONTEXT_SIZE)`,
  ].filter((setting) => setting !== false);
  if (settings.length > 0) return `, or ${settings.join(", or ")}`;
  return wanted.slotsSet || wanted.contextSet ? ", fewer slots and a smaller context" : "";
}

const gib = (bytes: number) =>
  bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${Math.ceil(bytes / 2 ** 20)} MiB`;
