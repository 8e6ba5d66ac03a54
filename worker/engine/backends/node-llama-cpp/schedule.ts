// The lockstep loop's decisions: which slot a prompt goes to, and how much of what goes into the next step. Pure.

type Tokens = readonly number[];
/** A free slot: what it still holds, and when it was last used. */
export type FreeSlot = { kept: Tokens; usedAt: number };

export function sharedPrefix(a: Tokens, b: Tokens): number {
  const end = Math.min(a.length, b.length);
  let length = 0;
  while (length < end && a[length] === b[length]) length++;
  return length;
}

/**
 * The free slot whose kept tokens share the longest prefix with the prompt. Among equals the one that loses the least, and
 * then the one that was idle the longest. -1 when none is free.
 */
export function chooseSlot(prompt: Tokens, free: readonly FreeSlot[]): number {
  let best = -1;
  let bestRank = [0, 0, 0];
  for (const [index, { kept, usedAt }] of free.entries()) {
    const shared = sharedPrefix(prompt, kept);
    const rank = [shared, shared - kept.length, -usedAt];
    if (best === -1 || isGreater(rank, bestRank)) [best, bestRank] = [index, rank];
  }
  return best;
}

function isGreater(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((value, index) => value !== b[index]);
  return at !== -1 && a[at]! > b[at]!;
}

/**
 * How many tokens each active slot evaluates in the next step. `todo` is what each has before it: 1 for a slot that decodes,
 * more for a prompt. Every slot that decodes moves on in every step; prompts share what is left of the batch, oldest first.
 */
export function planStep(todo: readonly number[], batchSize: number): number[] {
  let room = batchSize - todo.filter((count) => count === 1).length;
  return todo.map((count) => {
    if (count === 1) return 1;
    const part = Math.max(0, Math.min(count, room));
    room -= part;
    return part;
  });
}
