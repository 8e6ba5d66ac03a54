// How many slots a machine should run, from what it reached at each width: a pure decision.

/** All requests together, while `width` of them were decoding. */
export type Reading = { width: number; tokensPerSecond: number };
/** Why a width was not measured; `words` are those of what failed. */
export type LeftOut = { width: number; why: "time" | "memory" | "ended" | "failed"; words?: string };
/** In order of width. */
export type Measured = {
  readings: Reading[];
  leftOut: LeftOut[];
  /** False when the same width gave another rate each time: something else ran on the machine. */
  steady: boolean;
  prefillTokensPerSecond: number | null;
  tookMs: number;
};

/** The widths worth looking at: Apple's GPUs change their way of multiplying between 8 and 9. */
export const WIDTHS = [1, 2, 4, 8, 9, 16] as const;
/** What an engine runs that could not be measured. */
export const DEFAULT_SLOTS = 8;
/** More slots for the last few percent cost every request its pace. */
const NEAR_BEST = 0.95;
/** Two looks at the same width on a quiet machine differ by a few percent. */
const STEADY = 1.25;
/** A fall to less than this is a cliff, and no noise. */
const CLIFF = 0.8;

export type Curve = Pick<Measured, "readings" | "leftOut" | "steady">;

/** The smallest width near the best, of those before a cliff; undefined when that cannot be told. */
export function chooseWidth({ readings, leftOut, steady }: Curve): number | undefined {
  if (!steady) return undefined;
  const safe = beforeCliff(readings);
  const best = Math.max(...safe.map(({ tokensPerSecond }) => tokensPerSecond));
  const chosen = safe.find(({ tokensPerSecond }) => tokensPerSecond >= NEAR_BEST * best)?.width;
  // Still rising where the measuring broke off: its knee is further on, nobody knows where.
  const isOpen = chosen === readings.at(-1)?.width && leftOut.length > 0 && leftOut[0]!.why !== "failed";
  return isOpen && chosen !== undefined && chosen < DEFAULT_SLOTS ? undefined : chosen;
}

/** From how far two rates of each width are apart, as ratios: most of them must agree. */
export function isSteady(spreads: readonly number[]): boolean {
  const sorted = [...spreads].sort((a, b) => a - b);
  return (sorted[Math.floor(sorted.length / 2)] ?? 1) <= STEADY;
}

/** However fast it gets behind a cliff: with that many slots it would often run on the cliff, with a few requests less. */
function beforeCliff(readings: readonly Reading[]): readonly Reading[] {
  const [edge] = falls(readings);
  return edge === undefined ? readings : readings.filter(({ width }) => width < edge);
}

/** The widths that are far slower than a smaller one. */
export function falls(readings: readonly Reading[]): number[] {
  let best = 0;
  return readings.flatMap(({ width, tokensPerSecond }) => {
    best = Math.max(best, tokensPerSecond);
    return tokensPerSecond < CLIFF * best ? [width] : [];
  });
}
