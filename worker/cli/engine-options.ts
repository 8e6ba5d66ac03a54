// The configuration as options of the engine a command works with.
import { join } from "node:path";
import { type Config, engineEnvironment, HOME } from "../config/config.ts";
import type { OpenOptions } from "../engine/supervisor/open-engine.ts";

/** The demo model needs no calibration. */
const DEMO_SLOTS = 8;
/** It is so small that more threads would spend more time waiting for each other than computing. */
const DEMO_THREADS = 1;

// Beside what start.mjs keeps of compiled code, and apart from it, as its flags for V8 are its own. It saves the engine a third of
// its start.
const COMPILED = { NODE_COMPILE_CACHE: join(HOME, "node_modules/.cache/kamado/engine") };

export function engineOptions(config: Config): OpenOptions {
  const { isDemo, model, mmproj, ...options } = config.engine;
  return {
    ...options,
    ...(options.backend !== "scripted" && { model, mmproj }),
    ...(isDemo && { threads: DEMO_THREADS }),
    slots: config.slots ?? (isDemo ? DEMO_SLOTS : "auto"),
    dataDir: config.dataDir,
    logLevel: config.logLevel,
    environment: { ...COMPILED, ...engineEnvironment() },
  };
}
