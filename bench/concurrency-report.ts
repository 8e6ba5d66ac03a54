// What `bench concurrency` shows of its figures. Pure.
import { type Column, table } from "../worker/logging/terminal.ts";
import { complaints, type Figures, isSound, medianFigures } from "./figures.ts";
import { median } from "./statistics.ts";
import { atLeast, digits, percent } from "./table.ts";

export type Level = {
  concurrency: number;
  /** of the server's process, for each completion token; only of our own engine */
  cpuMsPerToken?: number;
} & Figures;

/** The server of the articles, which queues requests and runs them one by one, grows 1.57 times. */
export const TARGET = atLeast(3.5);

const TITLES = ["at once", "requests", "wall s", "mean s", "p50 s", "p95 s", "p99 s", "TTFT ms", "TPOT ms"];
const MORE = ["prompt tok/s", "compl. tok/s", "CPU ms/tok", "cached", "uneven", "failed"];

export function concurrencyTable(levels: readonly Level[]): string {
  const columns = [...TITLES, ...MORE].map((title): Column => ({ title, align: "right" }));
  return table(columns, levels.map(row));
}

function row(level: Level): string[] {
  const { mean, p50, p95, p99 } = level.endToEndMs;
  return [
    String(level.concurrency),
    String(level.requests),
    digits(level.wallSeconds, 1),
    ...[mean, p50, p95, p99].map((ms) => digits(ms / 1_000, 2)),
    digits(level.ttftMs, 0),
    digits(level.tpotMs, 1),
    digits(level.promptTokensPerSecond, 0),
    digits(level.completionTokensPerSecond, 1),
    digits(level.cpuMsPerToken, 2),
    percent(level.cachedShare),
    String(level.uneven),
    String(level.failures),
  ];
}

/** One level's waves as one: medians, failures added up. */
export function medianLevel(waves: readonly Level[]): Level {
  const cpu = waves.flatMap(({ cpuMsPerToken }) => cpuMsPerToken ?? []);
  return {
    concurrency: waves[0]!.concurrency,
    ...medianFigures(waves),
    ...(cpu.length > 0 && { cpuMsPerToken: median(cpu) }),
  };
}

export const spoiledLines = (levels: readonly Level[]) =>
  levels.flatMap((level) => complaints(level).map((words) => `at ${level.concurrency}: ${words}`));

type Rated = Pick<Level, "completionTokensPerSecond" | "failures" | "uneven">;

/** The completion rate of the last level against the first; NaN where one of the two is spoiled. */
export function rateGrowth(levels: readonly Rated[]): number {
  const [first, last] = [levels[0]!, levels.at(-1)!];
  if (!isSound(first) || !isSound(last)) return Number.NaN;
  return last.completionTokensPerSecond / first.completionTokensPerSecond;
}

/** What batching alone gains: how much less CPU time a token costs at the last level than at the first. */
export function tokensPerCpuGrowth(levels: readonly Pick<Level, "cpuMsPerToken">[]): number | undefined {
  const [first, last] = [levels[0]?.cpuMsPerToken, levels.at(-1)?.cpuMsPerToken];
  return first === undefined || last === undefined ? undefined : first / last;
}
