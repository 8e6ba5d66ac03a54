// What the library's slots hold, as far as that can be known from outside: the library does not say which slot a request got,
// but it always takes the one that has been idle the longest. A wrong guess costs time and never changes an answer. Pure.
import type { BackendState } from "../../generation/backend.ts";

/** The pictures of a prompt and all that stands before the last of them. */
export type Pictures = {
  /** Two prompts with the same key begin alike up to the end of the last picture. Empty without pictures. */
  key: string;
  /** How many tokens the prompt has up to the end of each picture. */
  ends: readonly number[];
};
type Prompt = { tokens: number; pictures: Pictures };
export type SlotUse = { state: BackendState["slots"][number]["state"]; tokens: number; pictures: string };

export class SlotUses {
  #all: SlotUse[] = [];
  /** The one that has been idle the longest comes first. */
  #idle: SlotUse[] = [];

  constructor(slots: number) {
    this.reset(slots);
  }

  /** The library has been started anew: its slots hold nothing. */
  reset(slots = this.#all.length): void {
    this.#all = Array.from({ length: slots }, () => ({ state: "idle", tokens: 0, pictures: "" }));
    this.#idle = [...this.#all];
  }

  get all(): readonly SlotUse[] {
    return this.#all;
  }

  /** How many of the prompt's tokens the next slot holds already. The library reuses a slot's memory only for pictures. */
  warmTokens({ pictures: { key, ends } }: Prompt): number {
    return key !== "" && this.#idle[0]?.pictures === key ? ends.at(-1)! : 0;
  }

  take({ tokens, pictures: { key } }: Prompt): SlotUse {
    // Never more requests than slots; this is for safety.
    const slot = this.#idle.shift() ?? { state: "prefill", tokens: 0, pictures: "" };
    return Object.assign(slot, { state: "prefill", tokens, pictures: key });
  }

  /** The answer in this slot has one more token. */
  decoded(slot: SlotUse): void {
    slot.state = "decode";
    slot.tokens++;
  }

  free(slot: SlotUse): void {
    slot.state = "idle";
    if (this.#all.includes(slot)) this.#idle.push(slot);
  }
}

/** How many pictures lie within the first `tokens` tokens of a prompt. */
export const picturesWithin = ({ ends }: Pictures, tokens: number) =>
  ends.filter((end) => end <= tokens).length;
