// Who gets the next slot of those who wait for one. Pure; the queue keeps them in the order they came.

/** The rank of a request someone waits for in person; a job's is its priority, 0..9. */
export const INTERACTIVE = 10;

export type Waiter = {
  rank: number;
  /** How many that came later were let in before it. */
  passedOver: number;
  /** How much of its prompt would not be evaluated again if it ran now. */
  warmTokens(): number;
};

/** Who was passed over so often for each slot is overdue. */
const PATIENCE = 4;
// A long queue must stay cheap: no more than so many, the oldest, are asked how warm they are.
const ASKED = 128;

/**
 * The place of the next in `waiting`, which is not empty: the highest rank, of those the warmest, of those the oldest. Who is
 * overdue goes before all of them, but only every other turn. So a job gets its turn under a stream of interactive requests,
 * and a heap of old jobs leaves interactive requests half of the turns.
 */
export function nextTurn(
  waiting: readonly Waiter[],
  { slots, afterOverdue }: { slots: number; afterOverdue: boolean },
): { at: number; overdue: boolean } {
  const overdue = afterOverdue ? -1 : waiting.findIndex(({ passedOver }) => passedOver >= PATIENCE * slots);
  return overdue === -1 ? { at: warmest(waiting), overdue: false } : { at: overdue, overdue: true };
}

function warmest(waiting: readonly Waiter[]): number {
  const rank = waiting.reduce((highest, one) => Math.max(highest, one.rank), -1);
  let best = { at: -1, warm: -1 };
  let asked = 0;
  for (const [at, waiter] of waiting.entries()) {
    if (waiter.rank !== rank) continue;
    const warm = waiter.warmTokens();
    if (warm > best.warm) best = { at, warm };
    if (++asked === ASKED) break;
  }
  return best.at;
}
