// Keeps text from outside from becoming a model's special token. There are two ways: to mark its spelling before the chat template is
// rendered and find it again afterwards, or, where a library takes only one string, to break it up. Pure.

/** A pattern that finds the spellings of special tokens. The longest come first, because one may contain another. */
export function specialPattern(spellings: Iterable<string>): RegExp | undefined {
  const list = [...new Set(spellings)].filter((text) => text.length > 1);
  if (list.length === 0) return undefined;
  list.sort((a, b) => b.length - a.length);
  return new RegExp(list.map((text) => text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join("|"), "g");
}

/** Some models mark special tokens like `<think>` and `[INST]` as ordinary ones. */
export function looksSpecial(text: string): boolean {
  return /^<[^\s<>]+>$|^\[[^\s[\]]+\]$/.test(text);
}

const ZERO_WIDTH_SPACE = "\u200b";

/** Puts an invisible space into special spellings: they read the same, but are no special tokens to a tokenizer. */
export function breakUp(text: string, specials: RegExp | undefined): string {
  return specials === undefined
    ? text
    : text.replace(specials, (found) => found[0] + ZERO_WIDTH_SPACE + found.slice(1));
}

export type Segment = { text: string; fromOutside: boolean };

/** Replaces special spellings in messages by marks that pass through a chat template, and finds them again in what it rendered. */
export class Marks {
  readonly #specials: RegExp | undefined;
  readonly #found: string[] = [];
  // Private-use characters and a random number, so that no message can forge a mark.
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

  /** The rendered text in pieces, with the marked spellings as they were. */
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
