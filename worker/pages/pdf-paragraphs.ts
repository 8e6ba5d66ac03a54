// The pieces of text on the pages of a PDF as lines, and the lines as paragraphs and headings. A PDF knows only where its letters stand:
// what belongs together shows in sizes and distances. Pure, and in time in proportion to the pieces.

export type TextPiece = {
  str: string;
  /** The matrix of the text: its size and turn, and where it begins. */
  transform: readonly number[];
  width: number;
  height: number;
  hasEOL: boolean;
  vertical: boolean;
};

/** Points. `y` grows upwards. */
export type PdfLine = { text: string; x: number; right: number; y: number; size: number };
/** `level` is 0 for a paragraph. */
export type Paragraph = { text: string; level: number };

type Placed = { text: string; x: number; right: number; y: number; size: number };

/** Where a piece stands in the direction of reading; `undefined` for text that is turned, which stands in the margin. */
function placed({ str, transform, width, height, vertical }: TextPiece): Placed | undefined {
  const [a = 0, b = 0, c = 0, d = 0, x = 0, y = 0] = transform;
  const size = Math.hypot(c, d) || Math.hypot(a, b);
  if (vertical) return { text: str, x: -y, right: -y + height, y: x, size };
  if (Math.abs(b) > Math.abs(a)) return undefined;
  return { text: str, x, right: x + width, y, size };
}

export function linesOf(pieces: readonly TextPiece[]): PdfLine[] {
  const lines: PdfLine[] = [];
  let line: PdfLine | null = null;
  for (const piece of pieces) {
    const next = placed(piece);
    if (next === undefined || piece.str === "") {
      if (piece.hasEOL) line = null;
      continue;
    }
    if (line === null || !isSameLine(line, next)) {
      line = { ...next };
      lines.push(line);
    } else append(line, next);
    if (piece.hasEOL) line = null;
  }
  return lines
    .map((one) => ({
      ...one,
      text: one.text.normalize("NFC").replaceAll(LIGATURE, unligated).replaceAll(/\s+/g, " ").trim(),
    }))
    .filter(({ text }) => text !== "");
}

const LIGATURE = /[\ufb00-\ufb06]/g;
const unligated = (letter: string) => letter.normalize("NFKC");

/** Raised numbers stay in their line. */
function isSameLine(line: PdfLine, next: Placed): boolean {
  const size = Math.max(line.size, next.size);
  return Math.abs(line.y - next.y) < size * 0.5 && next.x > line.right - size * 2;
}

function append(line: PdfLine, next: Placed): void {
  const gap = next.x - line.right;
  const isApart =
    gap > Math.max(line.size, next.size) * 0.2 && !/\s$/.test(line.text) && !/^\s/.test(next.text);
  line.text += `${isApart && !areUnspaced(line.text, next.text) ? " " : ""}${next.text}`;
  line.right = Math.max(line.right, next.right);
  if (next.text.trim() !== "") line.size = Math.max(line.size, next.size);
}

const UNSPACED = /[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\u3000-\u303f\uff00-\uff65]/u;

/** Japanese and Chinese have no spaces between words. */
const areUnspaced = (before: string, after: string) =>
  UNSPACED.test([...before.slice(-2)].at(-1) ?? "") && UNSPACED.test([...after.slice(0, 2)][0] ?? "");

/** Lines and paragraphs go on over the ends of pages. */
export function paragraphsOf(given: readonly (readonly PdfLine[])[]): Paragraph[] {
  const pages = withoutMargins(given);
  const all = pages.flat();
  const body = commonSize(all);
  const words = hyphenated(all);
  const levels = levelsOf(all, body);
  const paragraphs: (Paragraph & { last: PdfLine })[] = [];
  for (const lines of pages) {
    const shape = shapeOf(lines, body);
    for (const [at, line] of lines.entries()) {
      const open = paragraphs.at(-1);
      const level = levels.get(rounded(line.size)) ?? 0;
      const before = lines[at - 1];
      const goesOn = open && (before ? continues(before, line, shape) : continuesOnPage(open, line));
      if (open && goesOn && open.level === level) {
        open.text = joined(open.text, line.text, words);
        open.last = line;
      } else paragraphs.push({ text: line.text, level, last: line });
    }
  }
  return paragraphs.map(({ text, level }) => ({ text, level: text.length > LONGEST_HEADING ? 0 : level }));
}

const LONGEST_HEADING = 200;

