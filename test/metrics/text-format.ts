// A strict reader of Prometheus's text format, for tests. Throws for a line that Prometheus would refuse, a name or a series that is there
// twice, and a sample whose family was not announced.

export type Samples = {
  /** By the labels as they are written, without the braces. */
  of(name: string): Record<string, number>;
  /** The families, with their types. */
  families: ReadonlyMap<string, string>;
  /** The names of the labels of each family. */
  labels: ReadonlyMap<string, ReadonlySet<string>>;
  /** How many series there are. */
  count: number;
};

const LINE =
  /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*",?)+)\})? (\S+)$/;

export function samplesIn(text: string): Samples {
  const byName = new Map<string, Record<string, number>>();
  const families = new Map<string, string>();
  const labels = new Map<string, Set<string>>();
  const helped = new Set<string>();
  let count = 0;
  if (!text.endsWith("\n")) throw new Error("the last line does not end");
  for (const line of text.slice(0, -1).split("\n")) {
    const [, comment, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (comment === "HELP") {
      if (helped.has(name)) throw new Error(`${name} is there twice`);
      helped.add(name);
      continue;
    }
    if (comment === "TYPE") {
      if (!["counter", "gauge", "histogram"].includes(rest)) throw new Error(`no type: ${line}`);
      families.set(name, rest);
      labels.set(name, new Set());
      continue;
    }
    const [, sample, labelText = "", value] = LINE.exec(line) ?? [];
    if (sample === undefined || !Number.isFinite(Number(value))) throw new Error(`no sample: ${line}`);
    const family = familyOf(sample, families);
    const samples = byName.get(sample) ?? {};
    if (labelText in samples) throw new Error(`${line} is there twice`);
    samples[labelText] = Number(value);
    byName.set(sample, samples);
    for (const [, label] of labelText.matchAll(/([a-zA-Z_]\w*)="(?:[^"\\]|\\.)*"/g))
      labels.get(family)!.add(label!);
    count += 1;
  }
  return { of: (name) => byName.get(name) ?? {}, families, labels, count };
}

function familyOf(sample: string, families: ReadonlyMap<string, string>): string {
  if (families.has(sample)) return sample;
  const base = sample.replace(/_(bucket|sum|count)$/, "");
  if (families.get(base) === "histogram") return base;
  throw new Error(`${sample} was not announced`);
}
