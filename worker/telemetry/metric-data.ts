// The worker's metrics in the form of OpenTelemetry's SDK, for its exporters: the same figures as /metrics has, under their names with dots.
import { type HrTime, ValueType } from "@opentelemetry/api";
import type { Resource } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  DataPointType,
  type MetricData,
  type MetricProducer,
} from "@opentelemetry/sdk-metrics";
import type { WorkerFamily } from "../metrics/family.ts";
import type { Histogram } from "../metrics/prometheus.ts";

type About = { resource: Resource; version: string };

export function metricProducer(
  families: () => Promise<readonly WorkerFamily[]>,
  { resource, version }: About,
): MetricProducer {
  const startTime = timeOf(Date.now() - process.uptime() * 1_000);
  return {
    async collect() {
      const times = { startTime, endTime: timeOf(Date.now()) };
      const metrics = (await families()).map((family) => dataOf(family, times));
      return {
        resourceMetrics: { resource, scopeMetrics: [{ scope: { name: "kamado", version }, metrics }] },
        errors: [],
      };
    },
  };
}

type Times = { startTime: HrTime; endTime: HrTime };

function dataOf({ metric, samples, histogram }: WorkerFamily, times: Times): MetricData {
  const { name, help: description, unit, type } = metric;
  const about = {
    descriptor: { name, description, unit, valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  };
  if (histogram)
    return { ...about, dataPointType: DataPointType.HISTOGRAM, dataPoints: pointsOf(histogram, times) };
  const dataPoints = samples.map(({ labels = {}, value }) => ({
    ...times,
    attributes: attributesOf(labels),
    value,
  }));
  return type === "counter"
    ? { ...about, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints }
    : { ...about, dataPointType: DataPointType.GAUGE, dataPoints };
}

const pointsOf = (histogram: Histogram, times: Times) =>
  histogram.counts().map(({ labels, within, sum, count }) => ({
    ...times,
    attributes: attributesOf(labels),
    value: {
      buckets: {
        boundaries: [...histogram.bounds],
        // Prometheus counts up to each bound, OpenTelemetry between two of them.
        counts: [...within, count].map((upTo, at, all) => upTo - (all[at - 1] ?? 0)),
      },
      sum,
      count,
    },
  }));

/** Those of a convention have dots there. */
const DOTTED = /^(messaging|gen_ai|error|otel)_/;

function attributesOf(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).map(([name, value]) => [dotted(name), value]));
}

/** `gen_ai_token_type` is `gen_ai.token.type`. */
const dotted = (name: string): string =>
  DOTTED.test(name)
    ? name
        .replace(/^gen_ai/, "gen-ai")
        .replaceAll("_", ".")
        .replace(/^gen-ai/, "gen_ai")
    : name;

const timeOf = (ms: number): HrTime => [Math.floor(ms / 1_000), Math.round((ms % 1_000) * 1e6)];
