// Plain text for models, in English and Japanese: splits it into sentences and chunks, and finds a quoted sentence in it.

/** What stands on several lines on one. */
export const oneLine = (text: string): string => text.replaceAll(/\s+/g, " ").trim();

const segmenter = new Intl.Segmenter("en", { granularity: "sentence" });

/** The sentences of a text, trimmed. A sentence ends at a line end, or after . ! ? or their Japanese forms. */
export function sentences(text: string): string[] {
  return text
    .split(/\n+/)
    .flatMap(sentencesOf)
    .map((sentence) => sentence.trim())
    .filter((sentence) => sentence !== "");
}

// Unicode's rules do not split before a digit ("about it. 7 people came"), but do after "Dr.". Both are corrected here. The
// pattern begins with the digit because digits are rare, so the slower lookbehind seldom runs.
const beforeDigits = (segment: string) => segment.split(/(?=\d)(?<=[.!?]["'”’)\]]{0,3} )/);
const ABBREVIATED = /(?:^|[\s("'“‘])(?:Mrs?|Ms|Dr|Prof|St|Mt|Gen|Col|Capt|Lt|Sgt|Rev|Gov|Sen|vs|[A-Z])\.\s*$/;
const BEFORE_NUMBER =
  /(?:^|[\s("'“‘])(?:nos?|figs?|vols?|pp?|ch|sec|art|approx|ca|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.\s*$/i;
/** So many characters at the end of a piece tell whether its sentence continues. */
const TAIL = 12;

function sentencesOf(line: string): string[] {
  const whole: string[] = [];
  // A sentence is joined only when it is whole: reading the end of a text that grows piece by piece would copy all of it each time.
  let pieces: string[] = [];
  let tail = "";
  for (const piece of piecesOf(line)) {
    if (pieces.length > 0 && !continues(tail, piece)) {
      whole.push(pieces.join(""));
      pieces = [];
      tail = "";
    }
    pieces.push(piece);
    tail = (tail + piece.slice(-TAIL)).slice(-TAIL);
  }
  return [...whole, pieces.join("")];
}

function* piecesOf(line: string): Generator<string> {
  for (const { segment } of segmenter.segment(line)) yield* beforeDigits(segment);
}

const continues = (tail: string, piece: string) =>
  ABBREVIATED.test(tail) || (/^\d/.test(piece) && BEFORE_NUMBER.test(tail));

/** Cuts a text into parts of at most `size` characters, each of whole sentences. A longer sentence is cut, between words if possible. */
export function chunkText(text: string, size: number): string[] {
  const parts: string[] = [];
  let part = "";
  for (const sentence of sentences(text).flatMap((one) => cutLong(one, size))) {
    if (part !== "" && part.length + 1 + sentence.length > size) {
      parts.push(part);
      part = "";
    }
    part = part === "" ? sentence : `${part} ${sentence}`;
  }
  return part === "" ? parts : [...parts, part];
}

function cutLong(sentence: string, size: number): string[] {
  const pieces: string[] = [];
  let from = 0;
  while (sentence.length - from > size) {
    const end = from + lengthOfCut(sentence.slice(from, from + size + 1), size);
    pieces.push(sentence.slice(from, end).trim());
    from = afterSpaces(sentence, end);
  }
  return from < sentence.length ? [...pieces, sentence.slice(from)] : pieces;
}

/** `piece` is one character longer than what may be cut off, to see whether a word ends there. */
function lengthOfCut(piece: string, size: number): number {
  const space = piece.lastIndexOf(" ");
  if (space > size / 2) return space;
  return size > 1 && isLowSurrogate(piece, size) ? size - 1 : size;
}

const isLowSurrogate = (text: string, at: number) => (text.charCodeAt(at) & 0xfc00) === 0xdc00;

function afterSpaces(text: string, from: number): number {
  const spaces = /\s*/y;
  spaces.lastIndex = from;
  spaces.test(text);
  return spaces.lastIndex;
}

// A number with its decimals, one letter of a script without spaces between words, or a word of another script.
export const UNSPACED = String.raw`\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Hang}\p{scx=Thai}\p{scx=Khmr}\p{scx=Laoo}\p{scx=Mymr}`;
const WORD = new RegExp(
  String.raw`\p{N}+(?:\.\p{N}+)*|(?=[${UNSPACED}])[\p{L}\p{M}]\p{M}*|(?:(?![${UNSPACED}])[\p{L}\p{M}])+`,
  "gu",
);
const THOUSANDS = /(?<=\d)[,'’](?=\d{3}(?!\d))/g;

// To put the marks on one letter in order takes quadratic time, so no letter keeps more than 30 of them. U+034F cuts the row, as in
// Unicode's Stream-Safe Text Format. The two half-width sound marks become such marks.
const MARKS = /[\p{M}\uff9e\uff9f]{30}/gu;

/** Where a word may be divided. It is one word all the same. */
const UNSEEN = /[\u00ad\u200b\u2060\ufeff]/g;

/** A text without what a reader does not see: width, case, soft hyphens and the commas of thousands. */
export const folded = (text: string): string =>
  text
    .replaceAll(UNSEEN, "")
    .replaceAll(MARKS, "$&\u034f")
    .normalize("NFKC")
    .toLowerCase()
    .replaceAll(THOUSANDS, "");

/** The words of a text with a space around each, so that only whole words are found: " the 7 loaves ". */
function words(text: string): string {
  const plain = folded(text);
  const found = plain.match(WORD);
  return found ? ` ${found.join(" ")} ` : "";
}

const MAX_QUOTED_SENTENCES = 5;

/**
 * Finds the sentence of `text` that contains a quote, or the few sentences over which it extends; `null` when the text does not contain
 * it. It compares whole words (7 is not in 1977) and ignores case, white space and punctuation, because models change these. The text is
 * cut up once for all quotes.
 */
export function sentenceFinder(text: string): (quote: string) => string | null {
  const all = sentences(text);
  const worded = all.map(words);
  const rows: string[][] = [];
  /** The words of each sentence with the `count - 1` sentences after it. */
  const rowsOf = (count: number) =>
    (rows[count] ??= worded.map((_, from) => joined(worded.slice(from, from + count))));
  return (quote) => {
    const wanted = words(quote);
    if (wanted === "") return null;
    for (let count = 1; count <= Math.min(MAX_QUOTED_SENTENCES, all.length); count += 1) {
      const at = rowsOf(count).findIndex((row) => row.includes(wanted));
      if (at >= 0) return all.slice(at, at + count).join(" ");
    }
    return null;
  };
}

const joined = (worded: readonly string[]) => worded.join("").replaceAll("  ", " ");
