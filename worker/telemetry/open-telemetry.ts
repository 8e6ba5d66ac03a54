// Sends spans and metrics to a collector, with OpenTelemetry's SDK. It is loaded only where there is a collector (OTEL_EXPORTER_OTLP_ENDPOINT),
// because it takes memory and time. Nothing waits for the collector: spans wait in a bounded buffer, and what finds no room is dropped. That
// it does not answer is said once. What is measured is decided in metrics/, where a span begins and ends by whoever does the work.
import type { Agent } from "node:http";
import { Socket } from "node:net";
import {
  type Attributes,
  createTraceState,
  type Span as OtelSpan,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from "@opentelemetry/api";
import { OTLPMetricExporter as JsonMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPMetricExporter as ProtoMetricExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { OTLPTraceExporter as JsonTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtoTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  MeterProvider,
  PeriodicExportingMetricReader,
  type PushMetricExporter,
} from "@opentelemetry/sdk-metrics";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import type { Telemetry as Settings } from "../config/telemetry.ts";
import { readTraceContext, type TraceContext, type TraceFields } from "../job/trace-context.ts";
import type { Log } from "../logging/log.ts";
import type { WorkerFamily } from "../metrics/family.ts";
import { passOn, type Span, type SpanOptions, type Tracer } from "../tracing/tracer.ts";
import { Availability, type Exporter } from "./availability.ts";
import { metricProducer } from "./metric-data.ts";

export type Telemetry = {
  tracer: Tracer;
  /** Sends from now on what `families` says. */
  sendMetrics(families: () => Promise<readonly WorkerFamily[]>): void;
  /** Sends what is left, for two seconds at most. Nothing is on its way afterwards. */
  stop(): Promise<void>;
};

export type TelemetryOptions = {
  settings: Settings;
  worker: string;
  version: string;
  log: Pick<Log, "warn" | "info">;
};

const STOP_MS = 2_000;
/** Characters of an attribute: a job's id, an address without what may be a token. */
const LONGEST_VALUE = 300;

export function openTelemetry({ settings, worker, version, log }: TelemetryOptions): Telemetry {
  const resource = resourceFromAttributes({
    "service.version": version,
    "service.instance.id": worker,
    ...settings.resource,
  });
  const { traces, metrics, metricIntervalMs } = settings;
  // One of the two may be refused, as by a collector of traces alone.
  const sending: { collector: Availability; provider: { shutdown(): Promise<void> } }[] = [];
  function watched<T>(exporter: Exporter<T>, what: string, url: string): Availability {
    const collector = new Availability({ what, at: new URL(url).origin, log });
    collector.watch(exporter);
    return collector;
  }
  const connections = new Connections();
  let provider: TracerProvider | undefined;
  if (traces !== undefined) {
    const exporter = spanExporter(optionsFor(traces, settings, connections), settings);
    const collector = watched(exporter, "traces", traces);
    const spanProcessors = [new BatchSpanProcessor({ exporter })];
    const spanLimits = { attributeValueLengthLimit: LONGEST_VALUE };
    provider = new TracerProvider({ resource, sampler: samplerOf(settings), spanLimits, spanProcessors });
    sending.push({ collector, provider });
  }

  return {
    tracer: provider ? tracerOf(provider, version) : passOn,
    sendMetrics(families) {
      if (metrics === undefined) return;
      const exporter = metricExporter(optionsFor(metrics, settings, connections), settings);
      const collector = watched(exporter, "metrics", metrics);
      const metricProducers = [metricProducer(families, { resource, version })];
      const reader = { exporter, exportIntervalMillis: metricIntervalMs, metricProducers };
      const readers = [new PeriodicExportingMetricReader(reader)];
      sending.push({ collector, provider: new MeterProvider({ resource, readers }) });
    },
    async stop() {
      // A collector that does not answer would only hold up the end.
      const reached = sending.filter(({ collector }) => !collector.isDown);
      const over = AbortSignal.timeout(STOP_MS);
      const sent = Promise.allSettled(reached.map((one) => one.provider.shutdown()));
      await Promise.race([sent, new Promise((resolve) => over.addEventListener("abort", resolve))]);
      connections.close();
    },
  };
}

/** To the collector. One that does not answer would keep the process alive until its requests are given up, and tried again. */
class Connections {
  readonly #agents: Agent[] = [];
  #isClosed = false;

  /** An agent as the exporters want it. */
  readonly open = async (protocol: string): Promise<Agent> => {
    const { Agent } = await (protocol === "https:" ? import("node:https") : import("node:http"));
    const agent = new Agent({ keepAlive: true });
    const connect = agent.createConnection.bind(agent);
    agent.createConnection = (...given) => (this.#isClosed ? new Socket().destroy(ENDED) : connect(...given));
    this.#agents.push(agent);
    return agent;
  };

  close(): void {
    this.#isClosed = true;
    for (const agent of this.#agents) {
      for (const socket of Object.values(agent.sockets).flat()) socket?.destroy(ENDED);
      agent.destroy();
    }
  }
}

/** None that is worth another try. */
const ENDED = new Error("the worker has ended");

const optionsFor = (url: string, { headers, timeoutMs, compression }: Settings, { open }: Connections) => ({
  url,
  headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value.reveal()])),
  timeoutMillis: timeoutMs,
  httpAgentOptions: open,
  // Its enum is in a package of the exporters.
  compression: compression as never,
});
type Options = ReturnType<typeof optionsFor>;

