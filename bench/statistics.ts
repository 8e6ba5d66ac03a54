// The few statistics the tables need. Pure.

export const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
/** NaN of nothing. */
export const mean = (values: readonly number[]) => sum(values) / values.length;
export const median = (values: readonly number[]) => percentile(values, 50);

/** Between the two nearest ranks, as most tools do it. NaN of nothing. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = ((sorted.length - 1) * percent) / 100;
  const below = sorted[Math.floor(rank)] ?? Number.NaN;
  const above = sorted[Math.ceil(rank)] ?? Number.NaN;
  return below + (above - below) * (rank - Math.floor(rank));
}
