// Decides where a prompt starts: in which free slot, and from what that slot, another slot or a saved state has of it. Pure: tokens
// are counted, never looked at. What is shared is found in radix-tree.ts; copying and evaluating are left to the backend.

/** Anything that has a beginning of the prompt, or will have it soon. */
export type Holder<H> = {
  holder: H;
  /** how many of the prompt's tokens it has once its own prompt is evaluated */
  shared: number;
  /** how many of them can be taken now */
  ready: number;
};
export type Start<H> =
  | { way: "own" }
  | { way: "copy"; from: H; length: number }
  | { way: "wait"; for: H; length: number };

/** To evaluate fewer tokens than this is faster than to copy them. */
export const MIN_COPY = 32;

/**
 * How a prompt starts in a slot that has `own` of its tokens already. It waits when another slot is about to evaluate clearly
 * more of it than is there now: so a prefix is evaluated once, however many prompts begin with it at the same time.
 */
export function chooseStart<H>(own: number, others: readonly Holder<H>[]): Start<H> {
  const now = most(others, ({ ready }) => ready);
  const later = most(others, ({ shared, ready }) => (shared > ready ? shared : 0));
  const available = Math.max(own, now?.ready ?? 0);
  if (later && later.shared >= available + MIN_COPY)
    return { way: "wait", for: later.holder, length: later.shared };
  if (now && now.ready >= own + MIN_COPY) return { way: "copy", from: now.holder, length: now.ready };
  return { way: "own" };
}

/** The first of those for which `value` is greatest. */
function most<T>(list: readonly T[], value: (item: T) => number): T | undefined {
  return list.reduce<T | undefined>(
    (best, item) => (best === undefined || value(item) > value(best) ? item : best),
    undefined,
  );
}

/**
 * Where to cut what two prompts share, so that the cut serves a third one: where many recent prompts differ, if that is close.
 * Two questions may begin with the same words; only the instructions before them are common to all.
 */
export function cutOf(shared: number, common: number): number {
  return common <= shared && shared - common < MIN_COPY && common >= MIN_COPY ? common : shared;
}

export type FreeSlot = {
  /** how many tokens of the prompt it can start from */
  own: number;
  /** how many tokens it holds */
  tokens: number;
  /** Another conversation is expected to continue here. */
  reserved: boolean;
  /** grows with every use */
  usedAt: number;
};

/** A few tokens more in common are an accident: the same first words of two questions. */
const ACCIDENT = 16;

/**
 * The free slot to start in with what it has of the prompt. Of those that have about as much, the one with the least to lose.
 * -1 when none is free.
 */
export function nearest(free: readonly FreeSlot[]): number {
  const best = Math.max(...free.map(({ own }) => own));
  const isNear = ({ own }: FreeSlot) => own >= best - ACCIDENT;
  return first(
    free,
    (a, b) =>
      Number(isNear(b)) - Number(isNear(a)) ||
      Number(a.reserved) - Number(b.reserved) ||
      a.tokens - a.own - (b.tokens - b.own) ||
      a.usedAt - b.usedAt,
  );
}

/** The free slot whose tokens are needed least: an empty one, one without a conversation, the one that was idle the longest. */
export function giveWay(free: readonly FreeSlot[]): number {
  return first(
    free,
    (a, b) =>
      Number(a.tokens > 0) - Number(b.tokens > 0) ||
      Number(a.reserved) - Number(b.reserved) ||
      a.usedAt - b.usedAt,
  );
}

function first<T>(list: readonly T[], order: (a: T, b: T) => number): number {
  return list.reduce((best, item, at) => (best === -1 || order(item, list[best]!) < 0 ? at : best), -1);
}
