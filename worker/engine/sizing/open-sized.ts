// Opens a backend with the number of slots and the context that suit this machine. The slots are set by the user, read from
// an earlier calibration, measured now, or the default. Only here do memory, calibration and backend come together.
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Llama } from "node-llama-cpp";
import type { Logger } from "pino";
import type { OpenOptions } from "../backends/node-llama-cpp/open.ts";
import type { Backend } from "../generation/backend.ts";
import type { EngineOptions } from "../options.ts";
import type { SlotsFrom } from "../protocol.ts";
import { type Calibration, readCalibration, subjectOf, writeCalibration } from "./calibration-store.ts";
import { chooseWidth, DEFAULT_SLOTS, isDisturbed, type Measured, WIDTHS } from "./choose.ts";
import { measure } from "./measure.ts";
import { type Fit, type Fitted, openFit } from "./memory-fit.ts";
import { summaryOf, tableOf } from "./report.ts";

export type Opened = {
  backend: Backend;
  /** What the model and its slots are estimated to need, where that can be known. */
  estimatedBytes?: number | undefined;
  /** The lines of a table, when the slots were chosen by a calibration. */
  calibration?: string[];
  slotsFrom: SlotsFrom;
  /** Other work disturbed the measurement, so that another may find another number. */
  wasDisturbed?: boolean;
};
/** Reports what takes so long; undefined when it is over. */
export type OnStage = (doing: string | undefined) => void;

type Next = NonNullable<SlotsFrom["next"]>;

const BUDGET_MS = 8_000;
/** Measuring is given up on a machine that needs longer than this. */
const HARD_LIMIT_MS = 45_000;
/** Enough for the prompts that measure. The slots get their real context afterwards. */
const MEASURING_CONTEXT = 1_024;

type Opening = {
  options: EngineOptions;
  /** One for the estimate, the measurement and the model: before each load on Linux, a process of its own tries it. */
  library: Llama | undefined;
  fit: Fit;
  log: Logger;
  onStage: OnStage;
};

export async function openSized(options: EngineOptions, log: Logger, onStage: OnStage): Promise<Opened> {
  const library = options.backend === "node-llama-cpp" ? await loadLibrary(options, log) : undefined;
  const fit = await openFit(options, log, library);
  const opening = { options, library, fit, log, onStage };
  const { slots, backend, dataDir } = options;
  if (slots !== "auto") return openFitted(opening, fit({ slots, slotsSet: true }), { from: "setting" });
  // Where a calibration cannot be kept, every start would have to measure.
  if (backend === "scripted" || dataDir === undefined)
    return openFitted(opening, fit({ slots: DEFAULT_SLOTS, slotsSet: false }), { from: "default" });
  return openCalibrated(opening, dataDir);
}

async function openFitted(
  { options, log, library }: Opening,
  fitted: Fitted,
  slotsFrom: SlotsFrom,
): Promise<Opened> {
  const backend = await openBackend(options, fitted, log, library && { llama: library, ownsLibrary: true });
  return { backend, estimatedBytes: fitted.estimatedBytes, slotsFrom };
}

async function openCalibrated(opening: Opening, dataDir: string): Promise<Opened> {
  const { options, fit, log } = opening;
  const kept =
    options.calibrate === "always" ? undefined : await readCalibration(dataDir, subjectOf(options));
  const isTrusted = kept?.measured.seenTwice !== undefined;
  const calibration = isTrusted ? kept : ((await calibrate(opening, dataDir)) ?? kept);
  const slots = (calibration && chooseWidth(calibration.measured)) ?? DEFAULT_SLOTS;
  const fitted = fit({ slots, slotsSet: false });
  const opened = await openFitted(opening, fitted, slotsFrom(calibration));
  if (calibration === undefined) return opened;
  log.info({ measured: calibration.measured, slots: fitted.slots }, summaryOf(calibration, fitted.slots));
  const table = tableOf(calibration, fitted.slots);
  return { ...opened, calibration: table, wasDisturbed: isDisturbed(calibration.measured) };
}

