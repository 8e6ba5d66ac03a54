// What a collector gets, and what a job notices of it: one trace from its sender to its receivers, and nothing else.
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { CreateQueueCommand } from "@aws-sdk/client-sqs";
import { expect, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import type { Log } from "../../worker/logging/log.ts";
import { createMounts } from "../../worker/mounts.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { samplesIn } from "../metrics/text-format.ts";
import { startCollector } from "./collector.ts";
import { startWholeWorker } from "./whole-worker.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SENDER = "00f067aa0ba902b7";
const traceparent = `00-${TRACE}-${SENDER}-01`;
const PROMPT = { prompt: "A text that nobody else may see" };
const IN_TRACE = new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`);

test("a job has one trace at all stations: sender, engine, receivers and collector", async () => {
  await using collector = await startCollector();
  const whole = await startWholeWorker({
    OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/`,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_EXPORTER_OTLP_HEADERS: "x-api-key=a%20secret",
    OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
    OTEL_SERVICE_NAME: "mac-mini",
    OTEL_RESOURCE_ATTRIBUTES: "deployment.environment=home",
  });
  const { client, ended, engine, receiver, worker, aws } = whole;
  const { sqs } = makeAwsClients(aws);
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: "results" }));
  const deliver = [{ callback: `${receiver.url}/hook?token=a-secret` }, { sqs: QueueUrl! }];
  await client.enqueue("prompt", PROMPT, { id: "traced", traceparent, tracestate: "vendor=1", deliver });
  await ended("traced");
  const [message] = await sqsQueue(sqs, QueueUrl!).receive({ max: 1, waitSeconds: 5, visibilitySeconds: 60 });
  sqs.destroy();
  const result = await client.wait("traced");
  const metrics = samplesIn(await textOf(worker));
  // What is left is sent at the stop.
  await whole[Symbol.asyncDispose]();

  const asked = engine.received.find(({ path }) => path === "/v1/chat/completions")!;
  const [hook] = receiver.received;
  for (const { traceparent: own, tracestate } of [asked.headers, hook!.headers, message!.trace!]) {
    expect(own).toMatch(IN_TRACE);
    expect(own).not.toBe(traceparent);
    expect(tracestate).toBe("vendor=1");
  }
  expect(result.receipt.traceId).toBe(TRACE);

  const byName = Map.groupBy(collector.spans, ({ name }) => name);
  expect([...byName.keys()].toSorted()).toEqual([
    "chat stub-model",
    "deliver callback",
    "deliver sqs",
    "process kamado-jobs",
    "queue",
    "store",
  ]);
  expect(new Set(collector.spans.map(({ traceId }) => traceId))).toEqual(new Set([TRACE]));
  const [job] = byName.get("process kamado-jobs")!;
  expect(job).toMatchObject({ parentSpanId: SENDER, kind: 5, status: 0 });
  expect(job!.attributes).toMatchObject({
    "messaging.system": "aws_sqs",
    "kamado.job.id": "traced",
    "kamado.job.kind": "prompt",
    "kamado.job.outcome": "succeeded",
  });
  const others = collector.spans.filter((span) => span !== job);
  expect(others.map(({ parentSpanId }) => parentSpanId)).toEqual(others.map(() => job!.spanId));
  // Each station goes on in the span that was made for it.
  const spanOf = (header: string | undefined) => header!.split("-")[2];
  expect(spanOf(asked.headers.traceparent)).toBe(byName.get("chat stub-model")![0]!.spanId);
  expect(spanOf(hook!.headers.traceparent)).toBe(byName.get("deliver callback")![0]!.spanId);
  expect(spanOf(message!.trace!.traceparent)).toBe(byName.get("deliver sqs")![0]!.spanId);
  expect(byName.get("chat stub-model")![0]!.attributes).toMatchObject({
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "kamado",
    "gen_ai.response.model": "stub-model",
    "gen_ai.usage.output_tokens": expect.toSatisfy((count) => Number(count) === 3),
  });

  expect(collector.resource).toMatchObject({
    "service.name": "mac-mini",
    "service.instance.id": "whole",
    "deployment.environment": "home",
  });
  const { requests } = collector;
  expect(requests.map(({ headers }) => headers["x-api-key"])).toEqual(requests.map(() => "a secret"));
  expect(requests.filter(({ text }) => /nobody else|a-secret|hello/.test(text))).toEqual([]);

  // The same figures as /metrics has.
  const { unit, points } = collector.metrics.get("gen_ai.client.token.usage")!;
  expect(unit).toBe("{token}");
  const output = points.find(({ attributes }) => attributes["gen_ai.token.type"] === "output");
  expect(output!.value).toMatchObject({ sum: 3 });
  const labels =
    'gen_ai_operation_name="chat",gen_ai_provider_name="kamado",gen_ai_response_model="stub-model"';
  expect(metrics.of("gen_ai_client_token_usage_sum")).toMatchObject({
    [`${labels},gen_ai_token_type="output"`]: 3,
  });
  expect(collector.metrics.get("kamado.jobs")!.points).toMatchObject([
    { attributes: { kind: "prompt", outcome: "succeeded" } },
  ]);
});

