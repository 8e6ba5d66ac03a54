// Chooses how many slots a machine runs from the rate it reached at each width (requests that decode at once). Pure.

/** The rate of all requests together while `width` of them decoded. */
export type Reading = { width: number; tokensPerSecond: number };
/** Why a width was not measured; `words` is the message of what failed. */
export type LeftOut = { width: number; why: "time" | "memory" | "ended" | "failed"; words?: string };
/** Readings and omissions are in order of width. */
export type Measured = {
  readings: Reading[];
  leftOut: LeftOut[];
  /** False when most widths were not measured twice, or gave different rates: something else ran on the machine. */
  steady: boolean;
  /** How many widths were measured twice. Absent in what older versions kept, which trusted a single look. */
  seenTwice?: number | undefined;
  prefillTokensPerSecond: number | null;
  /** How the tokens were drawn. Absent in what older versions kept. */
  sampling?: string | undefined;
  tookMs: number;
};

/** The widths to measure. Apple's GPUs use another way of multiplying matrices from 9 on. */
export const WIDTHS = [1, 2, 4, 8, 9, 16] as const;
/** The number of slots where nothing could be measured. */
export const DEFAULT_SLOTS = 8;
/** Fewer slots that reach this share of the best rate are better: with more, each request is slower. */
const NEAR_BEST = 0.95;
/** On a quiet machine two measurements of a width differ by a few percent only. */
const STEADY = 1.25;
/** A rate below this share of a smaller width's rate is a cliff, not noise. */
const CLIFF = 0.8;

export type Curve = Pick<Measured, "readings" | "leftOut" | "steady">;

/** The smallest width near the best, before any cliff; undefined when the readings do not show it. */
export function chooseWidth({ readings, leftOut, steady }: Curve): number | undefined {
  if (!steady) return undefined;
  const safe = beforeCliff(readings);
  const best = Math.max(...safe.map(({ tokensPerSecond }) => tokensPerSecond));
  const chosen = safe.find(({ tokensPerSecond }) => tokensPerSecond >= NEAR_BEST * best)?.width;
  // The rate still rises at the last width that was measured, so a larger width may be better.
  const isOpen = chosen === readings.at(-1)?.width && leftOut.length > 0 && leftOut[0]!.why !== "failed";
  return isOpen && chosen !== undefined && chosen < DEFAULT_SLOTS ? undefined : chosen;
}

/** `spreads` are the ratios of two rates of the same width. Most of the `widths` must have one, and most must be close to 1. */
export function isSteady(spreads: readonly number[], widths: number): boolean {
  const sorted = [...spreads].sort((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)];
  return middle !== undefined && 2 * spreads.length >= widths && middle <= STEADY;
}

/** Whether something else ran on the machine, so that another measurement may be steady. Not where the answers ended or failed. */
export function isDisturbed({ steady, leftOut }: Curve): boolean {
  return !steady && !leftOut.some(({ why }) => why === "ended" || why === "failed");
}

/** Widths behind a cliff may be faster still. But with so many slots and a few requests less the engine runs on the cliff. */
function beforeCliff(readings: readonly Reading[]): readonly Reading[] {
  const [cliff] = cliffs(readings);
  return cliff === undefined ? readings : readings.filter(({ width }) => width < cliff);
}

/** The widths whose rate is far below that of a smaller width. */
export function cliffs(readings: readonly Reading[]): number[] {
  let best = 0;
  return readings.flatMap(({ width, tokensPerSecond }) => {
    best = Math.max(best, tokensPerSecond);
    return tokensPerSecond < CLIFF * best ? [width] : [];
  });
}
