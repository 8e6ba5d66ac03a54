// How probable each option is, read from the tokens of a greedy answer and the alternatives to each of them. Pure.
import type { ReadToken, TokenLogprob } from "./engine-answer.ts";

export type Reading<T extends string> = {
  /** Each option's share; they add up to 1. All the same when the options have too little of the whole probability. */
  probabilities: Record<T, number>;
  /** How much of the whole probability is on the options, 0..1. */
  covered: number;
  /** How much of `covered` stayed open between several options and was shared evenly among them. */
  shared: number;
};

/** Below this the model was about to say something else, and the rest that falls on the options is noise. */
export const MIN_COVERED = 0.05;
/** Above this the tokens do not tell the options apart. */
const MAX_SHARED = 0.05;

/** Whether the tokens that were read are enough to decide. */
export const isClear = ({ covered, shared }: Reading<string>) =>
  covered >= MIN_COVERED && shared <= MAX_SHARED * covered;

/**
 * Follows the tokens that the model chose. At every position, each alternative continues the text so far: its probability goes
 * to the option that the text can still become, or in equal parts to several. It stops as soon as the chosen tokens fit fewer
 * than two options. `ended`: the model stopped by itself.
 */
export function readProbabilities<T extends string>(
  tokens: readonly ReadToken[],
  options: readonly T[],
  { ended = true }: { ended?: boolean } = {},
): Reading<T> {
  const mass = new Map<T, number>(options.map((option) => [option, 0]));
  let shared = 0;
  const give = (to: readonly T[], amount: number) => {
    if (to.length > 1) shared += amount;
    for (const option of to) mass.set(option, mass.get(option)! + amount / to.length);
  };
  const meanings = new Meanings(options);
  let path = "";
  let onPath = 1;
  let open: T[] = [];
  for (const token of tokens) {
    for (const other of othersThan(token)) {
      const found = meanings.of(path + bytesOf(other), isEnd(other));
      // Only white space or a quotation mark so far: it says nothing about the options, so none gets its probability.
      if (!found.blank) give(found.options, onPath * Math.exp(other.logprob ?? -Infinity));
    }
    path += bytesOf(token);
    onPath *= Math.exp(Math.min(0, token.logprob ?? 0));
    const found = meanings.of(path, isEnd(token));
    open = found.options;
    if (open.length < 2 && !found.blank) break;
  }
  // The answer ended after "1", so it is the option 1 and not the beginning of 10.
  if (ended && open.length > 1) open = meanings.of(path, true).options;
  const blank = meanings.of(path, false).blank;
  if (!blank) give(open, onPath);
  return normalised(mass, options, shared);
}

function normalised<T extends string>(
  mass: ReadonlyMap<T, number>,
  options: readonly T[],
  shared: number,
): Reading<T> {
  const covered = [...mass.values()].reduce((sum, one) => sum + one, 0);
  const share = (option: T) => (covered < MIN_COVERED ? 1 / options.length : mass.get(option)! / covered);
  const probabilities = Object.fromEntries(options.map((option) => [option, share(option)]));
  return { probabilities: probabilities as Record<T, number>, covered: Math.min(1, covered), shared };
}

const othersThan = (token: ReadToken) => (token.top_logprobs ?? []).filter((other) => !isSame(other, token));
// By its bytes: half a character has no text of its own, so engines write it in different ways.
const isSame = (one: TokenLogprob, other: TokenLogprob) => bytesOf(one) === bytesOf(other);
const isEnd = (token: TokenLogprob) => bytesOf(token) === "";

// Tokens are compared as bytes, one character a byte, because a token may end in the middle of a letter.
const toBytes = (text: string) => Buffer.from(text, "utf8").toString("latin1");
export const bytesOf = ({ token, bytes }: TokenLogprob): string =>
  bytes ? String.fromCharCode(...bytes) : toBytes(token);

/** Which options a beginning of an answer can become. Leading white space and quotes and the case of a-z are ignored. */
class Meanings<T extends string> {
  readonly #options: { option: T; bytes: string }[];
  readonly #fold: (bytes: string) => string;

  constructor(options: readonly T[]) {
    // An option of nothing but quotes cannot be read without them.
    const bare = options.map((option) => trimmed(toBytes(option.trim())) || toBytes(option.trim()));
    const folded = new Set(bare.map(foldCase));
    this.#fold = folded.size === options.length ? foldCase : (bytes) => bytes;
    this.#options = options.map((option, at) => ({ option, bytes: this.#fold(bare[at]!) }));
  }

  of(beginning: string, ended: boolean): { options: T[]; blank: boolean } {
    const text = this.#fold(trimmed(beginning));
    const found = this.#options.filter(
      ({ bytes }) => (!ended && bytes.startsWith(text)) || completes(text, bytes),
    );
    // What goes on after one option as another does, means the other.
    const isPassed = ({ bytes }: { bytes: string }) =>
      text.length > bytes.length &&
      found.some((other) => other.bytes.length > bytes.length && other.bytes.startsWith(bytes));
    const options = found.filter((one) => !isPassed(one)).map(({ option }) => option);
    // Half of a mark may come first, where no option begins with those bytes.
    const blank = text === "" || (options.length === 0 && MARKS.some((mark) => mark.startsWith(text)));
    return { options: text === "" && ended ? [] : options, blank };
  }
}

// White space, quotation marks, and the signs with which tokenizers write a space and a line end, as bytes.
const MARKS = ["“", "‘", "「", "『", "▁", "Ġ", "Ċ"].map(toBytes);
const LEADING = new RegExp(`^(?:[ \\t\\r\\n"'\`]|${MARKS.join("|")})+`);
const trimmed = (bytes: string) => bytes.replace(LEADING, "");
// Only these letters: others are several bytes, and their bytes must stay.
const foldCase = (bytes: string) => bytes.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());

/** Whether `text` is the option, and what follows does not make it another word: "yes." but not "yesterday". */
function completes(text: string, option: string): boolean {
  if (!text.startsWith(option)) return false;
  const next = firstCharacter(text.slice(option.length));
  if (next === undefined) return false;
  return isVariant(next) || !CONTINUES.test(next) || UNSPACED.test(next);
}

// Letters, digits, the marks that are put on them, and the sign that joins emoji: a woman and a doctor's staff are a doctor.
const CONTINUES = /[\p{L}\p{N}\p{M}\p{Emoji_Modifier}\u200d]/u;
/** Scripts without spaces between words. Marks continue a letter there too. */
const UNSPACED = /(?!\p{M})[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}]/u;
/** Says only in which form the character before it is shown. */
const isVariant = (character: string) => character === "\ufe0e" || character === "\ufe0f";

/** Empty while it is not complete. Undefined when the bytes are no text: some engines list a token without what comes before it. */
function firstCharacter(bytes: string): string | undefined {
  try {
    const start = Buffer.from(bytes.slice(0, 4), "latin1");
    const length =
      start[0] === undefined || start[0] < 0x80 ? 1 : start[0] < 0xe0 ? 2 : start[0] < 0xf0 ? 3 : 4;
    return new TextDecoder("utf-8", { fatal: true }).decode(start.subarray(0, length), { stream: true });
  } catch {
    return undefined;
  }
}
