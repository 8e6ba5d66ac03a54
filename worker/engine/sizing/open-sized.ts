// Opens a backend with the number of slots and the context this machine is good for: named by hand, measured before, measured
// now, or the default. The only place where memory, calibration and backend meet.

import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Logger } from "pino";
import type { Backend } from "../generation/backend.ts";
import type { EngineOptions } from "../options.ts";
import { type Calibration, readCalibration, writeCalibration } from "./calibration-store.ts";
import { chooseWidth, DEFAULT_SLOTS, type Measured, WIDTHS } from "./choose.ts";
import { subjectOf } from "./machine.ts";
import { measure } from "./measure.ts";
import { type Fit, type Fitted, openFit } from "./memory-fit.ts";
import { receiverOf, tableOf } from "./report.ts";

export type Opened = {
  backend: Backend;
  /** What the model and its slots take of memory, where that can be known. */
  estimatedBytes?: number | undefined;
  /** The calibration as a table, when the slots were chosen by one. */
  calibration?: string[];
};
/** How the outside is told what takes so long; nothing again when it is over. */
export type Tell = (doing: string | undefined) => void;

const BUDGET_MS = 8_000;
/** A machine that needs longer for one look is not worth the wait. */
const HARD_LIMIT_MS = 45_000;
/** Enough for what is asked while measuring; what the slots have afterwards is fitted anew. */
const MEASURING_CONTEXT = 1_024;

export async function openSized(options: EngineOptions, log: Logger, tell: Tell): Promise<Opened> {
  const fit = await openFit(options, log);
  const open = ({ slots, contextSize }: Fitted) => openBackend({ ...options, slots, contextSize }, log);
  const opened = async (fitted: Fitted) => {
    return { backend: await open(fitted), estimatedBytes: fitted.estimatedBytes };
  };
  if (options.slots !== "auto") return opened(fit({ slots: options.slots, slotsNamed: true }));
  // Without a place to keep it the price would be paid at every start.
  if (options.backend === "scripted" || options.dataDir === undefined)
    return opened(fit({ slots: DEFAULT_SLOTS, slotsNamed: false }));
  return calibrated({ options, dataDir: options.dataDir, fit, open, log, tell });
}

type Calibrating = {
  options: EngineOptions;
  dataDir: string;
  fit: Fit;
  open(fitted: Fitted): Promise<Backend>;
  log: Logger;
  tell: Tell;
};

async function calibrated(all: Calibrating): Promise<Opened> {
  const { options, dataDir, fit, open, log } = all;
  const stored =
    options.calibrate === "always" ? undefined : await readCalibration(dataDir, subjectOf(options));
  const calibration = stored ?? (await measureAnew(all));
  const slots = (calibration && chooseWidth(calibration.measured)) ?? DEFAULT_SLOTS;
  const fitted = fit({ slots, slotsNamed: false });
  const opened = { backend: await open(fitted), estimatedBytes: fitted.estimatedBytes };
  if (calibration === undefined) return opened;
  log.info({ measured: calibration.measured, slots: fitted.slots }, receiverOf(calibration, fitted.slots));
  return { ...opened, calibration: tableOf(calibration, fitted.slots) };
}

/** Undefined for want of a measurement: an engine that could not be measured still serves. */
async function measureAnew({
  options,
  dataDir,
  fit,
  open,
  log,
  tell,
}: Calibrating): Promise<Calibration | undefined> {
  const fitted = fit({ slots: WIDTHS.at(-1)!, slotsNamed: false }, MEASURING_CONTEXT);
  const subject = subjectOf(options);
  tell("calibrating");
  log.info(
    { slots: fitted.slots },
    "measuring how many requests at once this machine runs best; a few seconds",
  );
  try {
    const measured = await measuredOn(await open(fitted));
    const calibration = { subject, measuredAt: new Date().toISOString(), measured };
    // What was disturbed would be believed for ever.
    if (measured.steady) await keep(dataDir, calibration, log);
    return calibration;
  } catch (thrown) {
    log.warn({ err: thrown }, `this model could not be measured; it gets ${DEFAULT_SLOTS} slots`);
    return undefined;
  } finally {
    tell(undefined);
  }
}

async function measuredOn(backend: Backend): Promise<Measured> {
  try {
    const signal = AbortSignal.timeout(HARD_LIMIT_MS);
    const measured = await measure(backend, { now: () => performance.now(), budgetMs: BUDGET_MS, signal });
    const [first] = measured.leftOut;
    if (measured.readings.length === 0 && first?.why === "failed") throw new Error(first.words);
    return measured;
  } finally {
    await backend.close();
  }
}

const keep = (dataDir: string, calibration: Calibration, log: Logger) =>
  writeCalibration(dataDir, calibration).catch((thrown) =>
    log.warn({ err: thrown }, "the calibration cannot be kept; the next start measures again"),
  );

// Opens the backend the options name. Native libraries are loaded only when they are wanted.
/** Slots and context are chosen before, in calibration/open.ts. */
export type Sized = Omit<EngineOptions, "slots" | "contextSize"> & {
  slots: number;
  contextSize: number | undefined;
};

export async function openBackend(options: Sized, log: Logger): Promise<Backend> {
  const { backend, slots, contextSize, threads = defaultThreads(), script } = options;
  if (backend === "scripted")
    return (await import("../backends/scripted/open.ts")).openScripted({ script, slots });
  const model = options.model!;
  if (backend === "node-llama-cpp") {
    const { openNodeLlamaCpp } = await import("../backends/node-llama-cpp/open.ts");
    const prefixFolder = options.dataDir && join(options.dataDir, "prefixes");
    return openNodeLlamaCpp({ model, slots, contextSize, threads, prefixFolder }, log);
  }
  if (backend === "llama-server") {
    const { openLlamaServer } = await import("../backends/llama-server/open.ts");
    const { mmproj, llamaServer: command } = options;
    return openLlamaServer({ command: command!, model, mmproj, slots, contextSize, threads }, log);
  }
  const { openLlamaNode } = await import("../backends/llama-node/open.ts");
  return openLlamaNode({ model, mmproj: options.mmproj, slots, contextSize, threads });
}

/**
 * llama.cpp's threads wait for each other by spinning, so on a CPU a core is left to everything else, or one busy core stops
 * all of them. With Metal the libraries know better.
 */
function defaultThreads(): number | undefined {
  return process.platform === "darwin" ? undefined : Math.max(1, availableParallelism() - 1);
}
