// The blocks of Markdown, and the smaller pieces of a block that is too long: where each one stands, without losing a character. Owns
// what belongs together. Which pieces become a part is decided in chunk-markdown.ts. Pure, and in time in proportion to the text.
import { sentences } from "../job/text.ts";

type Kind = "heading" | "fence" | "table" | "item" | "quote" | "paragraph";

export type Piece = {
  kind: Kind;
  start: number;
  /** Where its words end. Up to `end` there is only white space. */
  textEnd: number;
  end: number;
  level: number;
  /** What stands before and behind a part that begins or ends in the middle of the block. */
  before: string;
  after: string;
};

const FENCE = /^\s*(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:\s|$)/;
const UNDERLINE = /^ {0,3}(=+|-+)\s*$/;
const ITEM = /^ {0,3}(?:[-+*]|\d{1,9}[.)])(?=\s)\s?|^\[\^[^\]\s]+\]:\s/;
const ROW = /^ {0,3}\|/;
const QUOTE = /^ {0,3}>/;
const BLANK = /^\s*$/;

type Line = { text: string; start: number; end: number };

function linesOf(markdown: string, from = 0, to = markdown.length): Line[] {
  let start = from;
  const lines = markdown
    .slice(from, to)
    .split("\n")
    .map((text) => {
      const line = { text, start, end: Math.min(start + text.length + 1, to) };
      start = line.end;
      return line;
    });
  // Behind the last line end stands nothing.
  return lines.at(-1)!.text === "" ? lines.slice(0, -1) : lines;
}

/** All of the text, block by block. White space belongs to the block before it. */
export function blocksOf(markdown: string): Piece[] {
  const lines = linesOf(markdown);
  const blocks: Piece[] = [];
  for (let at = 0; at < lines.length; ) {
    const { kind, level, count } = blockAt(lines, at);
    const words = lines[at + count - 1]!;
    let next = at + count;
    while (next < lines.length && BLANK.test(lines[next]!.text)) next += 1;
    blocks.push({
      kind,
      level,
      start: blocks.length === 0 ? 0 : lines[at]!.start,
      textEnd: words.start + words.text.trimEnd().length,
      end: lines[next - 1]!.end,
      before: "",
      after: "",
    });
    at = next;
  }
  return blocks;
}

type Extent = { kind: Kind; level: number; count: number };

function blockAt(lines: readonly Line[], at: number): Extent {
  const { text } = lines[at]!;
  const only = (kind: Kind, count: number, level = 0): Extent => ({ kind, level, count });
  if (BLANK.test(text)) return only("paragraph", 1);
  const heading = HEADING.exec(text)?.[1];
  if (heading !== undefined) return only("heading", 1, heading.length);
  if (FENCE.test(text)) return only("fence", fenceLength(lines, at));
  if (ROW.test(text))
    return only(
      "table",
      countWhile(lines, at, (line) => ROW.test(line)),
    );
  if (QUOTE.test(text))
    return only(
      "quote",
      countWhile(lines, at, (line) => QUOTE.test(line)),
    );
  const marker = ITEM.exec(text)?.[0];
  if (marker !== undefined) return only("item", itemLength(lines, at, marker.trimEnd().length + 1));
  const underline = UNDERLINE.exec(lines[at + 1]?.text ?? "")?.[1];
  if (underline !== undefined) return only("heading", 2, underline.startsWith("=") ? 1 : 2);
  return only(
    "paragraph",
    countWhile(lines, at, (line) => !BEGINS.some((mark) => mark.test(line))),
  );
}

/** Ends a paragraph. */
const BEGINS = [BLANK, HEADING, FENCE, ROW, QUOTE, ITEM];

function countWhile(lines: readonly Line[], at: number, isPart: (line: string) => boolean): number {
  let next = at + 1;
  while (next < lines.length && isPart(lines[next]!.text)) next += 1;
  return next - at;
}

/** Up to its last line, or the end of the text where it has none. */
function fenceLength(lines: readonly Line[], at: number): number {
  const [, ticks = ""] = FENCE.exec(lines[at]!.text)!;
  for (let next = at + 1; next < lines.length; next++) {
    const [, mark = "", info] = FENCE.exec(lines[next]!.text) ?? [];
    if (mark.startsWith(ticks) && BLANK.test(info ?? "")) return next + 1 - at;
  }
  return lines.length - at;
}

/** An item contains what is indented, and the lines that go on with its paragraph. */
function itemLength(lines: readonly Line[], at: number, indent: number): number {
  let words = at;
  for (let next = at + 1; next < lines.length; next++) {
    const { text } = lines[next]!;
    if (BLANK.test(text)) continue;
    const isInside = text.length - text.trimStart().length >= Math.min(indent, MAX_INDENT);
    const goesOn = words === next - 1 && !BEGINS.some((mark) => mark.test(text));
    if (!isInside && !goesOn) break;
    words = next;
  }
  return words + 1 - at;
}
/** Items with long numbers are often indented less. */
const MAX_INDENT = 4;

/** A block in pieces of at most `size` characters, with what they need before and behind them. */
export function piecesOf(markdown: string, block: Piece, size: number): Piece[] {
  if (block.textEnd - block.start <= size) return [block];
  if (block.kind === "fence") return fencePieces(markdown, block, size);
  if (block.kind === "table") return tablePieces(markdown, block, size);
  if (block.kind === "item") return itemPieces(markdown, block, size);
  return sentencePieces(markdown, block, size);
}

const lastOf = <T>(all: readonly T[]): T => all[all.length - 1]!;

