// Text from outside that spells a model's special token must stay text. Two ways: mark it before a chat template is rendered
// and find it again after, or break it up where a library only takes one string. Pure.

/** Finds special tokens' spellings; longest first, so that none hides inside another. */
export function specialPattern(spellings: Iterable<string>): RegExp | undefined {
  const list = [...new Set(spellings)].filter((text) => text.length > 1);
  if (list.length === 0) return undefined;
  list.sort((a, b) => b.length - a.length);
  return new RegExp(list.map((text) => text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join("|"), "g");
}

/** A token that is no control token may still be one in spirit: `<think>`, `[INST]`. */
export function looksSpecial(text: string): boolean {
  return /^<[^\s<>]+>$|^\[[^\s[\]]+\]$/.test(text);
}

const ZERO_WIDTH_SPACE = "\u200b";

/** The same to a reader, but no special token to a tokenizer. */
export function breakUp(text: string, specials: RegExp | undefined): string {
  return specials === undefined
    ? text
    : text.replace(specials, (found) => found[0] + ZERO_WIDTH_SPACE + found.slice(1));
}

export type Segment = { text: string; fromOutside: boolean };

/** Marks special spellings in messages so that they survive a template, which sees everything else as it is. */
export class Marks {
  readonly #specials: RegExp | undefined;
  readonly #found: string[] = [];
  // Private-use characters and a number nobody outside knows: no message can forge a mark.
  readonly #nonce = crypto.randomUUID();

  constructor(specials: RegExp | undefined) {
    this.#specials = specials;
  }

  mark(text: string): string {
    if (this.#specials === undefined) return text;
    return text.replace(
      this.#specials,
      (found) => `\ue000${this.#nonce}:${this.#found.push(found) - 1}\ue001`,
    );
  }

  /** The rendered text in pieces; what was marked comes back as it was. */
  split(rendered: string): Segment[] {
    const parts = rendered.split(new RegExp(`\ue000${this.#nonce}:(\\d+)\ue001`));
    const segments = parts.map((part, index) => {
      return index % 2 === 1
        ? { text: this.#found[Number(part)]!, fromOutside: true }
        : { text: part, fromOutside: false };
    });
    return segments.filter(({ text }) => text !== "");
  }
}
