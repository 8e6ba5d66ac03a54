// Which waiting request gets the next free slot: a pure decision. The admission queue keeps the requests, oldest first.

/** The rank of a request that a person waits for; a job's rank is its priority, 0..9, fractions too. */
export const INTERACTIVE = 10;

export type Waiting = {
  rank: number;
  /** How many requests that came later got a slot before this one. */
  passedOver: number;
  /** How many tokens of its prompt would not be evaluated again if it ran now. */
  warmTokens(): number;
};

/** A request is overdue when it was passed over so often for each slot. */
const OVERDUE_PER_SLOT = 4;
/** Asking a request how warm it is takes time, so in a long queue only the oldest are asked. */
const MAX_ASKED = 128;

/**
 * The index of the next request in `waiting`, which is not empty: the highest rank first, then the most warm tokens, then
 * the oldest. An overdue request goes before all others, but only every other time. So jobs get slots under a stream of
 * interactive requests, and many overdue jobs leave interactive requests half of the slots.
 */
export function chooseNext(
  waiting: readonly Waiting[],
  { slots, lastWasOverdue }: { slots: number; lastWasOverdue: boolean },
): { index: number; isOverdue: boolean } {
  const limit = OVERDUE_PER_SLOT * slots;
  const overdue = lastWasOverdue ? -1 : waiting.findIndex(({ passedOver }) => passedOver >= limit);
  return overdue === -1
    ? { index: warmestOfHighestRank(waiting), isOverdue: false }
    : { index: overdue, isOverdue: true };
}

function warmestOfHighestRank(waiting: readonly Waiting[]): number {
  const rank = waiting.reduce((highest, request) => Math.max(highest, request.rank), -1);
  let best = { index: -1, warm: -1 };
  let asked = 0;
  for (const [index, request] of waiting.entries()) {
    if (request.rank !== rank) continue;
    const warm = request.warmTokens();
    if (warm > best.warm) best = { index, warm };
    if (++asked === MAX_ASKED) break;
  }
  return best.index;
}
