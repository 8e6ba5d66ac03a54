// Plain text for models: sentences, chunks that end on a sentence, and finding a quoted sentence again. English and Japanese.

/** Sentences of a text with what stands between them trimmed. Splits after . ! ? and their Japanese forms, and on line ends. */
export function sentences(text: string): string[] {
  const segmenter = new Intl.Segmenter("en", { granularity: "sentence" });
  return text
    .split(/\n+/)
    .flatMap((line) => [...segmenter.segment(line)].map(({ segment }) => segment.trim()))
    .filter((sentence) => sentence !== "");
}

/**
 * Cuts a text into parts of at most `size` characters that end on sentence ends. A sentence longer than `size` is cut
 * where it must be, between words if it has any.
 */
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
    if (isLowSurrogate(rest, at)) at -= 1;
    pieces.push(rest.slice(0, at).trim());
    rest = rest.slice(at).trim();
  }
  return rest === "" ? pieces : [...pieces, rest];
}

const isLowSurrogate = (text: string, at: number) => (text.charCodeAt(at) & 0xfc00) === 0xdc00;

const letters = (text: string) =>
  text
    .normalize("NFKC")
    .toLowerCase()
    .replaceAll(/[\s\p{P}]+/gu, "");

/**
 * The sentence of `text` that holds `quote`, as it stands there; `null` when none does. Case, white space and
 * punctuation do not count, so that a quote a model retyped is found.
 */
export function findSentence(text: string, quote: string): string | null {
  const wanted = letters(quote);
  if (wanted === "") return null;
  const all = sentences(text);
  const holding = all.find((sentence) => letters(sentence).includes(wanted));
  if (holding !== undefined) return holding;
  // A quote may run over several sentences: then all of them, if it is made of them.
  const covered = all.filter((sentence) => wanted.includes(letters(sentence)) && letters(sentence) !== "");
  return covered.length > 0 && letters(covered.join("")) === wanted ? covered.join(" ") : null;
}
