// One measured wave of one server: its figures, and the CPU time its process used meanwhile.
import { cpuSeconds, mainThreadSeconds } from "./cpu-time.ts";
import type { ServerProcess } from "./engine-process.ts";
import { type Figures, figuresOf } from "./figures.ts";
import { type Call, runLoad } from "./load.ts";
import { median, sum } from "./statistics.ts";

export type Sample = Omit<Figures, "endToEndMs"> & {
  cpuSecondsPerJob: number;
  /** The part of it on the main thread: in our process all that is not llama.cpp. Undefined where it cannot be told. */
  mainThreadShare: number | undefined;
};

export async function measure(
  server: ServerProcess,
  calls: readonly Call[],
  concurrency: number,
  wantedTokens: number,
): Promise<Sample> {
  const [cpuBefore, mainBefore] = [cpuSeconds(server.pid), mainThreadSeconds(server.pid)];
  const wave = await runLoad(calls, server, concurrency);
  const cpu = cpuSeconds(server.pid) - cpuBefore;
  const main = mainThreadSeconds(server.pid);
  const { endToEndMs: _, ...figures } = figuresOf(wave, wantedTokens);
  return {
    ...figures,
    cpuSecondsPerJob: cpu / calls.length,
    mainThreadShare: main === undefined || mainBefore === undefined ? undefined : (main - mainBefore) / cpu,
  };
}

/** Each figure's median over the rounds; failures and uneven answers are added up. */
export function medianSample(samples: readonly Sample[]): Sample {
  const of = (take: (sample: Sample) => number | undefined) => {
    const known = samples.map(take).filter((value) => value !== undefined);
    return known.length === 0 ? undefined : median(known);
  };
  const firstFailure = samples.find(({ failures }) => failures > 0)?.firstFailure;
  return {
    requests: sum(samples.map(({ requests }) => requests)),
    failures: sum(samples.map(({ failures }) => failures)),
    ...(firstFailure !== undefined && { firstFailure }),
    uneven: sum(samples.map(({ uneven }) => uneven)),
    wallSeconds: of(({ wallSeconds }) => wallSeconds)!,
    ttftMs: of(({ ttftMs }) => ttftMs),
    tpotMs: of(({ tpotMs }) => tpotMs),
    promptTokensPerSecond: of(({ promptTokensPerSecond }) => promptTokensPerSecond)!,
    completionTokensPerSecond: of(({ completionTokensPerSecond }) => completionTokensPerSecond)!,
    cachedShare: of(({ cachedShare }) => cachedShare)!,
    cpuSecondsPerJob: of(({ cpuSecondsPerJob }) => cpuSecondsPerJob)!,
    mainThreadShare: of(({ mainThreadShare }) => mainThreadShare),
  };
}
