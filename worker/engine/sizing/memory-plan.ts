// How many slots of which context a model gets in the memory there is: a pure decision. What it needs and what is there are
// found out elsewhere.

/** What a model takes: `bytes = fixed + perToken x slots x context + perSlot x slots`. */
export type Need = {
  /** weights, projector, scratch space and this process itself */
  fixedBytes: number;
  perTokenBytes: number;
  perSlotBytes: number;
  /** of `fixedBytes`, for messages */
  weightsBytes: number;
  trainContextSize: number;
};
/** What is `named` was chosen by hand: it holds or is refused. */
export type Wish = { slots: number; slotsNamed: boolean; contextSize: number; contextNamed: boolean };
export type Shape = { slots: number; contextSize: number };
export type Plan = Shape & { is: "fits" | "less context" | "fewer slots" | "refused"; bytes: number };

/** A context below this is of little use, so slots are given up before it. */
export const CONTEXT_FLOOR = 2_048;

export function bytesOf(need: Need, { slots, contextSize }: Shape): number {
  return Math.round(need.fixedBytes + need.perTokenBytes * slots * contextSize + need.perSlotBytes * slots);
}

/** The first that fits: as wished, then with half the context and half of that, then with one slot less and less. */
export function planMemory(need: Need, availableBytes: number, wish: Wish): Plan {
  const contexts = wish.contextNamed ? [wish.contextSize] : halvings(wish.contextSize);
  const counts = wish.slotsNamed
    ? [wish.slots]
    : Array.from({ length: wish.slots }, (_, i) => wish.slots - i);
  const smallest = contexts.at(-1)!;
  const shapes = [
    ...contexts.map((contextSize) => ({ slots: wish.slots, contextSize })),
    ...counts.slice(1).map((slots) => ({ slots, contextSize: smallest })),
  ];
  const shape = shapes.find((one) => bytesOf(need, one) <= availableBytes);
  if (shape === undefined) {
    const least = shapes.at(-1)!;
    return { is: "refused", ...least, bytes: bytesOf(need, least) };
  }
  const is =
    shape.slots < wish.slots ? "fewer slots" : shape.contextSize < wish.contextSize ? "less context" : "fits";
  return { is, ...shape, bytes: bytesOf(need, shape) };
}

function halvings(contextSize: number): number[] {
  const half = Math.floor(contextSize / 2);
  return half < CONTEXT_FLOOR ? [contextSize] : [contextSize, ...halvings(half)];
}
