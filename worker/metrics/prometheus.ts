// Prometheus's text format: counters, histograms and their writer, for the engine and the worker. What is counted is decided in
// engine/server/metrics.ts and worker-metrics.ts. Each keeps a bounded number of series, whatever labels come.

export type Labels = Readonly<Record<string, string>>;
export type Family = {
  name: string;
  type: "counter" | "gauge" | "histogram";
  help: string;
  samples: readonly Sample[];
};
export type Sample = {
  labels?: Labels;
  value: number;
  /** Of the parts of a histogram. */
  suffix?: "_bucket" | "_sum" | "_count";
};

export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export function writeFamilies(families: readonly Family[]): string {
  return families
    .filter(({ samples }) => samples.length > 0)
    .map(({ name, type, help, samples }) => {
      const lines = samples.map(
        ({ labels = {}, value, suffix = "" }) => `${name}${suffix}${labelText(labels)} ${value}`,
      );
      return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("\n")}\n`;
    })
    .join("");
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

const escaped = (value: string) =>
  value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");

/** Of one counter or histogram. OpenTelemetry's default, and its label for what comes when there are so many. */
const MOST_SERIES = 2_000;
const OVERFLOW: Labels = { otel_metric_overflow: "true" };

/** A value for each set of labels. */
class Series<T> {
  readonly #values = new Map<string, { labels: Labels; value: T }>();

  /** That of these labels, to be changed; `create` makes the first one. */
  of(labels: Labels, create: () => T): { value: T } {
    const key = JSON.stringify(labels);
    const known = this.#values.get(key);
    if (known) return known;
    if (this.#values.size >= MOST_SERIES && labels !== OVERFLOW) return this.of(OVERFLOW, create);
    const made = { labels, value: create() };
    this.#values.set(key, made);
    return made;
  }

  all(): { labels: Labels; value: T }[] {
    return [...this.#values.values()];
  }
}

/** A number for each set of labels. */
export class Counter {
  readonly #series = new Series<number>();

  add(labels: Labels = {}, count = 1): void {
    this.#series.of(labels, () => 0).value += count;
  }

  samples(): Sample[] {
    return this.#series.all().map(({ labels, value }) => ({ labels, value }));
  }
}

/** `within`: how many values were at most as large as each bound. */
type Counts = { within: number[]; sum: number; count: number };

/** Counts, for each set of labels, how many values were at most as large as each of `bounds`. */
export class Histogram {
  readonly bounds: readonly number[];
  readonly #series = new Series<Counts>();

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
  }

  observe(value: number, labels: Labels = {}): void {
    const counts = this.#series.of(labels, () => ({
      within: this.bounds.map(() => 0),
      sum: 0,
      count: 0,
    })).value;
    for (const [at, bound] of this.bounds.entries()) if (value <= bound) counts.within[at]!++;
    counts.sum += value;
    counts.count++;
  }

  counts(): ({ labels: Labels } & Counts)[] {
    return this.#series.all().map(({ labels, value }) => ({ labels, ...value }));
  }

  samples(): Sample[] {
    return this.counts().flatMap(({ labels, within, sum, count }) => [
      ...this.bounds.map(
        (bound, at): Sample => ({
          suffix: "_bucket",
          labels: { ...labels, le: String(bound) },
          value: within[at]!,
        }),
      ),
      { suffix: "_bucket", labels: { ...labels, le: "+Inf" }, value: count },
      { suffix: "_sum", labels, value: sum },
      { suffix: "_count", labels, value: count },
    ]);
  }
}
