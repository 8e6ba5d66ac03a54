// A collector of OpenTelemetry for tests: a real HTTP server that decodes what exporters send, as JSON or as protobuf.
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";

export type CollectedSpan = {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId: string;
  /** As the collector counts them: 1 internal, 3 client, 4 producer, 5 consumer. */
  kind: number;
  attributes: Record<string, unknown>;
  /** 2 for an error. */
  status: number;
};

export type Collector = AsyncDisposable & {
  url: string;
  spans: CollectedSpan[];
  /** By name, the attributes of each point of the last batch. */
  metrics: Map<string, { unit: string; points: { attributes: Record<string, unknown>; value: unknown }[] }>;
  resource: Record<string, unknown>;
  requests: { path: string; headers: IncomingHttpHeaders; text: string }[];
  /** How it answers [200]. */
  status: number;
};

export async function startCollector(): Promise<Collector> {
  const server = createServer(async (request, response) => {
    const sent = await buffer(request);
    const body = request.headers["content-encoding"] === "gzip" ? gunzipSync(sent) : sent;
    const { headers, url: path = "" } = request;
    collector.requests.push({ path, headers, text: body.toString("latin1") });
    if (collector.status === 200) read(path, headers["content-type"] === "application/json", body, collector);
    response.writeHead(collector.status, { "content-type": headers["content-type"] ?? "" }).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const collector: Collector = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans: [],
    metrics: new Map(),
    resource: {},
    requests: [],
    status: 200,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
  return collector;
}

type KeyValue = { key: string; value: Record<string, unknown> };
type JsonSpan = {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  kind: number;
  attributes: KeyValue[];
  status?: { code?: number };
};
type JsonMetric = { name: string; unit: string } & Record<
  string,
  { dataPoints: { attributes: KeyValue[] }[] }
>;

function read(path: string, isJson: boolean, body: Buffer, collector: Collector): void {
  if (!isJson) {
    if (path === "/v1/traces") collector.spans.push(...spansIn(body));
    return;
  }
  const { resourceSpans = [], resourceMetrics = [] } = JSON.parse(body.toString());
  for (const { resource, scopeSpans } of resourceSpans) {
    collector.resource = attributesOf(resource.attributes);
    for (const { spans } of scopeSpans) collector.spans.push(...spans.map(spanOf));
  }
  for (const { scopeMetrics } of resourceMetrics)
    for (const { metrics } of scopeMetrics)
      for (const metric of metrics as JsonMetric[]) {
        const { name, unit } = metric;
        const { dataPoints } = (metric.sum ?? metric.gauge ?? metric.histogram)!;
        const points = dataPoints.map((point) => ({
          attributes: attributesOf(point.attributes),
          value: point,
        }));
        collector.metrics.set(name, { unit, points });
      }
}

const attributesOf = (attributes: readonly KeyValue[]): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));

const spanOf = ({ attributes, status, parentSpanId = "", ...span }: JsonSpan): CollectedSpan => ({
  ...span,
  parentSpanId,
  attributes: attributesOf(attributes),
  status: status?.code ?? 0,
});

type Field = { number: number; value: Buffer | bigint };

/** The fields of a protobuf message. */
function fieldsOf(message: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const key = Number(varint());
    const [number, type] = [key >> 3, key & 7];
    if (type === 0) fields.push({ number, value: varint() });
    else {
      const length = type === 2 ? Number(varint()) : type === 1 ? 8 : 4;
      fields.push({ number, value: message.subarray(at, at + length) });
      at += length;
    }
  }
  return fields;
}

const inner = (message: Buffer, number: number): Buffer[] =>
  fieldsOf(message)
    .filter((field) => field.number === number)
    .map(({ value }) => value as Buffer);

/** ExportTraceServiceRequest > ResourceSpans (1) > ScopeSpans (2) > Span (2). */
const spansIn = (body: Buffer): CollectedSpan[] =>
  inner(body, 1)
    .flatMap((resourceSpans) => inner(resourceSpans, 2))
    .flatMap((scopeSpans) => inner(scopeSpans, 2))
    .map((span) => ({
      name: String(inner(span, 5)[0]),
      traceId: inner(span, 1)[0]!.toString("hex"),
      spanId: inner(span, 2)[0]!.toString("hex"),
      parentSpanId: inner(span, 4)[0]?.toString("hex") ?? "",
      kind: Number(fieldsOf(span).find(({ number }) => number === 6)?.value ?? 0),
      attributes: {},
      status: 0,
    }));
