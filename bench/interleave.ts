// The order of things that are compared: a machine drifts, so that one after the other would compare two hours. Pure.

/** A B, B A, A B …: what changes slowly meets all alike. With an odd number of rounds one order comes once more often. */
export function interleave<Name>(names: readonly Name[], rounds: number): Name[] {
  return Array.from({ length: rounds }, (_, round) => (round % 2 === 0 ? names : names.toReversed())).flat();
}
