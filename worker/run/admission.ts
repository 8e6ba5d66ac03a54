// Who runs next and how many to pull: pure decisions, so that tables can test them.

export type Room = { slots: number; prefetch: number; held: number };

/** The most a queue gives in one receive. */
const MAX_BATCH = 10;

/**
 * How many messages to ask for. 0: wait for room. A poll costs a call whatever it brings, so a worker that is busy
 * waits until half of those it holds in advance have gone.
 */
export function howManyToPull({ slots, prefetch, held }: Room): number {
  const room = slots + prefetch - held;
  const idle = held < slots;
  const worthIt = Math.min(MAX_BATCH, Math.max(1, Math.ceil(prefetch / 2)));
  return idle || room >= worthIt ? Math.max(0, Math.min(MAX_BATCH, room)) : 0;
}

export type Candidate = { priority: number; group: string | null };

/**
 * The index of the waiting message to start next, -1 for none: the highest priority first, the oldest among equals
 * (`waiting` is in order of arrival), one at a time of each message group and those in order.
 */
export function nextToRun(waiting: readonly Candidate[], runningGroups: ReadonlySet<string>): number {
  const barred = new Set(runningGroups);
  let best = -1;
  waiting.forEach(({ priority, group }, index) => {
    if (group !== null && barred.has(group)) return;
    if (group !== null) barred.add(group);
    if (best < 0 || priority > waiting[best]!.priority) best = index;
  });
  return best;
}
