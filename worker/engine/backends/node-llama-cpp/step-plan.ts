// How many tokens of which slot go into the next step of the batch loop. Pure; tokens are counted, never looked at.

/** `todo`: tokens that a slot has still to evaluate, 1 when it decodes. `most`: how many of them it may take in this step. */
export type Work = { todo: number; most: number };

/**
 * How many tokens each active slot evaluates in the next step. Every slot that decodes takes its token in every step. Prompts
 * share what is left of the batch, oldest first, and together at most `chunk` while others decode, because those wait for the
 * step to end. A prompt is cut only when it is the first and does not fit: a whole prompt costs less than its pieces, because
 * attention works in tiles.
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
