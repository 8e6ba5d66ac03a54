// Keeps text from outside from becoming a model's special token. There are two ways: to mark its spelling before the chat template is
// rendered and find it again afterwards, or, where a library takes only one string, to break it up. Pure.
import { holdsMark, literalMarks } from "../../job/template-marks.ts";
import type { Segment } from "./backend.ts";

const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;

export type Vocabulary = {
  tokens: readonly string[];
  types: readonly unknown[];
  template: string | undefined;
};

/**
 * The spellings of a model's special tokens: by type, by their text, because converters leave the type of some out, and what the
 * chat template spells out, because not every mark is one token.
 */
export function specialSpellings({ tokens, types, template = "" }: Vocabulary): string[] {
  const special = tokens.filter((token, index) => {
    const type = Number(types[index]);
    return (
      type === CONTROL ||
      type === UNKNOWN ||
      (type === USER_DEFINED && looksSpecial(token)) ||
      holdsMark(token)
    );
  });
  return [...special, ...literalMarks(template)];
}

// Templates also make marks of a role's name: '<|' + role + '|>'.
const MADE = String.raw`<[|｜][^|｜\s<>]{1,80}[|｜]>|\[\|[^|\s[\]]{1,80}\|\]`;

/** A pattern that finds the spellings of special tokens. The longest come first, because one may contain another. */
export function specialPattern(spellings: Iterable<string>): RegExp {
  const list = [...new Set(spellings)].filter((text) => text.length > 1);
  list.sort((a, b) => b.length - a.length);
  const literal = list.map((text) => text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"));
  return new RegExp([...literal, MADE].join("|"), "g");
}

/** Some models mark special tokens like `<think>` and `[INST]` as ordinary ones. */
export function looksSpecial(text: string): boolean {
  return /^<[^\s<>]+>$|^\[[^\s[\]]+\]$/.test(text);
}

const ZERO_WIDTH_SPACE = "\u200b";

/** Puts an invisible space into special spellings: they read the same, but are no special tokens to a tokenizer. */
export const breakUp = (text: string, specials: RegExp): string =>
  text.replace(specials, (found) => found[0] + ZERO_WIDTH_SPACE + found.slice(1));

/**
 * Cuts a special spelling after its first character, and the rest again if that is special too. Some tokenizers find special
 * tokens in any text, but not across such a cut.
 */
export function cut(text: string, specials: RegExp): string[] {
  const [first = "", ...others] = text;
  const rest = others.join("");
  const pieces = rest.search(specials) === -1 ? [rest] : cut(rest, specials);
  return [first, ...pieces].filter((piece) => piece !== "");
}

/** Replaces special spellings in messages by marks that pass through a chat template, and finds them again in what it rendered. */
export class Marks {
  readonly #specials: RegExp;
  readonly #found: string[] = [];
  // Private-use characters and a random number, so that no message can forge a mark.
  readonly #nonce = crypto.randomUUID();

  constructor(specials: RegExp) {
    this.#specials = specials;
  }

  mark(text: string): string {
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

/** The beginning of an answer as a prompt's last text. `outside` makes special spellings harmless. */
export const begunText = (begun: readonly Segment[] = [], outside: (text: string) => string): string =>
  begun.map(({ text, fromOutside }) => (fromOutside ? outside(text) : text)).join("");
