// How long the jobs of the utilisation table take: the same for everyone, drawn from a seed.
import { seededRandom } from "./seeded-random.ts";

export const SHAPES = ["exponential", "bimodal"] as const;
export type Shape = (typeof SHAPES)[number];

const SEED = 7;
const LONGEST_MS = 1_500;

/** Both have a mean of 100 ms: many short and a few long, or nine of 50 ms and one of 550. */
export function durationsOf(shape: Shape, count: number): number[] {
  const random = seededRandom(SEED);
  return Array.from({ length: count }, () =>
    shape === "exponential" ? Math.min(LONGEST_MS, -100 * Math.log(1 - random())) : random() < 0.9 ? 50 : 550,
  );
}
