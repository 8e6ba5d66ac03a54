// What to do about a prompt's beginning before it is evaluated: which saved state to go on from, and whether to save one that
// others will want. Pure: no files and no library; keeping.ts does what is decided here.
import { type Sequence, usable } from "./slot-use.ts";

/** Less is not worth a file. */
export const LEAST = 48;
/** What reading one place from a file costs, against evaluating it. */
const READING = 1 / 16;
/** Of a state that is saved whole, what may be of no use to others. */
const WASTE = 1 / 3;

type Known = { sequence: Sequence };
export type Wish<S extends Known> = {
  prompt: Sequence;
  stored: readonly S[];
  /** prompts that came lately or wait: what they share with this one is likely to come again */
  others: readonly Sequence[];
  /** Whether a picture nobody else was seen with yet is worth a file. */
  speculate: boolean;
};
export type Plan<S extends Known> = {
  load: { stored: S; gain: number } | undefined;
  /** The first `length` places are worth saving: `whole` with all that this prompt has besides, else by themselves. */
  save: { length: number; whole: boolean } | undefined;
};

export function planPrefix<S extends Known>(wish: Wish<S>): Plan<S> {
  const load = bestStored(wish.stored, wish.prompt);
  return { load, save: worthSaving(wish, load?.gain ?? 0) };
}

export function bestStored<S extends Known>(
  stored: readonly S[],
  prompt: Sequence,
): { stored: S; gain: number } | undefined {
  let best: { stored: S; gain: number; score: number } | undefined;
  for (const one of stored) {
    const gain = usable(one.sequence, prompt);
    const score = gain - one.sequence.places.length * READING;
    if (gain >= LEAST && score > Math.max(0, best?.score ?? 0)) best = { stored: one, gain, score };
  }
  return best && { stored: best.stored, gain: best.gain };
}

function worthSaving({ prompt, others, speculate }: Wish<Known>, have: number): Plan<Known>["save"] {
  const length = mostShared(prompt, others, have) ?? (speculate ? unseenPicture(prompt, have) : undefined);
  if (length === undefined) return undefined;
  const total = prompt.places.length;
  const first = prompt.pictures[0];
  // A text cannot be cut off before a picture: the library goes on there only from a state that has one, too.
  const uncut = first !== undefined && length <= first.start;
  return { length, whole: uncut || total - length <= total * WASTE };
}

/** The beginning that saves the most over all who share it. */
function mostShared(prompt: Sequence, others: readonly Sequence[], have: number): number | undefined {
  const shared = others
    .map((other) => usable(prompt, other))
    .filter((length) => length - have >= LEAST)
    .sort((a, b) => b - a);
  let best: { length: number; saved: number } | undefined;
  for (const [index, length] of shared.entries()) {
    const saved = (index + 1) * (length - have);
    if (saved > (best?.saved ?? 0)) best = { length, saved };
  }
  return best?.length;
}

function unseenPicture({ pictures }: Sequence, have: number): number | undefined {
  const end = pictures.at(-1)?.end;
  return end !== undefined && have < end ? end : undefined;
}

/** Whether saving pictures at first sight has paid lately; from time to time it is tried again. */
export class Speculation {
  #saved = 0;
  #used = 0;
  #refused = 0;

  /** May be asked once for each chance. */
  allows(): boolean {
    if (this.#saved < 8 || this.#used * 8 >= this.#saved) return true;
    return ++this.#refused % 16 === 0;
  }

  saved(): void {
    this.#saved++;
    // What was long ago counts for less.
    if (this.#saved < 64) return;
    this.#saved /= 2;
    this.#used /= 2;
  }

  used(): void {
    this.#used++;
  }
}
