// OpenTelemetry's own variables mean here what they mean elsewhere.
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../worker/config/config.ts";

const load = (variables: Record<string, string>) => loadConfig({}, variables).telemetry;
const AT = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" };

test("an address alone is enough", () => {
  expect(load({})).toBeUndefined();
  expect(load(AT)).toEqual({
    traces: "http://collector:4318/v1/traces",
    metrics: "http://collector:4318/v1/metrics",
    protocol: "http/protobuf",
    headers: {},
    compression: "none",
    timeoutMs: 10_000,
    resource: { "service.name": "kamado" },
    sampler: "parentbased_always_on",
    ratio: 1,
    metricIntervalMs: 60_000,
  });
});

test("what is set counts", () => {
  const set = load({
    OTEL_EXPORTER_OTLP_ENDPOINT: "https://collector/otlp/",
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_EXPORTER_OTLP_HEADERS: " api-key = a%2Cb= , other=x ",
    OTEL_EXPORTER_OTLP_TIMEOUT: "2000",
    OTEL_RESOURCE_ATTRIBUTES: "service.name=one,team=home%20lab",
    OTEL_SERVICE_NAME: "two",
    OTEL_TRACES_SAMPLER: "traceidratio",
    OTEL_TRACES_SAMPLER_ARG: "0.25",
    OTEL_METRICS_EXPORTER: "none",
  });
  expect(set).toMatchObject({
    traces: "https://collector/otlp/v1/traces",
    metrics: undefined,
    protocol: "http/json",
    timeoutMs: 2_000,
    resource: { "service.name": "two", team: "home lab" },
    sampler: "traceidratio",
    ratio: 0.25,
  });
  const revealed = Object.entries(set!.headers).map(([name, value]) => [name, value.reveal()]);
  expect(revealed).toEqual([
    ["api-key", "a,b="],
    ["other", "x"],
  ]);
});

test.each([{ OTEL_SDK_DISABLED: "true" }, { OTEL_TRACES_EXPORTER: "none", OTEL_METRICS_EXPORTER: "none" }])(
  "nothing is sent with %j",
  (variables) => {
    expect(load({ ...AT, ...variables })).toBeUndefined();
  },
);

describe("what is wrong", () => {
  test.each([
    [
      { OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" },
      /OTEL_EXPORTER_OTLP_PROTOCOL: must be one of http\/protobuf, http\/json/,
    ],
    [{ OTEL_TRACES_SAMPLER: "jaeger_remote" }, /OTEL_TRACES_SAMPLER: must be one of always_on/],
    [{ OTEL_TRACES_SAMPLER_ARG: "2" }, /OTEL_TRACES_SAMPLER_ARG: must be a number from 0 to 1/],
    [
      { OTEL_EXPORTER_OTLP_TIMEOUT: "soon" },
      /OTEL_EXPORTER_OTLP_TIMEOUT: must be a number of milliseconds above 0/,
    ],
    [{ OTEL_RESOURCE_ATTRIBUTES: "home" }, /OTEL_RESOURCE_ATTRIBUTES: must be a list like name=value/],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "http://me:pw@collector" }, /set OTEL_EXPORTER_OTLP_HEADERS/],
  ])("%j is named", (variables: Record<string, string>, message) => {
    expect(() => load({ ...AT, ...variables })).toThrow(message);
  });

  test("for other programs is no error where nothing is sent", () => {
    expect(load({ OTEL_EXPORTER_OTLP_PROTOCOL: "grpc", OTEL_TRACES_EXPORTER: "zipkin" })).toBeUndefined();
  });
});

test("a header is a secret: neither the configuration nor an error shows it", () => {
  const config = loadConfig({}, { ...AT, OTEL_EXPORTER_OTLP_HEADERS: "api-key=s3cret" });
  expect(JSON.stringify(config) + inspect(config, { depth: 9 })).not.toContain("s3cret");
  const wrong = () => load({ ...AT, OTEL_EXPORTER_OTLP_HEADERS: "s3cret" });
  expect(wrong).toThrow("OTEL_EXPORTER_OTLP_HEADERS");
  expect(wrong).not.toThrow("s3cret");
});
