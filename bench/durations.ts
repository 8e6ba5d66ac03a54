// How long the jobs of the utilisation table take: the same for everyone, drawn from a seed.

export const SHAPES = ["exponential", "bimodal"] as const;
export type Shape = (typeof SHAPES)[number];

const SEED = 7;
const LONGEST_MS = 1_500;

/** Both have a mean of 100 ms: many short and a few long, or nine of 50 ms and one of 550. */
export function durationsOf(shape: Shape, count: number): number[] {
  const random = randomFrom(SEED);
  return Array.from({ length: count }, () =>
    shape === "exponential" ? Math.min(LONGEST_MS, -100 * Math.log(1 - random())) : random() < 0.9 ? 50 : 550,
  );
}

/** mulberry32: small, and the same on every machine. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
