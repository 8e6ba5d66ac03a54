// What the standard variables of OpenTelemetry mean here (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
// They may be set for other programs too, so they are checked only where there is somewhere to send to.
import { z } from "zod";
import { describeIssues, KamadoError } from "../errors.ts";
import type { Environment } from "./environment.ts";
import { type Secret, secret } from "./secret.ts";

const oneOf = <const T extends string>(all: readonly T[]) =>
  z.enum(all, { error: `must be one of ${all.join(", ")}` });
const milliseconds = z.coerce
  .number({ error: "must be a number of milliseconds above 0" })
  .positive({ error: "must be a number of milliseconds above 0" });

const SAMPLERS = [
  "always_on",
  "always_off",
  "traceidratio",
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio",
] as const;

/** `user=a%20b,key=c` as W3C baggage writes it. */
const pairs = z.string().transform((text, context) => {
  const entries = text
    .split(",")
    .filter((pair) => pair.trim() !== "")
    .map((pair) => {
      const [, name, value] = /^\s*([^=\s]+)\s*=\s*(.*?)\s*$/s.exec(pair) ?? [];
      return name === undefined ? undefined : ([name, decoded(value!)] as const);
    });
  if (entries.every((entry) => entry !== undefined))
    return Object.fromEntries(entries) as Record<string, string>;
  context.addIssue({ code: "custom", message: "must be a list like name=value,name=value" });
  return z.NEVER;
});

const Standard = z.object({
  OTEL_EXPORTER_OTLP_PROTOCOL: oneOf(["http/protobuf", "http/json"]).default("http/protobuf"),
  OTEL_EXPORTER_OTLP_HEADERS: pairs.default({}),
  OTEL_EXPORTER_OTLP_COMPRESSION: oneOf(["gzip", "none"]).default("none"),
  OTEL_EXPORTER_OTLP_TIMEOUT: milliseconds.default(10_000),
  OTEL_SERVICE_NAME: z.string().optional(),
  OTEL_RESOURCE_ATTRIBUTES: pairs.default({}),
  OTEL_TRACES_SAMPLER: oneOf(SAMPLERS).default("parentbased_always_on"),
  OTEL_TRACES_SAMPLER_ARG: z.coerce
    .number({ error: "must be a number from 0 to 1" })
    .min(0, { error: "must be a number from 0 to 1" })
    .max(1, { error: "must be a number from 0 to 1" })
    .default(1),
  OTEL_TRACES_EXPORTER: oneOf(["otlp", "none"]).default("otlp"),
  OTEL_METRICS_EXPORTER: oneOf(["otlp", "none"]).default("otlp"),
  OTEL_METRIC_EXPORT_INTERVAL: milliseconds.default(60_000),
});

export type Telemetry = {
  /** Where they are sent to; undefined: nowhere. */
  traces: string | undefined;
  metrics: string | undefined;
  protocol: "http/protobuf" | "http/json";
  /** Names and values; the values may be secrets. */
  headers: Readonly<Record<string, Secret>>;
  compression: "gzip" | "none";
  timeoutMs: number;
  /** Of the service, `service.name` included. */
  resource: Readonly<Record<string, string>>;
  sampler: (typeof SAMPLERS)[number];
  /** From 0 to 1. */
  ratio: number;
  metricIntervalMs: number;
};

/** Undefined where nothing is to be exported. Throws `config_invalid`. */
export function telemetryOf(env: Environment): Telemetry | undefined {
  const both = env.OTEL_EXPORTER_OTLP_ENDPOINT?.replace(/\/+$/, "");
  const all = {
    traces: env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? (both && `${both}/v1/traces`),
    metrics: env.OTEL_EXPORTER_OTLP_METRICS_ENDPOINT ?? (both && `${both}/v1/metrics`),
  };
  if ((!all.traces && !all.metrics) || /^true$/i.test(env.OTEL_SDK_DISABLED ?? "")) return undefined;
  // No value is shown: a header may be a secret.
  const parsed = Standard.safeParse(env);
  if (!parsed.success) throw new KamadoError("config_invalid", describeIssues(parsed.error, {}));
  const own = parsed.data;
  const traces = own.OTEL_TRACES_EXPORTER === "otlp" ? all.traces : undefined;
  const metrics = own.OTEL_METRICS_EXPORTER === "otlp" ? all.metrics : undefined;
  if (!traces && !metrics) return undefined;
  const name = own.OTEL_SERVICE_NAME ?? own.OTEL_RESOURCE_ATTRIBUTES["service.name"] ?? "kamado";
  return {
    traces,
    metrics,
    protocol: own.OTEL_EXPORTER_OTLP_PROTOCOL,
    headers: Object.fromEntries(
      Object.entries(own.OTEL_EXPORTER_OTLP_HEADERS).map(([header, value]) => [header, secret(value)]),
    ),
    compression: own.OTEL_EXPORTER_OTLP_COMPRESSION,
    timeoutMs: own.OTEL_EXPORTER_OTLP_TIMEOUT,
    resource: { ...own.OTEL_RESOURCE_ATTRIBUTES, "service.name": name },
    sampler: own.OTEL_TRACES_SAMPLER,
    ratio: own.OTEL_TRACES_SAMPLER_ARG,
    metricIntervalMs: own.OTEL_METRIC_EXPORT_INTERVAL,
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
