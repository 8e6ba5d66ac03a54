// The library's own copy of a state from one sequence to another: internal, and only in some of its versions, so it is looked
// for before it is used. It copies within llama.cpp and takes next to no time.
import type { LlamaContextSequence } from "node-llama-cpp";

type Internals = {
  _copyStateFromOtherSequence?(from: LlamaContextSequence, length: number): Promise<boolean>;
};

/** `to` then holds the first `length` tokens of `from`. `false` when it cannot be done this way; `to` is then empty. */
export async function copyNatively(
  from: LlamaContextSequence,
  to: LlamaContextSequence,
  length: number,
): Promise<boolean> {
  const target: Internals = to as unknown as Internals;
  if (!target._copyStateFromOtherSequence) return false;
  const copied = await target._copyStateFromOtherSequence(from, length);
  if (!copied) await to.clearHistory();
  return copied;
}
