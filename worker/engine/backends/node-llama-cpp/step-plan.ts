// The lockstep loop's decisions: where a prompt starts from, which slot gives way, and how much of what goes into the next
// step. Pure; tokens are counted, never looked at.

/** Somebody who has, or will have, the beginning of a prompt. */
export type Holder<H> = {
  holder: H;
  /** how many of the prompt's tokens it has once its own prompt is evaluated */
  shared: number;
  /** how many of them can be taken over now */
  ready: number;
};
export type Start<H> =
  | { way: "own" }
  | { way: "copy"; from: H; length: number }
  | { way: "wait"; for: H; length: number };

/** Fewer tokens than this are evaluated again sooner than they are copied. */
export const MIN_COPY = 32;

/**
 * How a prompt begins in a slot that has `own` of its tokens already. It waits when somebody is about to evaluate clearly
 * more of it than can be had now: a prefix is evaluated once, however many begin with it at the same time.
 */
export function chooseStart<H>(own: number, others: readonly Holder<H>[]): Start<H> {
  const now = best(others, ({ ready }) => ready);
  const later = best(others, ({ shared, ready }) => (shared > ready ? shared : 0));
  const had = Math.max(own, now?.ready ?? 0);
  if (later && later.shared >= had + MIN_COPY)
    return { way: "wait", for: later.holder, length: later.shared };
  if (now && now.ready >= own + MIN_COPY) return { way: "copy", from: now.holder, length: now.ready };
  return { way: "own" };
}

/** The first of those for whom `value` is greatest. */
function best<T>(list: readonly T[], value: (item: T) => number): T | undefined {
  return list.reduce<T | undefined>(
    (best, item) => (best === undefined || value(item) > value(best) ? item : best),
    undefined,
  );
}

/**
 * Where to cut what two prompts share, so that the cut serves a third: where many recent prompts part, if that is close.
 * Two sentences may begin with the same words; the instructions before them are what all have in common.
 */
export function cutOf(shared: number, common: number): number {
  return common <= shared && shared - common < MIN_COPY && common >= MIN_COPY ? common : shared;
}

export type FreeSlot = {
  /** how many tokens of the prompt it can start from */
  own: number;
  /** how many tokens it holds at all */
  tokens: number;
  /** A conversation is expected to go on here. */
  reserved: boolean;
  usedAt: number;
};

/** The free slot that already has most of the prompt; among equals the one that `giveWay` would name. -1 when none is free. */
export function nearest(free: readonly FreeSlot[]): number {
  return first(free, (a, b) => b.own - a.own || loss(a, b));
}

/** The free slot that is missed the least: an empty one, one that nobody goes on in, the one that was idle the longest. */
export function giveWay(free: readonly FreeSlot[]): number {
  return first(free, loss);
}

function loss(a: FreeSlot, b: FreeSlot): number {
  return (
    Number(a.tokens > 0) - Number(b.tokens > 0) ||
    Number(a.reserved) - Number(b.reserved) ||
    a.usedAt - b.usedAt
  );
}

function first<T>(list: readonly T[], order: (a: T, b: T) => number): number {
  return list.reduce((best, item, at) => (best === -1 || order(item, list[best]!) < 0 ? at : best), -1);
}

/** What a slot has before it: 1 token when it decodes, more for a prompt; and how many of them it may take in this step. */
export type Work = { todo: number; most: number };

/**
 * How many tokens each active slot evaluates in the next step. Every slot that decodes moves on in every step. Prompts share
 * what is left of the batch, oldest first, and no more than `chunk` while others decode: those wait for a step to end. A
 * prompt is cut only when it is the first and does not fit: pieces cost more than wholes, for attention works in tiles.
 */
export function planStep(work: readonly Work[], batchSize: number, chunk: number): number[] {
  const decoding = work.filter(({ todo, most }) => todo === 1 && most > 0).length;
  const atMost = Math.min(batchSize - decoding, decoding > 0 ? chunk : batchSize);
  let room = atMost;
  return work.map(({ todo, most }) => {
    if (most === 0) return 0;
    if (todo === 1) return 1;
    const wanted = Math.min(todo, most);
    const part = wanted <= room ? wanted : room === atMost ? room : 0;
    room -= part;
    return part;
  });
}