function slotsFrom(calibration: Calibration | undefined): SlotsFrom {
  if (calibration === undefined) return { from: "default" };
  const { measured, measuredAt, subject } = calibration;
  const { steady, sampling, readings, prefillTokensPerSecond } = measured;
  const from = chooseWidth(measured) === undefined ? "default" : "measurement";
  const figures = { readings, prefillTokensPerSecond, modelBytes: subject.model.size, cpu: subject.cpu };
  return { from, measuredAt, steady, ...(sampling !== undefined && { sampling }), measured: figures };
}

/** Undefined when measuring fails: the engine serves all the same. */
async function calibrate(
  { options, library, fit, log, onStage }: Opening,
  dataDir: string,
): Promise<Calibration | undefined> {
  onStage("calibrating");
  log.info("measuring how many requests at once this machine runs best; a few seconds");
  try {
    const measured = await measureWidest(options, fit, log, library);
    const calibration = { subject: subjectOf(options), measuredAt: new Date().toISOString(), measured };
    // A measurement that other work disturbed must not decide about every later start.
    if (measured.steady) await keep(dataDir, calibration, log);
    return calibration;
  } catch (thrown) {
    log.warn({ err: thrown }, `this model could not be measured; it gets ${DEFAULT_SLOTS} slots`);
    return undefined;
  } finally {
    onStage(undefined);
  }
}

/** Keeps what was measured while the engine was idle, and returns how many slots the next start will have, by it. */
export async function keepForNextStart(
  options: EngineOptions,
  measured: Measured,
  log: Logger,
): Promise<Next> {
  const measuredAt = new Date().toISOString();
  const calibration = { subject: subjectOf(options), measuredAt, measured };
  if (options.dataDir !== undefined) await keep(options.dataDir, calibration, log);
  return { slots: chooseWidth(measured) ?? DEFAULT_SLOTS, measuredAt };
}

/** Measures with as many slots as the widest width needs, or as many as fit. */
export async function measureWidest(
  options: EngineOptions,
  fit: Fit,
  log: Logger,
  library?: Llama,
): Promise<Measured> {
  const fitted = fit({ slots: WIDTHS.at(-1)!, slotsSet: false }, MEASURING_CONTEXT);
  return measureAndClose(await openBackend(options, fitted, log, library && { llama: library }));
}

async function measureAndClose(backend: Backend): Promise<Measured> {
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

const loadLibrary = async ({ threads = defaultThreads() }: EngineOptions, log: Logger): Promise<Llama> =>
  (await import("../backends/node-llama-cpp/open.ts")).openLibrary({ threads }, log);

/** Opens the backend that the options name. Its native library is loaded here and not before, unless it is `shared`. */
async function openBackend(
  options: EngineOptions,
  fitted: Fitted,
  log: Logger,
  shared?: Pick<OpenOptions, "llama" | "ownsLibrary">,
): Promise<Backend> {
  const { backend, mmproj, threads = defaultThreads(), script, dataDir, chatTemplate: template } = options;
  const { slots, contextSize } = fitted;
  if (backend === "scripted")
    return (await import("../backends/scripted/open.ts")).openScripted({ script, slots });
  const model = options.model!;
  if (backend === "node-llama-cpp") {
    const { openNodeLlamaCpp } = await import("../backends/node-llama-cpp/open.ts");
    const prefixFolder = dataDir && join(dataDir, "prefixes");
    return openNodeLlamaCpp({ model, slots, contextSize, threads, prefixFolder, template, ...shared }, log);
  }
  if (backend === "llama-server") {
    const { openLlamaServer } = await import("../backends/llama-server/open.ts");
    const { llamaServer: command, prefixFiles } = options;
    return openLlamaServer(
      { command: command!, model, mmproj, slots, contextSize, threads, prefixFiles, template },
      log,
    );
  }
  const { openLlamaNode } = await import("../backends/llama-node/open.ts");
  return openLlamaNode({ model, mmproj, slots, contextSize, threads, template });
}

/**
 * llama.cpp's threads spin while they wait for each other, so one core that is busy with something else slows all of them
 * down. On a CPU one core is therefore left free. With Metal the library's own default is better.
 */
function defaultThreads(): number | undefined {
  return process.platform === "darwin" ? undefined : Math.max(1, availableParallelism() - 1);
}