const spanExporter = (options: Options, { protocol }: Settings): SpanExporter =>
  protocol === "http/json" ? new JsonTraceExporter(options) : new ProtoTraceExporter(options);

const metricExporter = (options: Options, { protocol }: Settings): PushMetricExporter =>
  protocol === "http/json" ? new JsonMetricExporter(options) : new ProtoMetricExporter(options);

const ROOT_SAMPLERS = {
  always_on: () => new AlwaysOnSampler(),
  always_off: () => new AlwaysOffSampler(),
  traceidratio: (ratio: number) => new TraceIdRatioBasedSampler(ratio),
};

function samplerOf({ sampler, ratio }: Settings): Sampler {
  const name = sampler.replace("parentbased_", "") as keyof typeof ROOT_SAMPLERS;
  const root = ROOT_SAMPLERS[name](ratio);
  return name === sampler ? root : new ParentBasedSampler({ root });
}

const KINDS = {
  internal: SpanKind.INTERNAL,
  client: SpanKind.CLIENT,
  consumer: SpanKind.CONSUMER,
  producer: SpanKind.PRODUCER,
};

function tracerOf(provider: TracerProvider, version: string): Tracer {
  const tracer = provider.getTracer("kamado", version);
  return {
    begin(name: string, { parent, kind = "internal", at, attributes = {} }: SpanOptions): Span {
      const options = {
        kind: KINDS[kind],
        attributes: attributes as Attributes,
        ...(at !== undefined && { startTime: at }),
      };
      return spanOf(tracer.startSpan(name, options, contextOf(parent)));
    },
  };
}

/** No context of the process is used: what belongs to a job is passed on with the job. */
function contextOf(parent: TraceFields) {
  const read = readTraceContext(parent);
  if (!read) return ROOT_CONTEXT;
  const [, traceId = "", spanId = "", flags = ""] = read.traceparent.split("-");
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16),
    isRemote: true,
    ...(read.tracestate !== undefined && { traceState: createTraceState(read.tracestate) }),
  });
}

function spanOf(span: OtelSpan): Span {
  return {
    trace: traceOf(span),
    set: (attributes) => void span.setAttributes(attributes as Attributes),
    end(error, at) {
      if (error !== undefined) {
        span.setAttribute("error.type", error);
        span.setStatus({ code: SpanStatusCode.ERROR, message: error });
      }
      span.end(at);
    },
  };
}

function traceOf(span: OtelSpan): TraceContext | undefined {
  const { traceId, spanId, traceFlags, traceState } = span.spanContext();
  const flags = (traceFlags & (TraceFlags.SAMPLED | RANDOM)).toString(16).padStart(2, "0");
  return readTraceContext({
    traceparent: `00-${traceId}-${spanId}-${flags}`,
    tracestate: traceState?.serialize(),
  });
}

/** Level 2 of the standard: the trace's id is random. */
const RANDOM = 2;
