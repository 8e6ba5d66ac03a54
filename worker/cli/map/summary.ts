// What a map came to: how many succeeded and failed and why, tokens, time, and what the same tokens would have cost elsewhere. Pure, but
// for the file of prices.
import { readFileSync } from "node:fs";
import { z } from "zod";
import { describeIssues, KamadoError } from "../../errors.ts";

const PER = 1_000_000;
const price = z.number().min(0);
const Prices = z.strictObject({
  /** As it is shown. */
  currency: z.string().min(1).max(20),
  /** By a model's name: for a million tokens. */
  models: z.record(
    z.string(),
    z.strictObject({ input: price, cachedInput: price.optional(), output: price }),
  ),
  note: z.string().optional(),
});
export type Prices = z.output<typeof Prices>;

/** Throws `invalid_input`. */
export function readPrices(path: string): Prices {
  const refuse = (why: string, cause?: unknown) =>
    new KamadoError("invalid_input", `--prices ${path}: ${why}`, {
      cause,
      hint: "examples/prices.json shows how such a file is written.",
    });
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (thrown) {
    throw refuse(`it cannot be read as JSON: ${(thrown as Error).message}.`, thrown);
  }
  const { data, error } = Prices.safeParse(value);
  if (data) return data;
  throw refuse(describeIssues(error, value));
}

type Used = { promptTokens: number; cachedTokens: number; completionTokens: number; inferenceMs: number };
const NONE: Used = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, inferenceMs: 0 };

export type Outcome = {
  status: string;
  code?: string | undefined;
  reused: boolean;
  receipt?: Partial<Used> | undefined;
};

export type Summary = {
  inputs: number;
  succeeded: number;
  failed: number;
  /** By code, the most frequent first. */
  failures: Record<string, number>;
  /** Done by an earlier run: in the file of results, or in the bucket. */
  kept: number;
  reused: number;
  /** Of the jobs of this run alone, as all that follows. */
  ran: number;
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
  /** Of all jobs together, each from its first question to its last answer. */
  inferenceMs: number;
  /** Of the whole command, and from the first job on, when a model was loaded. */
  wallMs: number;
  workMs: number;
  /** inferenceMs / workMs: how many jobs were at work at the same time. One that has the model to itself is faster. */
  speedUpAtMost: number | null;
  cost?: { currency: string; byModel: Record<string, number> };
};

type Counts = Pick<Summary, "succeeded" | "failed" | "kept" | "reused" | "ran">;

export class Tally {
  readonly #used = { ...NONE };
  readonly #failures = new Map<string, number>();
  readonly #counts: Counts = { succeeded: 0, failed: 0, kept: 0, reused: 0, ran: 0 };

  get counts(): Readonly<Counts> {
    return this.#counts;
  }

  keep(): void {
    this.#counts.kept += 1;
    this.#counts.succeeded += 1;
  }

  add({ status, code = status, reused, receipt }: Outcome): void {
    const isGood = status === "succeeded";
    this.#counts[isGood ? "succeeded" : "failed"] += 1;
    if (!isGood) this.#failures.set(code, (this.#failures.get(code) ?? 0) + 1);
    if (reused) this.#counts.reused += 1;
    if (reused || !receipt) return;
    this.#counts.ran += 1;
    for (const name of Object.keys(NONE) as (keyof Used)[]) this.#used[name] += receipt[name] ?? 0;
  }

  summary({ wallMs, workMs }: Pick<Summary, "wallMs" | "workMs">, prices?: Prices): Summary {
    const { succeeded, failed, kept, reused, ran } = this.#counts;
    const failures = Object.fromEntries([...this.#failures].sort(([, a], [, b]) => b - a));
    const { inferenceMs } = this.#used;
    return {
      ...{ inputs: succeeded + failed, succeeded, failed, failures, kept, reused, ran, ...this.#used },
      wallMs: Math.round(wallMs),
      workMs: Math.round(workMs),
      speedUpAtMost: inferenceMs > 0 && workMs > 0 ? Number((inferenceMs / workMs).toFixed(2)) : null,
      ...(prices && { cost: costOf(this.#used, prices) }),
    };
  }
}

export function costOf(
  used: Omit<Used, "inferenceMs">,
  { currency, models }: Prices,
): NonNullable<Summary["cost"]> {
  const { promptTokens, cachedTokens, completionTokens } = used;
  const cost = ({ input, cachedInput = input, output }: Prices["models"][string]) =>
    ((promptTokens - cachedTokens) * input + cachedTokens * cachedInput + completionTokens * output) / PER;
  const byModel = Object.fromEntries(Object.entries(models).map(([name, one]) => [name, cost(one)]));
  return { currency, byModel };
}
