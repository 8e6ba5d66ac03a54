// The order of two things that are compared: a machine drifts, so that one after the other would compare two hours. Pure.

/** A B, B A, A B …: each comes first as often, and what changes slowly meets both alike. */
export function interleave<Name>(a: Name, b: Name, rounds: number): Name[] {
  return Array.from({ length: rounds }, (_, round) => (round % 2 === 0 ? [a, b] : [b, a])).flat();
}
