// When an answer only repeats itself: the same few tokens again and again, without any change, so that nothing new can come. It works
// on the text of tokens, for all backends alike. Ending the answer is left to the scheduler, what the client is told to the server.
//
// The rule: a block of at most 256 tokens stands in a row without any change, at least 4 times and for at least 512 tokens. Blocks of
// digits, punctuation, spaces and lines only, as in lists of zeros, rules of tables or indentation, take 2,048 tokens: there a row can be
// meant. A table, a list or code in which something counts up, or in which one cell differs, is never a repetition.

/** `fewest` tokens of the row for a block with words, and for one without; `times` that the block stands in it at least. */
export type RepetitionRule = {
  shortest: number;
  longest: number;
  times: number;
  fewest: { words: number; signs: number };
};

export const USUAL_RULE: RepetitionRule = {
  shortest: 1,
  longest: 256,
  times: 4,
  fewest: { words: 512, signs: 2_048 },
};

/** Letters and pictographs such as emoji are not among them. */
const SIGNS_ONLY = /^[\s\p{N}\p{P}\p{Sm}\p{Sc}\p{Sk}\u2500-\u25ff]*$/u;

export class RepetitionWatch {
  readonly #rule: RepetitionRule;
  readonly #recent: string[];
  /** For each length of a block: how many tokens in a row were equal to the one so far before them. */
  readonly #equal: Uint32Array;
  #count = 0;

  constructor(rule: RepetitionRule) {
    this.#rule = rule;
    this.#recent = new Array<string>(rule.longest).fill("");
    this.#equal = new Uint32Array(rule.longest + 1);
  }

  /** Takes the next token. True when the answer repeats itself. */
  push(token: string): boolean {
    const { shortest, longest } = this.#rule;
    const most = Math.min(longest, this.#count);
    let repeated: number | undefined;
    for (let length = shortest; length <= most; length++) {
      const same = this.#recent[(this.#count - length) % longest] === token;
      this.#equal[length] = same ? this.#equal[length]! + 1 : 0;
      if (repeated === undefined && this.#isLongEnough(length)) repeated = length;
    }
    const isOver = repeated !== undefined && this.#isMeantByNobody(repeated);
    this.#recent[this.#count % longest] = token;
    this.#count++;
    return isOver;
  }

  /** How many tokens of the row there are. The first block has nothing before it that it is equal to. */
  #row(length: number): number {
    return this.#equal[length]! + length;
  }

  #isLongEnough(length: number): boolean {
    return this.#row(length) >= Math.max(length * this.#rule.times, this.#rule.fewest.words);
  }

  /** The shortest block is looked at: longer ones consist of it. */
  #isMeantByNobody(length: number): boolean {
    const block = this.#block(length);
    // Tokens that are only a part of a character have no text. Whether they repeat each other cannot be seen.
    if (block === "") return false;
    return !SIGNS_ONLY.test(block) || this.#row(length) >= this.#rule.fewest.signs;
  }

  /** The last tokens before the one that is being taken: a block, wherever it is thought to begin. */
  #block(length: number): string {
    const from = this.#count - length;
    return Array.from({ length }, (_, at) => this.#recent[(from + at) % this.#rule.longest]).join("");
  }
}
