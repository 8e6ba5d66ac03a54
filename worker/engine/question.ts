// What one request asks of the engine, whichever address it came in by. Pure.
import type { Generation } from "./backend.ts";
import type { Operation } from "./metrics.ts";

/** A generation, how many answers, and how they come to their turn. */
export type Question = {
  generation: Generation;
  /** Each answer takes a place in the line and a slot of its own; the nth is drawn with the seed + n. */
  count: number;
  /** See turn-order.ts. */
  rank: number;
  /** How many tokens the model may think before each answer. */
  thinkingBudget: number;
};

export function withSeed(generation: Generation, nth: number): Generation {
  const { sampling } = generation;
  return { ...generation, sampling: { ...sampling, seed: (sampling.seed + nth) % 2 ** 32 } };
}

export const operationOf = ({ prompt }: Generation): Operation =>
  "text" in prompt ? "text_completion" : "chat";
