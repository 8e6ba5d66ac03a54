// A metric with its samples, as both kinds of writers read it: Prometheus's (prometheus.ts) and those of OpenTelemetry (telemetry/).
import type { Metric } from "./catalogue.ts";
import type { Family, Histogram, Sample } from "./prometheus.ts";

export type WorkerFamily = Family & { metric: Metric; histogram?: Histogram };

export const family = (metric: Metric, samples: readonly Sample[]): WorkerFamily => {
  const { prometheus: name, type, help } = metric;
  return { name, type, help, samples, metric };
};

export const measured = (metric: Metric, histogram: Histogram): WorkerFamily => ({
  ...family(metric, histogram.samples()),
  histogram,
});
