// A process that measures a model once beside the engine that serves it, and ends. idle-calibration.ts starts and kills it.
import { once } from "node:events";
import { pino } from "pino";
import type { EngineOptions } from "../options.ts";
import { openFit } from "./memory-fit.ts";
import { measureWidest } from "./open-sized.ts";

process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
const [options] = (await once(process, "message")) as [EngineOptions];
const log = pino({ level: "silent" });
const measured = await measureWidest(options, await openFit(options, log), log);
process.send!(measured, () => process.exit(0));
