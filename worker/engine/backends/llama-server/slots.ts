// Which slot a request goes to: the one that has evaluated most of its prompt, and of those the one whose loss costs least.
// Pure; who runs where when is seating.ts's business.

export type Slot = {
  /** What it has evaluated, pictures included: see prompt.ts for how they are written as numbers. */
  tokens: readonly number[];
  busy: boolean;
  /** Grows with every use. */
  usedAt: number;
  conversation: string | undefined;
};

// A few tokens more in common are an accident: the same first words of a question.
const SAME = 16;

export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  const length = Math.min(a.length, b.length);
  let at = 0;
  while (at < length && a[at] === b[at]) at++;
  return at;
}

/** Undefined when all are busy. */
export function chooseSlot(
  slots: readonly Slot[],
  prompt: readonly number[],
  conversation?: string,
): number | undefined {
  const free = slots.flatMap((slot, at) =>
    slot.busy ? [] : [{ at, slot, common: commonPrefix(slot.tokens, prompt) }],
  );
  const most = Math.max(...free.map(({ common }) => common));
  const best = free.filter(({ common }) => common >= most - SAME);
  const foreign = (slot: Slot) =>
    Number(slot.conversation !== undefined && slot.conversation !== conversation);
  // A conversation will go on, other prompts may come again; of equals the one that waited longest.
  best.sort(
    (a, b) =>
      foreign(a.slot) - foreign(b.slot) ||
      a.slot.tokens.length - a.common - (b.slot.tokens.length - b.common) ||
      a.slot.usedAt - b.slot.usedAt,
  );
  return best[0]?.at;
}
