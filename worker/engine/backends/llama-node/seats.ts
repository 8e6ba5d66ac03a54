// What the library's slots hold, as far as it can be known from outside: the library tells nobody which slot a request got,
// but it always takes the idle one that was freed first. A mistake here costs time, never an answer. Pure.
import type { BackendState } from "../../backend.ts";
import { type Sequence, usable } from "./sequence.ts";

type SlotState = BackendState["slots"][number]["state"];
export type Seat = { state: SlotState; held: Sequence | undefined; tokens: number };

export class Seats {
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
