// What `bench engine` shows of its figures, and which of its targets they meet. Pure but for terminal colours.
import { type Column, table } from "../worker/logging/terminal.ts";
import { complaints, isSound } from "./figures.ts";
import type { Sample } from "./sample.ts";
import { atLeast, atMost, digits, mark, meets, percent, type Target } from "./table.ts";

/** One concurrency, measured. `restarted` is our engine's first wave after a stop and a start. */
export type Level = {
  concurrency: number;
  warm: { ours: Sample; theirs: Sample };
  first: { ours: Sample; theirs: Sample; restarted: Sample };
  /** The largest cached share a first wave can have: when nobody has seen its beginning, and when it was kept. */
  possible: { unseen: number; restarted: number };
};

const RATIOS: Record<number, Target> = { 1: atMost(1.02), 8: atMost(0.87), 16: atMost(0.87) };
/** Of the prompt tokens after a restart; of what is possible where nobody has seen them. */
const SHARED = atLeast(0.8);
const SHARED_FROM = 4;

/** NaN where a request failed or an answer was not as long as was asked for: then costs say nothing. */
const sound = (value: number, ...samples: readonly Sample[]) => (samples.every(isSound) ? value : Number.NaN);

export function cpuRatio({ warm: { ours, theirs } }: Level): number {
  return sound(ours.cpuSecondsPerJob / theirs.cpuSecondsPerJob, ours, theirs);
}
const cpuTarget = ({ concurrency }: Level) => RATIOS[concurrency];
const shareTarget = ({ concurrency }: Level) => (concurrency >= SHARED_FROM ? SHARED : undefined);
const unseenShare = ({ first: { ours }, possible }: Level) => sound(ours.cachedShare / possible.unseen, ours);
const restartedShare = ({ first: { restarted } }: Level) => sound(restarted.cachedShare, restarted);

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
    { title: "target" },
  ];
  return table(columns, levels.flatMap(coldRows));
}

function coldRows(level: Level): string[][] {
  const { theirs, ours, restarted } = level.first;
  const row = (who: string, sample: Sample, possible: number, verdict: string) => [
    String(level.concurrency),
    who,
    digits(sample.cpuSecondsPerJob, 3),
    digits(sound(sample.cpuSecondsPerJob / theirs.cpuSecondsPerJob, sample, theirs), 3),
    digits(sample.ttftMs, 0),
    percent(sample.cachedShare),
    percent(possible),
    verdict,
  ];
  const target = shareTarget(level);
  const ofPossible = target && `${mark(unseenShare(level), target)} of what is possible`;
  return [
    row("llama-server", theirs, level.possible.unseen, ""),
    row("ours", ours, level.possible.unseen, ofPossible ?? ""),
    row("ours after a restart", restarted, level.possible.restarted, mark(restartedShare(level), target)),
  ];
}

export function targetsMet(levels: readonly Level[]): { met: number; of: number } {
  const verdicts = levels.flatMap((level) => {
    const [cpu, share] = [cpuTarget(level), shareTarget(level)];
    const shares = share ? [unseenShare, restartedShare].map((of) => meets(of(level), share)) : [];
    return [...(cpu ? [meets(cpuRatio(level), cpu)] : []), ...shares];
  });
  return { met: verdicts.filter(Boolean).length, of: verdicts.length };
}

/** What spoils a row, in words. */
export function failureLines(levels: readonly Level[]): string[] {
  return levels.flatMap(({ concurrency, warm, first }) => {
    const all = {
      ...warm,
      "ours, first wave": first.ours,
      "theirs, first wave": first.theirs,
      "ours after a restart": first.restarted,
    };
    return Object.entries(all).flatMap(([who, sample]) =>
      complaints(sample).map((words) => `C=${concurrency}, ${who}: ${words}`),
    );
  });
}
