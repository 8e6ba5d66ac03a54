// What `bench engine` shows of its figures, and which of its targets they meet. Pure but for terminal colours.
import { type Column, table } from "../worker/cli/terminal.ts";
import type { Sample } from "./sample.ts";
import { atLeast, atMost, digits, mark, meets, percent, type Target } from "./table.ts";

/** One concurrency, measured. `restarted` is our engine's first wave after a stop and a start. */
export type Level = {
  concurrency: number;
  warm: { ours: Sample; theirs: Sample };
  first: { ours: Sample; theirs: Sample; restarted: Sample };
  /** The largest cached share a first wave can have. */
  possibleCachedShare: number;
};

const RATIOS: Record<number, Target> = { 1: atMost(1.02), 8: atMost(0.87), 16: atMost(0.87) };
/** How much of what a first wave can share is to be shared. */
const SHARED = atLeast(0.8);
const SHARED_FROM = 4;

export const cpuRatio = ({ warm }: Level) => warm.ours.cpuSecondsPerJob / warm.theirs.cpuSecondsPerJob;
const cpuTarget = ({ concurrency }: Level) => RATIOS[concurrency];
const shareTarget = ({ concurrency }: Level) => (concurrency >= SHARED_FROM ? SHARED : undefined);
/** Of what could have been shared. */
export const sharedPart = (sample: Sample, { possibleCachedShare }: Level) =>
  sample.cachedShare / possibleCachedShare;

const right = (title: string): Column => ({ title, align: "right" });

export function warmTable(levels: readonly Level[]): string {
  const columns = ["C", "CPU s/job", "llama-server", "ratio"].map(right);
  const more = [
    "tokens/s",
    "ratio",
    "TTFT ms",
    "ratio",
    "TPOT ms",
    "ratio",
    "cached",
    "theirs",
    "JS",
    "uneven",
    "failed",
  ];
  return table([...columns, { title: "target" }, ...more.map(right)], levels.map(warmRow));
}

function warmRow(level: Level): string[] {
  const { ours, theirs } = level.warm;
  const beside = (name: "completionTokensPerSecond" | "ttftMs" | "tpotMs", count: number) => [
    digits(ours[name], count),
    digits((ours[name] ?? Number.NaN) / (theirs[name] ?? Number.NaN), 2),
  ];
  return [
    String(level.concurrency),
    digits(ours.cpuSecondsPerJob, 3),
    digits(theirs.cpuSecondsPerJob, 3),
    digits(cpuRatio(level), 3),
    mark(cpuRatio(level), cpuTarget(level)),
    ...beside("completionTokensPerSecond", 0),
    ...beside("ttftMs", 0),
    ...beside("tpotMs", 1),
    percent(ours.cachedShare),
    percent(theirs.cachedShare),
    percent(ours.mainThreadShare),
    `${ours.uneven}/${theirs.uneven}`,
    `${ours.failures}/${theirs.failures}`,
  ];
}

export function coldTable(levels: readonly Level[]): string {
  const columns: Column[] = [
    right("C"),
    { title: "who" },
    right("CPU s/job"),
    right("ratio"),
    right("TTFT ms"),
    right("cached"),
    right("possible"),
    { title: "target (of what is possible)" },
  ];
  return table(columns, levels.flatMap(coldRows));
}

function coldRows(level: Level): string[][] {
  const { theirs, ours, restarted } = level.first;
  const row = (who: string, sample: Sample, target: Target | undefined) => [
    String(level.concurrency),
    who,
    digits(sample.cpuSecondsPerJob, 3),
    digits(sample.cpuSecondsPerJob / theirs.cpuSecondsPerJob, 3),
    digits(sample.ttftMs, 0),
    percent(sample.cachedShare),
    percent(level.possibleCachedShare),
    mark(sharedPart(sample, level), target),
  ];
  const target = shareTarget(level);
  return [
    row("llama-server", theirs, undefined),
    row("ours", ours, target),
    row("ours after a restart", restarted, target),
  ];
}

export function targetsMet(levels: readonly Level[]): { met: number; of: number } {
  const verdicts = levels.flatMap((level) => {
    const [cpu, share] = [cpuTarget(level), shareTarget(level)];
    const { ours, restarted } = level.first;
    const shares = share ? [ours, restarted].map((sample) => meets(sharedPart(sample, level), share)) : [];
    return [...(cpu ? [meets(cpuRatio(level), cpu)] : []), ...shares];
  });
  return { met: verdicts.filter(Boolean).length, of: verdicts.length };
}

/** Why requests failed, once for each who. */
export function failureLines(levels: readonly Level[]): string[] {
  return levels.flatMap(({ concurrency, warm, first }) =>
    Object.entries({ ...warm, "ours, first wave": first.ours, "theirs, first wave": first.theirs }).flatMap(
      ([who, { firstFailure }]) =>
        firstFailure === undefined ? [] : [`C=${concurrency}, ${who}: a request failed: ${firstFailure}`],
    ),
  );
}
