// Computes a table's figures: from the answers of one wave, and the medians over several rounds. Pure.
import type { Answer, Wave } from "./load.ts";

export const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
/** NaN for an empty list. */
export const mean = (values: readonly number[]) => sum(values) / values.length;
export const median = (values: readonly number[]) => percentile(values, 50);

/** Interpolates between the two nearest ranks, as most tools do. NaN for an empty list. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = ((sorted.length - 1) * percent) / 100;
  const below = sorted[Math.floor(rank)] ?? Number.NaN;
  const above = sorted[Math.ceil(rank)] ?? Number.NaN;
  return below + (above - below) * (rank - Math.floor(rank));
}

/** The median of the known values. Undefined when none is known. */
export function medianOfKnown(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : median(known);
}

/**
 * The order in which things that are compared are measured: A B, B A, A B …, so that a slow drift of the machine affects all
 * of them alike. With an odd number of rounds one order occurs once more often.
 */
export function interleave<Name>(names: readonly Name[], rounds: number): Name[] {
  return Array.from({ length: rounds }, (_, round) => (round % 2 === 0 ? names : names.toReversed())).flat();
}

export type Figures = {
  requests: number;
  failures: number;
  /** The message of the first failure. */
  firstFailure?: string;
  /** Answers with another number of tokens than was asked for. */
  uneven: number;
  wallSeconds: number;
  endToEndMs: { mean: number; p50: number; p95: number; p99: number };
  /** Medians. Undefined when no answer was streamed. */
  ttftMs: number | undefined;
  tpotMs: number | undefined;
  promptTokensPerSecond: number;
  completionTokensPerSecond: number;
  /** Share of the prompt tokens. */
  cachedShare: number;
};

/** Time until the first text. */
export const ttftMs = ({ startedMs, firstMs }: Answer) =>
  firstMs === undefined ? undefined : firstMs - startedMs;

/** Time for each token after the first. */
export function tpotMs({ firstMs, endedMs, completionTokens }: Answer): number | undefined {
  return firstMs === undefined || completionTokens < 2
    ? undefined
    : (endedMs - firstMs) / (completionTokens - 1);
}

/** A failed request counts in `failures` and in no other figure. */
export function figuresOf({ wallMs, answers }: Wave, wantedTokens: number): Figures {
  const good = answers.filter(({ failure }) => failure === undefined);
  const firstFailure = answers.find(({ failure }) => failure !== undefined)?.failure;
  const took = good.map(({ startedMs, endedMs }) => endedMs - startedMs);
  const total = (name: "promptTokens" | "cachedTokens" | "completionTokens") =>
    sum(good.map((answer) => answer[name]));
  return {
    requests: answers.length,
    failures: answers.length - good.length,
    ...(firstFailure !== undefined && { firstFailure }),
    uneven: good.filter(({ completionTokens }) => completionTokens !== wantedTokens).length,
    wallSeconds: wallMs / 1_000,
    endToEndMs: {
      mean: mean(took),
      p50: percentile(took, 50),
      p95: percentile(took, 95),
      p99: percentile(took, 99),
    },
    ttftMs: medianOfKnown(good.map(ttftMs)),
    tpotMs: medianOfKnown(good.map(tpotMs)),
    promptTokensPerSecond: total("promptTokens") / (wallMs / 1_000),
    completionTokensPerSecond: total("completionTokens") / (wallMs / 1_000),
    cachedShare: total("cachedTokens") / total("promptTokens"),
  };
}

/** The median of each figure over the rounds. Requests, failures and uneven answers are added up. */
export function medianFigures(rounds: readonly Figures[]): Figures {
  const of = (take: (figures: Figures) => number) => median(rounds.map(take));
  const total = (name: "requests" | "failures" | "uneven") => sum(rounds.map((round) => round[name]));
  const firstFailure = rounds.find(({ failures }) => failures > 0)?.firstFailure;
  return {
    requests: total("requests"),
    failures: total("failures"),
    ...(firstFailure !== undefined && { firstFailure }),
    uneven: total("uneven"),
    wallSeconds: of(({ wallSeconds }) => wallSeconds),
    endToEndMs: {
      mean: of(({ endToEndMs }) => endToEndMs.mean),
      p50: of(({ endToEndMs }) => endToEndMs.p50),
      p95: of(({ endToEndMs }) => endToEndMs.p95),
      p99: of(({ endToEndMs }) => endToEndMs.p99),
    },
    ttftMs: medianOfKnown(rounds.map(({ ttftMs }) => ttftMs)),
    tpotMs: medianOfKnown(rounds.map(({ tpotMs }) => tpotMs)),
    promptTokensPerSecond: of(({ promptTokensPerSecond }) => promptTokensPerSecond),
    completionTokensPerSecond: of(({ completionTokensPerSecond }) => completionTokensPerSecond),
    cachedShare: of(({ cachedShare }) => cachedShare),
  };
}

/** Whether every request was answered with as many tokens as it asked for. Otherwise figures cannot be compared. */
export const isSound = ({ failures, uneven }: Pick<Figures, "failures" | "uneven">) =>
  failures === 0 && uneven === 0;

/** Why the figures are not sound. */
export function problemsOf({ failures, uneven, firstFailure }: Figures): string[] {
  return [
    ...(failures > 0 ? [`${failures} failed, the first: ${firstFailure ?? "without a message"}`] : []),
    ...(uneven > 0 ? [`${uneven} answers are not as long as was asked for`] : []),
  ];
}