test("protobuf is what is sent without a word about it, and a job without a trace begins one", async () => {
  await using collector = await startCollector();
  const whole = await startWholeWorker({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_METRICS_EXPORTER: "none",
  });
  await whole.client.enqueue("prompt", PROMPT, { id: "begins" });
  await whole.ended("begins");
  const { traceId } = (await whole.client.wait("begins")).receipt;
  await whole[Symbol.asyncDispose]();
  expect(traceId).toMatch(/^[0-9a-f]{32}$/);
  expect(collector.spans.map(({ traceId: own }) => own)).toEqual(collector.spans.map(() => traceId));
  expect(collector.spans.map(({ name }) => name)).toContain("process kamado-jobs");
  const asked = whole.engine.received.find(({ path }) => path === "/v1/chat/completions")!;
  expect(asked.headers.traceparent).toContain(traceId);
  expect(collector.requests.map(({ path }) => path)).toEqual(collector.requests.map(() => "/v1/traces"));
});

test("a trace that its sender does not record is not recorded here, and goes on", async () => {
  await using collector = await startCollector();
  const whole = await startWholeWorker({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_METRICS_EXPORTER: "none",
  });
  const unsampled = traceparent.replace(/01$/, "00");
  await whole.client.enqueue("prompt", PROMPT, { id: "quiet", traceparent: unsampled });
  await whole.ended("quiet");
  await whole[Symbol.asyncDispose]();
  expect(collector.spans).toEqual([]);
  const asked = whole.engine.received.find(({ path }) => path === "/v1/chat/completions")!;
  expect(asked.headers.traceparent).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`));
});

test("a collector that takes everything and never answers holds up the end for two seconds, and no longer", async () => {
  const taken: Promise<unknown>[] = [];
  const silent = createServer((socket) => {
    // Hung up on is as well as closed.
    taken.push(once(socket.on("error", () => {}).resume(), "close"));
  }).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as AddressInfo;
  const whole = await startWholeWorker({
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
    OTEL_EXPORTER_OTLP_TIMEOUT: "600000",
  });
  await whole.client.enqueue("prompt", PROMPT, { id: "unheard" });
  expect((await whole.ended("unheard")).outcome).toBe("succeeded");
  await whole[Symbol.asyncDispose]();
  expect(taken.length).toBeGreaterThan(0);
  await Promise.all(taken);
  await new Promise((done) => silent.close(done));
});

test("a collector that is down stops no job and is said once", async () => {
  const said: string[] = [];
  const note = (_: unknown, message?: string) => void said.push(String(message));
  const log = { debug: note, info: note, warn: note, error: note, child: () => log } as never as Log;
  await using collector = await startCollector();
  collector.status = 400;
  const whole = await startWholeWorker(
    { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_METRIC_EXPORT_INTERVAL: "50" },
    { log },
  );
  await whole.client.enqueue("prompt", PROMPT, { id: "goes-on" });
  expect((await whole.ended("goes-on")).outcome).toBe("succeeded");
  const ofCollector = () => said.filter((line) => line.includes("does not take metrics"));
  await expect.poll(ofCollector).toHaveLength(1);
  await whole[Symbol.asyncDispose]();
  expect(ofCollector()).toEqual([
    expect.stringMatching(/^the collector at http:\/\/127\.0\.0\.1:\d+ does not take metrics .*jobs go on$/),
  ]);
});

test("without a collector a trace goes on as it came", async () => {
  const whole = await startWholeWorker();
  await whole.client.enqueue("prompt", PROMPT, {
    id: "plain",
    traceparent,
    deliver: [{ callback: `${whole.receiver.url}/hook` }],
  });
  await whole.ended("plain");
  await whole[Symbol.asyncDispose]();
  const asked = whole.engine.received.find(({ path }) => path === "/v1/chat/completions")!;
  expect([asked.headers.traceparent, whole.receiver.received[0]!.headers.traceparent]).toEqual([
    traceparent,
    traceparent,
  ]);
});

test("OpenTelemetry's packages are loaded only where there is a collector", () => {
  const WORKER = join(import.meta.dirname, "../../worker");
  const importing = (what: RegExp) =>
    readdirSync(WORKER, { recursive: true, encoding: "utf8" })
      .filter((name) => /\.(ts|tsx|mjs)$/.test(name) && what.test(readFileSync(join(WORKER, name), "utf8")))
      .toSorted();
  const packages = importing(/^import (?!type)[^;]*?"@opentelemetry\//m);
  expect(packages).toEqual(["telemetry/metric-data.ts", "telemetry/open-telemetry.ts"]);
  expect(importing(/^import (?!type)[^;]*?\/(metric-data|open-telemetry)\.ts"/m)).toEqual([
    "telemetry/open-telemetry.ts",
  ]);
});

async function textOf(worker: Parameters<typeof createMounts>[0]): Promise<string> {
  const { app } = createMounts(worker).find(({ path }) => path === "/metrics")!;
  return (await app.request("/")).text();
}
