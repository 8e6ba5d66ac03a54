// From the answers of one wave to the figures of a table. Pure.
import type { Answer, Wave } from "./load.ts";
import { mean, percentile, sum } from "./statistics.ts";

export type Figures = {
  requests: number;
  failures: number;
  /** The words of the first one. */
  firstFailure?: string;
  /** Answers with another number of tokens than were asked for. */
  uneven: number;
  wallSeconds: number;
  endToEndMs: { mean: number; p50: number; p95: number; p99: number };
  /** Medians. Undefined where no answer came as a stream. */
  ttftMs: number | undefined;
  tpotMs: number | undefined;
  promptTokensPerSecond: number;
  completionTokensPerSecond: number;
  /** of the prompt tokens */
  cachedShare: number;
};

/** Time to the first piece of text. */
export const ttftMs = ({ startedMs, firstMs }: Answer) =>
  firstMs === undefined ? undefined : firstMs - startedMs;

/** Time for each token after the first. */
export function tpotMs({ firstMs, endedMs, completionTokens }: Answer): number | undefined {
  return firstMs === undefined || completionTokens < 2
    ? undefined
    : (endedMs - firstMs) / (completionTokens - 1);
}

/** Failed requests count in `failures` and nowhere else. */
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
    ttftMs: middle(good.map(ttftMs)),
    tpotMs: middle(good.map(tpotMs)),
    promptTokensPerSecond: total("promptTokens") / (wallMs / 1_000),
    completionTokensPerSecond: total("completionTokens") / (wallMs / 1_000),
    cachedShare: total("cachedTokens") / total("promptTokens"),
  };
}

function middle(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : percentile(known, 50);
}
