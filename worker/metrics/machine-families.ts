// The machine under the worker, as far as it can be read: its GPU, heat, memory and use, and whether a policy pauses pulling. What cannot be read
// is absent. How it is read is left to power/.
import type { PowerState } from "../power/power.ts";
import { THERMAL_STATES } from "../power/reading.ts";
import { METRICS, type Metric } from "./catalogue.ts";
import { family, type WorkerFamily } from "./family.ts";
import type { Sample } from "./prometheus.ts";

const PRESSURES = ["normal", "warn", "critical"];
const POLICIES = ["quiet_hours", "temperature", "in_use"];

export function machineFamilies({ reading, paused }: Pick<PowerState, "reading" | "paused">): WorkerFamily[] {
  const {
    gpuPercent,
    gpuMemoryBytes,
    gpuWatts,
    cpuWatts,
    temperature,
    thermalState,
    memoryPressure,
    idleSeconds,
  } = reading ?? {};
  return [
    ofFigure(METRICS.gpu, gpuPercent === undefined ? undefined : gpuPercent / 100),
    ofFigure(METRICS.gpuMemory, gpuMemoryBytes),
    family(METRICS.watts, [...ofPart("gpu", gpuWatts), ...ofPart("cpu", cpuWatts)]),
    ofFigure(METRICS.temperature, temperature),
    family(METRICS.thermal, oneOf(THERMAL_STATES, thermalState)),
    family(METRICS.pressure, oneOf(PRESSURES, memoryPressure)),
    ofFigure(METRICS.idle, idleSeconds),
    family(
      METRICS.paused,
      POLICIES.map((policy) => ({ labels: { policy }, value: Number(paused?.policy === policy) })),
    ),
  ];
}

const ofFigure = (metric: Metric, value: number | undefined) =>
  family(metric, value === undefined ? [] : [{ value }]);

const ofPart = (part: string, value: number | undefined): Sample[] =>
  value === undefined ? [] : [{ labels: { hw_type: part }, value }];

const oneOf = (all: readonly string[], is: string | undefined): Sample[] =>
  is === undefined ? [] : all.map((state) => ({ labels: { state }, value: Number(state === is) }));
