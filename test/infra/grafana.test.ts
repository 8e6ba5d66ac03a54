// The dashboard asks only for what a worker really says, and shows all of it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parser } from "@prometheus-io/lezer-promql";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { loadConfig } from "../../worker/config/config.ts";
import { METRICS } from "../../worker/metrics/catalogue.ts";
import { machineFamilies } from "../../worker/metrics/machine-families.ts";
import { createMetricsApi } from "../../worker/metrics/metrics-api.ts";
import { type Samples, samplesIn } from "../metrics/text-format.ts";
import { startWholeWorker, type WholeWorker } from "../telemetry/whole-worker.ts";

const FOLDER = join(import.meta.dirname, "../../infra/grafana");
const read = (name: string) => readFileSync(join(FOLDER, name), "utf8");

type Target = { expr: string; legendFormat: string };
const dashboard: { panels: { title: string; targets?: Target[] }[] } = JSON.parse(read("kamado.json"));
const queries = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr, legendFormat }) => ({ title, legendFormat, expr: withoutMacros(expr) })),
);
/** As Grafana writes them before it asks. */
function withoutMacros(expr: string): string {
  return expr.replaceAll("$__rate_interval", "5m").replaceAll("$instance", ".*");
}

/** What Prometheus itself adds to what it scrapes. */
const ADDED = ["instance", "job"];
const READING: Parameters<typeof machineFamilies>[0]["reading"] = {
  at: 0,
  absent: {},
  gpuPercent: 87,
  gpuMemoryBytes: 9e9,
  gpuWatts: 21,
  cpuWatts: 4,
  temperature: 61,
  thermalState: "fair",
  memoryPressure: "normal",
  idleSeconds: 12,
};

let whole: WholeWorker;
let samples: Samples;
/** Everything that can be counted happens once. */
beforeAll(async () => {
  whole = await startWholeWorker();
  const { client, receiver, ended, worker } = whole;
  receiver.respond(({ path }, response) => void response.writeHead(path === "/no" ? 400 : 200).end());
  const deliver = [{ callback: `${receiver.url}/yes` }, { callback: `${receiver.url}/no` }];
  await client.enqueue("prompt", { prompt: "Hello" }, { id: "good", deliver });
  await client.enqueue("prompt", { prompt: "" }, { id: "bad" });
  await Promise.all([ended("good"), ended("bad")]);
  const { services } = worker;
  // A machine of which all can be read; this one may have no GPU.
  const machine = machineFamilies({ reading: READING, paused: null });
  const names = machine.map(({ name }) => name);
  const others = (await services.readMetrics()).filter(({ name }) => !names.includes(name));
  const app = createMetricsApi({ families: async () => [...others, ...machine] });
  samples = samplesIn(await (await app.request("/")).text());
});
afterAll(() => whole[Symbol.asyncDispose]());

type SyntaxNode = ReturnType<typeof parser.parse>["topNode"];

/** Every node of the query with this name. */
function nodes(expr: string, name: string, within: SyntaxNode = parser.parse(expr).topNode): SyntaxNode[] {
  const found: SyntaxNode[] = [];
  within.cursor().iterate((node) => void (node.name === name && found.push(node.node)));
  return found;
}
const textsOf = (expr: string, name: string, within?: SyntaxNode) =>
  nodes(expr, name, within).map(({ from, to }) => expr.slice(from, to));
const metricsIn = (expr: string, within?: SyntaxNode) =>
  nodes(expr, "VectorSelector", within).map((selector) => textsOf(expr, "Identifier", selector)[0]!);

const familyOf = (metric: string) =>
  samples.families.has(metric) ? metric : metric.replace(/_(bucket|sum|count)$/, "");
const labelsOf = (metric: string) => [...(samples.labels.get(familyOf(metric)) ?? []), ...ADDED];
const isSaid = (metric: string) => samples.families.has(familyOf(metric));

describe.each(queries)("$title: $expr", ({ expr, legendFormat }) => {
  test("it is PromQL", () => {
    expect(textsOf(expr, "⚠")).toEqual([]);
    expect(metricsIn(expr).length).toBeGreaterThan(0);
  });

  test("its metrics and their labels exist", () => {
    expect(metricsIn(expr).filter((metric) => !isSaid(metric))).toEqual([]);
    for (const selector of nodes(expr, "VectorSelector")) {
      const [metric] = textsOf(expr, "Identifier", selector);
      const wrong = textsOf(expr, "LabelName", selector).filter(
        (label) => !labelsOf(metric!).includes(label),
      );
      expect(wrong, metric).toEqual([]);
    }
    for (const aggregate of nodes(expr, "AggregateExpr")) {
      const [grouping] = nodes(expr, "GroupingLabels", aggregate);
      const labels = grouping ? textsOf(expr, "LabelName", grouping) : [];
      for (const metric of metricsIn(expr, aggregate))
        expect(
          labels.filter((label) => isSaid(metric) && !labelsOf(metric).includes(label)),
          metric,
        ).toEqual([]);
    }
  });

  test("counters are asked for their rate, gauges for their value, quantiles of buckets", () => {
    for (const call of nodes(expr, "FunctionCall")) {
      const [name] = textsOf(expr, "FunctionIdentifier", call);
      const metrics = metricsIn(expr, call);
      if (name === "histogram_quantile") {
        expect(metrics.filter((metric) => !metric.endsWith("_bucket"))).toEqual([]);
        expect(textsOf(expr, "LabelName", call)).toContain("le");
      } else expect(metrics.filter((metric) => samples.families.get(metric) === "gauge")).toEqual([]);
    }
    const counted = metricsIn(expr).filter((metric) => /_(total|bucket|sum|count)$/.test(metric));
    const rated = nodes(expr, "MatrixSelector").flatMap((selector) => metricsIn(expr, selector));
    expect(counted.filter((metric) => !rated.includes(metric))).toEqual([]);
  });

  test("its legend names labels that it has", () => {
    const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label!);
    const kept = textsOf(expr, "GroupingLabels").length > 0 ? textsOf(expr, "LabelName") : ADDED;
    expect(shown.filter((label) => !kept.includes(label))).toEqual([]);
  });
});

test("every metric of the worker is on the dashboard", () => {
  const shown = new Set(queries.flatMap(({ expr }) => metricsIn(expr)).map(familyOf));
  const all = Object.values(METRICS).map(({ prometheus }) => prometheus);
  expect(all.filter((metric) => !shown.has(metric))).toEqual([]);
});

test("every metric of the worker is said once all has happened, and docs/metrics.md names it", () => {
  const all = Object.values(METRICS).map(({ prometheus }) => prometheus);
  expect(all.filter((metric) => !samples.families.has(metric))).toEqual([]);
  const page = readFileSync(join(FOLDER, "../../docs/metrics.md"), "utf8");
  expect(all.filter((metric) => !page.includes(`\`${metric}\``))).toEqual([]);
});

test("Prometheus and Grafana find what is beside the dashboard", () => {
  const { web, engine } = loadConfig({}, {});
  const targets = parse(read("prometheus.yml")).scrape_configs.flatMap(
    ({ static_configs }: { static_configs: { targets: string[] }[] }) =>
      static_configs.flatMap(({ targets: all }) => all),
  );
  expect(targets).toEqual([`127.0.0.1:${web.port}`, `127.0.0.1:${engine.port}`]);
  expect(parse(read("dashboards.yaml")).providers[0].type).toBe("file");
  expect(parse(read("datasource.yaml")).datasources[0].type).toBe("prometheus");
});