/** One piece for each group of lines. The last one has the white space behind the block. */
function pieceOf(block: Piece, lines: readonly Line[], own: Partial<Piece> = {}): Piece {
  const [first, last] = [lines[0]!, lastOf(lines)];
  const isLast = last.end >= block.textEnd;
  return {
    ...block,
    start: first.start,
    textEnd: last.start + last.text.trimEnd().length,
    end: isLast ? block.end : last.end,
    ...own,
  };
}

/** In each part the code stands in a fence of its own. */
function fencePieces(markdown: string, block: Piece, size: number): Piece[] {
  const lines = linesOf(markdown, block.start, block.textEnd);
  const open = lines[0]!.text.trim();
  const close = FENCE.exec(open)?.[1] ?? "";
  const room = size - open.length - close.length - 2;
  const marks = room >= size / 2 ? { before: `${open}\n`, after: `\n${close}` } : {};
  const isClosed = lines.length > 1 && FENCE.test(lastOf(lines).text);
  const body = lines.slice(1, isClosed ? -1 : undefined);
  if (body.length === 0) return cutPieces(markdown, block, size);
  const inner = body.map((line) => pieceOf(block, [line], marks));
  // The first and the last line of a fence belong to the code beside them.
  inner[0] = { ...inner[0]!, start: block.start, before: "" };
  const last = lastOf(inner);
  inner[inner.length - 1] = { ...last, textEnd: block.textEnd, end: block.end, after: "" };
  return inner.flatMap((piece) =>
    cutPieces(markdown, piece, Math.max(1, Math.floor(marks.before ? room : size))),
  );
}

const BORDER = /^[\s|:-]+$/;

/** Every part repeats the header. */
function tablePieces(markdown: string, block: Piece, size: number): Piece[] {
  const lines = linesOf(markdown, block.start, block.textEnd);
  const headed = BORDER.test(lines[1]?.text ?? "") ? 2 : 0;
  const header = lines.slice(0, headed).map(({ text }) => `${text.trim()}\n`);
  const before = header.join("").length <= size / 2 ? header.join("") : "";
  const rows = lines.slice(headed).map((line) => pieceOf(block, [line], { before }));
  if (headed > 0 && rows.length > 0) rows[0] = { ...rows[0]!, start: block.start, before: "" };
  if (rows.length === 0) return cutPieces(markdown, block, size);
  return rows.flatMap((row) => sentencePieces(markdown, row, size - before.length));
}

const INNER_ITEM = /^\s+(?:[-+*]|\d{1,9}[.)])\s/;

/** Its paragraphs, the items in it and its code. */
function itemPieces(markdown: string, block: Piece, size: number): Piece[] {
  const lines = linesOf(markdown, block.start, block.textEnd);
  const pieces: Piece[] = [];
  for (let at = 0; at < lines.length; ) {
    const isFence = FENCE.test(lines[at]!.text);
    const count = isFence
      ? fenceLength(lines, at)
      : countWhile(lines, at, (line) => !INNER_ITEM.test(line) && !FENCE.test(line) && !BLANK.test(line));
    let next = at + count;
    while (next < lines.length && BLANK.test(lines[next]!.text)) next += 1;
    const words = pieceOf(block, lines.slice(at, at + count), { kind: isFence ? "fence" : "item" });
    const piece = { ...words, end: next === lines.length ? block.end : lines[next]!.start };
    pieces.push(...(isFence ? piecesOf(markdown, piece, size) : sentencePieces(markdown, piece, size)));
    at = next;
  }
  return pieces;
}

/** What looks like the end of a sentence in these is none. */
const NO_SENTENCE = /!?\[[^[\]\n]*\]\([^()\s]*\)|`[^`\n]+`|https?:\/\/[^\s<>]+/g;

/** The sentences of a block. `before` stands before each of them that begins a part. */
export function sentencePieces(markdown: string, block: Piece, size: number): Piece[] {
  const words = markdown.slice(block.start, block.textEnd);
  const masked = words.replaceAll(NO_SENTENCE, (found) => "x".repeat(found.length)).replaceAll("\n", " ");
  const before = block.kind === "quote" ? "> " : block.before;
  const starts: number[] = [];
  const space = /\s*/y;
  for (const sentence of sentences(masked)) {
    space.test(masked);
    starts.push(space.lastIndex);
    space.lastIndex += sentence.length;
  }
  const pieces = starts.map((at, index) => {
    const end = starts[index + 1] ?? words.length;
    return {
      ...block,
      before: index === 0 ? block.before : before,
      start: index === 0 ? block.start : block.start + at,
      textEnd: block.start + at + words.slice(at, end).trimEnd().length,
      end: index === starts.length - 1 ? block.end : block.start + end,
    };
  });
  return (pieces.length === 0 ? [block] : pieces).flatMap((piece) =>
    cutPieces(markdown, piece, Math.max(1, size - before.length)),
  );
}

/** Between words, or in the middle of one that is too long. */
function cutPieces(markdown: string, piece: Piece, size: number): Piece[] {
  const pieces: Piece[] = [];
  let { start } = piece;
  while (piece.textEnd - start > size) {
    const cut = start + lengthOfCut(markdown.slice(start, start + size + 1), size);
    pieces.push({ ...piece, start, textEnd: cut, end: cut, ...(start > piece.start && { level: 0 }) });
    start = cut;
  }
  return [...pieces, { ...piece, start }];
}

function lengthOfCut(text: string, size: number): number {
  const space = Math.max(text.lastIndexOf(" "), text.lastIndexOf("\n"));
  if (space > size / 2) return Math.min(space + 1, size);
  const splitsPair = (text.charCodeAt(size) & 0xfc00) === 0xdc00;
  return size > 1 && splitsPair ? size - 1 : size;
}
