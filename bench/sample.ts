// One measured wave of one server: its figures, and the CPU time its process used meanwhile.
import { cpuSeconds, mainThreadSeconds } from "./cpu-time.ts";
import type { ServerProcess } from "./engine-process.ts";
import { type Figures, figuresOf, medianFigures, middle } from "./figures.ts";
import { type Call, runLoad } from "./load.ts";
import { median } from "./statistics.ts";

export type Sample = Figures & {
  /** For each good answer: what failed was not saved. */
  cpuSecondsPerJob: number;
  /** The part of it on the main thread: in our process all that is not llama.cpp. Undefined where it cannot be told. */
  mainThreadShare: number | undefined;
};

export async function measure(
  server: ServerProcess,
  calls: readonly Call[],
  how: { concurrency: number; tokens: number; signal: AbortSignal },
): Promise<Sample> {
  const [cpuBefore, mainBefore] = [cpuSeconds(server.pid), mainThreadSeconds(server.pid)];
  const wave = await runLoad(calls, server, how.concurrency, how.signal);
  const cpu = cpuSeconds(server.pid) - cpuBefore;
  const main = mainThreadSeconds(server.pid);
  return {
    ...costOf(cpu, figuresOf(wave, how.tokens)),
    mainThreadShare: main === undefined || mainBefore === undefined ? undefined : (main - mainBefore) / cpu,
  };
}

/** NaN where no answer was good. */
export function costOf(cpu: number, figures: Figures): Figures & Pick<Sample, "cpuSecondsPerJob"> {
  const good = figures.requests - figures.failures;
  return { ...figures, cpuSecondsPerJob: good === 0 ? Number.NaN : cpu / good };
}

/** Each figure's median over the rounds; failures and uneven answers are added up. */
export function medianSample(samples: readonly Sample[]): Sample {
  return {
    ...medianFigures(samples),
    cpuSecondsPerJob: median(samples.map(({ cpuSecondsPerJob }) => cpuSecondsPerJob)),
    mainThreadShare: middle(samples.map(({ mainThreadShare }) => mainThreadShare)),
  };
}
