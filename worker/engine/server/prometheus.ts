// Prometheus's text format: counters, histograms and their writer. metrics.ts decides what is counted.

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

/** A number for each set of labels. */
export class Counter {
  readonly #counts = new Map<string, { labels: Labels; value: number }>();

  add(labels: Labels = {}, count = 1): void {
    const key = JSON.stringify(labels);
    const known = this.#counts.get(key);
    if (known) known.value += count;
    else this.#counts.set(key, { labels, value: count });
  }

  samples(): Sample[] {
    return [...this.#counts.values()].map(({ labels, value }) => ({ labels, value }));
  }
}

type Counts = { labels: Labels; within: number[]; sum: number; count: number };

/** Counts, for each set of labels, how many values were at most as large as each of `bounds`. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts = new Map<string, Counts>();

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
  }

  observe(value: number, labels: Labels = {}): void {
    const key = JSON.stringify(labels);
    const counts = this.#counts.get(key) ?? { labels, within: this.#bounds.map(() => 0), sum: 0, count: 0 };
    this.#counts.set(key, counts);
    for (const [at, bound] of this.#bounds.entries()) if (value <= bound) counts.within[at]!++;
    counts.sum += value;
    counts.count++;
  }

  samples(): Sample[] {
    return [...this.#counts.values()].flatMap(({ labels, within, sum, count }) => [
      ...this.#bounds.map(
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
