// From the answers of one wave to the figures of a table, and from several waves to one. Pure.
import type { Answer } from "./answer-reader.ts";
import type { Wave } from "./load.ts";
import { mean, median, percentile, sum } from "./statistics.ts";

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

/** Each figure's median over the rounds; what counts something is added up. */
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
    ttftMs: middle(rounds.map(({ ttftMs }) => ttftMs)),
    tpotMs: middle(rounds.map(({ tpotMs }) => tpotMs)),
    promptTokensPerSecond: of(({ promptTokensPerSecond }) => promptTokensPerSecond),
    completionTokensPerSecond: of(({ completionTokensPerSecond }) => completionTokensPerSecond),
    cachedShare: of(({ cachedShare }) => cachedShare),
  };
}

/** Whether every request was answered, and as long as was asked for: other figures may not be compared. */
export const isSound = ({ failures, uneven }: Pick<Figures, "failures" | "uneven">) =>
  failures === 0 && uneven === 0;

/** What spoils them, in words. */
export function complaints({ failures, uneven, firstFailure }: Figures): string[] {
  return [
    ...(failures > 0 ? [`${failures} failed, the first: ${firstFailure ?? "without words"}`] : []),
    ...(uneven > 0 ? [`${uneven} answers are not as long as was asked for`] : []),
  ];
}

/** The median of those that are known. */
export function middle(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : median(known);
}
