// Seeded random numbers. Everything the demo model learns from or is measured with follows from a seed alone.

/** Seeds from here on are never used in training: held-out accuracy, the demo and the tests draw from them. */
export const HELD_OUT = 1_000_000_000;

export type Random = {
  /** 0 <= x < 1 */
  next(): number;
  /** A whole number, both ends included. */
  int(low: number, high: number): number;
  between(low: number, high: number): number;
  chance(probability: number): boolean;
  pick<T>(items: readonly T[]): T;
  /** `count` different items, or all of them, in random order. */
  sample<T>(items: readonly T[], count: number): T[];
  /** Normally distributed, mean 0, deviation 1. */
  normal(): number;
};

/** Mixes a seed with a word, so that cases of different kinds with the same seed have nothing in common. */
function mix(seed: number, stream: string): number {
  let hash = 0x811c9dc5;
  for (const character of `${seed}/${stream}`) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** The generator is mulberry32. */
export function random(seed: number, stream = ""): Random {
  let state = mix(seed, stream);
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  const int = (low: number, high: number) => low + Math.floor(next() * (high - low + 1));
  return {
    next,
    int,
    between: (low, high) => low + next() * (high - low),
    chance: (probability) => next() < probability,
    pick: (items) => items[int(0, items.length - 1)]!,
    sample(items, count) {
      const left = [...items];
      for (let at = 0; at < Math.min(count, left.length); at++) {
        const other = int(at, left.length - 1);
        [left[at], left[other]] = [left[other]!, left[at]!];
      }
      return left.slice(0, count);
    },
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
  };
}
