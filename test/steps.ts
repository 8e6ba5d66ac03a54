// Counts how many characters a piece of work reads and copies with the methods of strings and patterns, so that a test can tell
// linear work from quadratic work without a clock. Not a test.

const READ_WHOLE = [
  "includes",
  "indexOf",
  "normalize",
  "toLowerCase",
  "replaceAll",
  "split",
  "search",
  "match",
] as const;
const TAKES = ["slice", "trim", "trimStart", "trimEnd", "lastIndexOf"] as const;

/**
 * The steps of synchronous work. The first use of a string costs its whole length, because a string that was joined from others
 * is copied before it is read. After that, a part that is taken from it costs its own length; what searches it costs all of it.
 */
export function stepsOf(work: () => void): number {
  const count = new Counter();
  const { prototype } = String;
  const { exec } = RegExp.prototype;
  const replaced = prototype as unknown as Record<string, (this: string, ...args: unknown[]) => unknown>;
  const originals = [...READ_WHOLE, ...TAKES].map((name) => [name, replaced[name]!] as const);
  for (const [name, method] of originals)
    replaced[name] = function (...args) {
      const result = method.apply(this, args);
      const text = String(this);
      const taken = (TAKES as readonly string[]).includes(name) && typeof result === "string";
      count.add(count.first(text) + (taken ? result.length : text.length));
      return result;
    };
  RegExp.prototype.exec = function (text) {
    const from = this.global || this.sticky ? this.lastIndex : 0;
    const found = exec.call(this, text);
    // A sticky pattern, as `split` uses it, looks at one place only.
    const to = found ? found.index + found[0].length : this.sticky ? from + 1 : text.length;
    count.add(count.first(text) + Math.max(0, to - from));
    return found;
  };
  try {
    work();
  } finally {
    for (const [name, original] of originals) replaced[name] = original;
    RegExp.prototype.exec = exec;
  }
  return count.steps;
}

/** How many times the steps grow when a repeated pattern becomes four times as long: about 4 for linear work, 16 for quadratic. */
export function growthOf(work: (text: string) => void, pattern: string, length = 600): number {
  const text = pattern.repeat(Math.ceil(length / pattern.length));
  return stepsOf(() => work(text.repeat(4))) / stepsOf(() => work(text));
}

class Counter {
  steps = 0;
  readonly #seen = new Set<string>();

  add(steps: number): void {
    this.steps += steps;
  }

  first(text: string): number {
    if (this.#seen.has(text)) return 0;
    this.#seen.add(text);
    return text.length;
  }
}
