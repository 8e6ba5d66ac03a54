// What can be read of the machine's GPU, memory, heat and use: the figures, and where each comes from. A figure that cannot be had is absent
// with its reason. Pure: how the outputs of commands and files are read is in mac.ts and linux.ts, when they are read in power-reader.ts.

export const THERMAL_STATES = ["nominal", "fair", "serious", "critical"] as const;
/** In Apple's words: `fair` is a little slower, from `serious` on the machine protects itself. */
export type ThermalState = (typeof THERMAL_STATES)[number];

export type Figures = {
  /** Of the busiest GPU, in percent. */
  gpuPercent: number;
  /** Of all GPUs. On a Mac it is a part of the machine's memory. */
  gpuMemoryBytes: number;
  /** Of all GPUs. */
  gpuWatts: number;
  cpuWatts: number;
  /** The hottest sensor, in degrees Celsius. */
  temperature: number;
  thermalState: ThermalState;
  memoryPressure: "normal" | "warn" | "critical";
  /** Since somebody last used keyboard or pointer. */
  idleSeconds: number;
};
export type Figure = keyof Figures;

export const FIGURES = [
  "gpuPercent",
  "gpuMemoryBytes",
  "gpuWatts",
  "cpuWatts",
  "temperature",
  "thermalState",
  "memoryPressure",
  "idleSeconds",
] as const satisfies readonly Figure[];

/** Every figure is either there, or in `absent` with the reason. `at`: epoch milliseconds of the oldest figure. */
export type Reading = { at: number; absent: Partial<Record<Figure, string>> } & Partial<Figures>;

/** What one command or file gives: figures, and reasons for those that it should give and does not. */
export type Part = { found: Partial<Figures>; absent?: Partial<Record<Figure, string>> };

export type Source = {
  figures: readonly Figure[];
  /** `isFinal`: it will say the same as long as this process runs, and is not asked again. */
  read(run: Run): Promise<Part & { isFinal?: boolean }>;
};

/** Runs a command within a few seconds. `missing`: there is no such command. */
export type Run = (command: readonly string[]) => Promise<Ran>;
export type Ran = { is: "output"; out: string } | { is: "missing" } | { is: "failed"; why: string };

/** What is used in all, as far as it can be read. */
export function wattsOf({ gpuWatts, cpuWatts }: Partial<Figures>): number | undefined {
  return gpuWatts === undefined && cpuWatts === undefined ? undefined : (gpuWatts ?? 0) + (cpuWatts ?? 0);
}

/** Every figure of `figures` absent for one reason. */
export const noneOf = (figures: readonly Figure[], why: string): Part => ({
  found: {},
  absent: Object.fromEntries(figures.map((figure) => [figure, why])),
});

/** What was found; the other ones of `figures` are absent for one reason. */
export function partOf(figures: readonly Figure[], why: string, found: Part["found"]): Part {
  const missing = figures.filter((figure) => found[figure] === undefined);
  return missing.length === 0 ? { found } : { ...noneOf(missing, why), found };
}

/** The same for as long as this process runs: they are not asked for again. */
export const neverOf = (figures: readonly Figure[], why: string) => ({
  ...noneOf(figures, why),
  isFinal: true,
});

/** The first part that has a figure counts. The reason is that of the last one that should have given it. */
export function joined(parts: readonly Part[]): Part {
  const found = Object.assign({}, ...parts.map((part) => part.found).toReversed());
  const reasons = Object.assign({}, ...parts.map(({ absent }) => absent ?? {}));
  const absent = Object.entries(reasons).filter(([figure]) => found[figure] === undefined);
  return { found, absent: Object.fromEntries(absent) };
}
