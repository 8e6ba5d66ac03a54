// What the library's slots hold, as far as it can be known from outside: the library tells nobody which slot a request got,
// but it always takes the idle one that was freed first. A mistake here costs time, never an answer. Pure.
import type { BackendState } from "../../generation/backend.ts";

type SlotState = BackendState["slots"][number]["state"];
export type Seat = { state: SlotState; held: Sequence | undefined; tokens: number };

export class SlotStats {
  readonly #all: Seat[];
  /** first the one that was freed first */
  readonly #idle: Seat[];

  constructor(slots: number) {
    this.#all = Array.from({ length: slots }, () => ({ state: "idle", held: undefined, tokens: 0 }));
    this.#idle = [...this.#all];
  }

  get all(): readonly Seat[] {
    return this.#all;
  }

  /** How much of `prompt` the next slot holds. The library looks for it only where there are pictures. */
  warm(prompt: Sequence): number {
    const held = this.#idle[0]?.held;
    return held === undefined || prompt.pictures.length === 0 ? 0 : usable(held, prompt);
  }

  take(prompt: Sequence): Seat {
    // Without one the request waits inside of the library, for the slot of one that was cut off.
    const seat = this.#idle.shift() ?? { state: "prefill", held: undefined, tokens: 0 };
    return Object.assign(seat, { state: "prefill", held: prompt, tokens: prompt.places.length });
  }

  said(seat: Seat): void {
    seat.state = "decode";
    seat.tokens++;
  }

  free(seat: Seat): void {
    seat.state = "idle";
    if (this.#all.includes(seat)) this.#idle.push(seat);
  }
}

// A prompt as the library's memory holds it, place by place, and how much of one prompt's memory serves another. The library
// decides for itself when a request runs; what is here foretells it, so a mistake costs time and never an answer. Pure.
/** Places `start` to `end` are one picture's. */
export type Span = { start: number; end: number };
export type Sequence = {
  /** A token's id for each place; a picture's places all hold one negative number that stands for its content. */
  places: Int32Array;
  pictures: readonly Span[];
};
/** A piece of a prompt: the ids of its tokens, or a picture with its hash and size in tokens. */
export type Piece = ArrayLike<number> | { sha256: string; length: number };

export function sequenceOf(pieces: readonly Piece[]): Sequence {
  const places = new Int32Array(pieces.reduce((sum, { length }) => sum + length, 0));
  const pictures: Span[] = [];
  let at = 0;
  for (const piece of pieces) {
    const end = at + piece.length;
    if ("sha256" in piece) {
      places.fill(numberOf(piece.sha256), at, end);
      pictures.push({ start: at, end });
    } else places.set(piece, at);
    at = end;
  }
  return { places, pictures };
}

/** 31 bits of a hash, below every token's id. */
const numberOf = (sha256: string) => -1 - (Number.parseInt(sha256.slice(0, 8) || "0", 16) >>> 1);

export function firstPlaces({ places, pictures }: Sequence, length: number): Sequence {
  return { places: places.slice(0, length), pictures: pictures.filter(({ end }) => end <= length) };
}

export function commonLength({ places: a }: Sequence, { places: b }: Sequence): number {
  const most = Math.min(a.length, b.length);
  let at = 0;
  while (at < most && a[at] === b[at]) at++;
  return at;
}

/** How many places of `prompt` need not be evaluated where `held` is in memory. */
export function usable(held: Sequence, prompt: Sequence): number {
  const common = commonLength(held, prompt);
  const first = prompt.pictures[0];
  // One token is always evaluated, for its probabilities.
  if (first === undefined) return Math.max(0, Math.min(common, prompt.places.length - 1));
  // A prompt with pictures is evaluated in whole chunks: a text, a picture, a text. The last text may go on from anywhere.
  if (common < first.start || held.pictures.length === 0) return 0;
  if (!samePictures(held, prompt, common)) return first.start;
  return Math.min(common, prompt.places.length - 1);
}

/** The library takes over pictures only if all of them are the same. */
function samePictures(held: Sequence, prompt: Sequence, common: number): boolean {
  return held.pictures.length === prompt.pictures.length && common >= prompt.pictures.at(-1)!.end;
}

/** How many pictures lie within the first `length` places. */
export function picturesWithin({ pictures }: Sequence, length: number): number {
  return pictures.filter(({ end }) => end <= length).length;
}
