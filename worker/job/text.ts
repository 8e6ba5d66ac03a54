// Plain text for models, in English and Japanese: splits it into sentences and chunks, and finds a quoted sentence in it.

const segmenter = new Intl.Segmenter("en", { granularity: "sentence" });

/** The sentences of a text, trimmed. A sentence ends at a line end, or after . ! ? or their Japanese forms. */
export function sentences(text: string): string[] {
  return text
    .split(/\n+/)
    .flatMap((line) => glued([...segmenter.segment(line)].flatMap(({ segment }) => beforeDigits(segment))))
    .map((sentence) => sentence.trim())
    .filter((sentence) => sentence !== "");
}

// Unicode's rules do not split before a digit ("about it. 7 people came"), but do after "Dr.". Both are corrected here. The
// pattern begins with the digit because digits are rare, so the slower lookbehind seldom runs.
const beforeDigits = (segment: string) => segment.split(/(?=\d)(?<=[.!?]["'”’)\]]{0,3} )/);
const ABBREVIATED = /(?:^|[\s("'“‘])(?:Mrs?|Ms|Dr|Prof|St|Mt|Gen|Col|Capt|Lt|Sgt|Rev|Gov|Sen|vs|[A-Z])\.\s*$/;
const BEFORE_NUMBER =
  /(?:^|[\s("'“‘])(?:nos?|figs?|vols?|pp?|ch|sec|art|approx|ca|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.\s*$/i;

function glued(segments: readonly string[]): string[] {
  const whole: string[] = [];
  for (const segment of segments) {
    const before = whole.at(-1);
    if (before === undefined) whole.push(segment);
    else if (
      ABBREVIATED.test(before.slice(-12)) ||
      (/^\d/.test(segment) && BEFORE_NUMBER.test(before.slice(-12)))
    )
      whole[whole.length - 1] = before + segment;
    else whole.push(segment);
  }
  return whole;
}

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
  let rest = sentence;
  while (rest.length > size) {
    const space = rest.lastIndexOf(" ", size);
    let at = space > size / 2 ? space : size;
    if (at > 1 && isLowSurrogate(rest, at)) at -= 1;
    pieces.push(rest.slice(0, at).trim());
    rest = rest.slice(at).trim();
  }
  return rest === "" ? pieces : [...pieces, rest];
}

const isLowSurrogate = (text: string, at: number) => (text.charCodeAt(at) & 0xfc00) === 0xdc00;

// A number with its decimals, one letter of a script without spaces between words, or a word of another script.
const UNSPACED = String.raw`\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Hang}\p{scx=Thai}\p{scx=Khmr}\p{scx=Laoo}\p{scx=Mymr}`;
const WORD = new RegExp(
  String.raw`\p{N}+(?:\.\p{N}+)*|(?=[${UNSPACED}])[\p{L}\p{M}]\p{M}*|(?:(?![${UNSPACED}])[\p{L}\p{M}])+`,
  "gu",
);
const THOUSANDS = /(?<=\d)[,'’](?=\d{3}(?!\d))/g;

/** The words of a text with a space around each, so that only whole words are found: " the 7 loaves ". */
function words(text: string): string {
  const plain = text.normalize("NFKC").toLowerCase().replaceAll(THOUSANDS, "");
  const found = plain.match(WORD);
  return found ? ` ${found.join(" ")} ` : "";
}

const MAX_QUOTED_SENTENCES = 5;

/**
 * The sentence of `text` that contains `quote`, or the few sentences over which it extends; `null` when the text does not contain
 * it. It compares whole words (7 is not in 1977) and ignores case, white space and punctuation, because models change these.
 */
export function findSentence(text: string, quote: string): string | null {
  const wanted = words(quote);
  if (wanted === "") return null;
  const all = sentences(text);
  const worded = all.map(words);
  for (let count = 1; count <= Math.min(MAX_QUOTED_SENTENCES, all.length); count += 1) {
    const at = all.findIndex((_, from) => joined(worded.slice(from, from + count)).includes(wanted));
    if (at >= 0) return all.slice(at, at + count).join(" ");
  }
  return null;
}

const joined = (worded: readonly string[]) => worded.join("").replaceAll("  ", " ");