/** What stands at the same place of many pages: their heads and feet, and page numbers. */
function withoutMargins(pages: readonly (readonly PdfLine[])[]): readonly (readonly PdfLine[])[] {
  const keyOf = ({ text, y }: PdfLine) => `${Math.round(y)} ${text.replaceAll(/\d+/g, "#")}`;
  const counts = new Map<string, number>();
  const edges = pages.map((lines) => {
    const heights = lines.map(({ y }) => y);
    const [top, bottom] = [Math.max(...heights), Math.min(...heights)];
    return lines.filter(({ y, size }) => y >= top - size || y <= bottom + size);
  });
  for (const edge of edges)
    for (const key of new Set(edge.map(keyOf))) counts.set(key, (counts.get(key) ?? 0) + 1);
  const least = Math.max(2, pages.length * 0.4);
  const isMargin = (line: PdfLine) =>
    /^\W{0,3}(?:\d{1,4}|[ivx]{1,6})\W{0,3}$/i.test(line.text) || (counts.get(keyOf(line)) ?? 0) >= least;
  return pages.map((lines, at) => {
    const edge = new Set(edges[at]);
    return lines.filter((line) => pages.length === 1 || !edge.has(line) || !isMargin(line));
  });
}

const rounded = (size: number) => Math.round(size * 2) / 2;

/** The size of most of the letters. */
function commonSize(lines: readonly PdfLine[]): number {
  const letters = new Map<number, number>();
  for (const { size, text } of lines)
    letters.set(rounded(size), (letters.get(rounded(size)) ?? 0) + text.length);
  return [...letters].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 0;
}

const MIN_HEADING = 1.15;
const MAX_LEVEL = 4;

/** The largest letters are the first heading. */
function levelsOf(lines: readonly PdfLine[], body: number): Map<number, number> {
  const sizes = [...new Set(lines.map(({ size }) => rounded(size)))].filter(
    (size) => size >= body * MIN_HEADING,
  );
  return new Map(sizes.sort((a, b) => b - a).map((size, at) => [size, Math.min(at + 1, MAX_LEVEL)]));
}

type Shape = { pitch: number; right: number };

/** How far apart lines are, and where they end, on one page. */
function shapeOf(lines: readonly PdfLine[], body: number): Shape {
  const steps = lines
    .slice(1)
    .map((line, at) => lines[at]!.y - line.y)
    .filter((step) => step > body * 0.5 && step < body * 4)
    .sort((a, b) => a - b);
  const rights = lines.map(({ right }) => right).sort((a, b) => a - b);
  return {
    pitch: steps[Math.floor(steps.length / 4)] ?? body * 1.2,
    right: rights[Math.floor(rights.length * 0.9)] ?? 0,
  };
}

const BEGINS = /^(?:[•◦▪‣●○■□▶►·]|[-–]\s|\(?\d{1,3}[.)]\s|\(?[a-z][.)]\s)/;
const ENDS = /[.!?:;。！？」』）)”"’]$/;

/** Whether a line goes on with the paragraph of the line before it. */
function continues(before: PdfLine, line: PdfLine, { pitch, right }: Shape): boolean {
  const isSized = Math.abs(before.size - line.size) <= Math.max(before.size, line.size) * 0.1;
  const step = before.y - line.y;
  // At the top of the next column.
  const isNextColumn = step < -pitch;
  if (!isSized || BEGINS.test(line.text)) return false;
  if (isNextColumn) return !ENDS.test(before.text);
  const isIndented = line.x > before.x + line.size * 0.8;
  const isShort = before.right < right - (right - before.x) * 0.2 && ENDS.test(before.text);
  return step > 0 && step <= Math.max(pitch, line.size) * 1.35 && !isIndented && !isShort;
}

function continuesOnPage({ text, last }: Paragraph & { last: PdfLine }, line: PdfLine): boolean {
  const isSized = Math.abs(last.size - line.size) <= line.size * 0.1;
  return (
    isSized &&
    !ENDS.test(text) &&
    !BEGINS.test(line.text) &&
    (/^\p{Ll}/u.test(line.text) || UNSPACED.test(line.text[0]!) || /[-,、]$/.test(text))
  );
}

const HYPHEN = /(?<=\p{L})[-\u00ad\u2010]$/u;

/** Words that are written with a hyphen within a line. */
const hyphenated = (lines: readonly PdfLine[]): Set<string> =>
  new Set(lines.flatMap(({ text }) => text.toLowerCase().match(/\p{L}+-\p{L}+/gu) ?? []));

function joined(before: string, after: string, words: ReadonlySet<string>): string {
  if (HYPHEN.test(before) && /^\p{Ll}/u.test(after)) {
    const word = `${/\p{L}+[-\u00ad\u2010]$/u.exec(before.slice(-40))?.[0].slice(0, -1) ?? ""}-${/^\p{L}+/u.exec(after)![0]}`;
    return before.replace(HYPHEN, words.has(word.toLowerCase()) ? "-" : "") + after;
  }
  return before + (areUnspaced(before, after) ? "" : " ") + after;
}
