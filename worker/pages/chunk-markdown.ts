// Cuts the Markdown of a page into parts for a model: on headings, between paragraphs, and between sentences where a paragraph is too
// long. Every character is in one of the parts. What belongs together is decided in markdown-blocks.ts. Pure, and in time in
// proportion to the text.
import type { Chunk } from "../job/handler.ts";
import { proseOf } from "../job/prose.ts";
import { blocksOf, type Piece, piecesOf, sentencePieces } from "./markdown-blocks.ts";
import { isTitle } from "./page-title.ts";

/** Parts of at most `size` characters. The headings of a part are those above it, without the page's own `title`. */
export function chunkMarkdown(markdown: string, size: number, title: string | null): Chunk[] {
  if (markdown.trim() === "") return [];
  const room = Math.max(1, Math.floor(size));
  const blocks = blocksOf(markdown).flatMap((block) => piecesOf(markdown, block, room));
  const parts = partsOf(markdown, blocks, room);
  const headings = new Headings(markdown, title);
  return parts.map((pieces) => ({
    text: textOf(markdown, pieces),
    path: headings.above(pieces),
    start: pieces[0]!.start,
    end: pieces.at(-1)!.end,
  }));
}

function textOf(markdown: string, pieces: readonly Piece[]): string {
  const [first, last] = [pieces[0]!, pieces.at(-1)!];
  const words = markdown.slice(first.start, last.textEnd).replace(/^(?:[^\S\n]*\n)+/, "");
  return `${first.before}${first.before === "" ? words.trimStart() : words}${last.after}`;
}

function partsOf(markdown: string, blocks: readonly Piece[], size: number): Piece[][] {
  const sections = sectionEnds(blocks);
  const top = blocks.reduce(
    (least, { level }) => (level > 0 ? Math.min(least, level) : least),
    Number.POSITIVE_INFINITY,
  );
  const parts: Piece[][] = [];
  let part: Piece[] = [];
  const close = () => {
    if (part.length > 0) parts.push(part);
    part = [];
  };
  for (const [at, block] of blocks.entries()) {
    const used = lengthOf(part);
    if (part.length > 0 && block.level > 0 && !fits(part, blocks[sections[at]!]!, size)) {
      // A part that ends with a heading would leave its text to the next.
      const isFull = used >= size / 2 || block.level === top || !fits(part, blocks[at + 1] ?? block, size);
      if (isFull && !isHeading(part.at(-1)!)) close();
    }
    if (part.length === 0 || fits(part, block, size)) {
      part.push(block);
      continue;
    }
    const isShort = used < size / 2 && (block.kind === "paragraph" || block.kind === "quote");
    for (const piece of isShort ? sentencePieces(markdown, block, size) : [block]) {
      if (!fits(part, piece, size)) close();
      part.push(piece);
    }
  }
  close();
  return parts;
}

const isHeading = ({ kind }: Piece) => kind === "heading";

function lengthOf(part: readonly Piece[]): number {
  const [first, last] = [part[0], part.at(-1)];
  return first && last ? last.textEnd - first.start + first.before.length + last.after.length : 0;
}

/** Whether a part may go on up to the end of `piece`. */
const fits = (part: readonly Piece[], piece: Piece, size: number) =>
  part.length === 0 || piece.textEnd - part[0]!.start + part[0]!.before.length + piece.after.length <= size;

/** For each heading, where the last block of its section is; for other blocks, themselves. */
function sectionEnds(blocks: readonly Piece[]): number[] {
  const ends = blocks.map((_, at) => at);
  const open: { at: number; level: number }[] = [];
  const closeFrom = (level: number, end: number) => {
    while (open.length > 0 && open.at(-1)!.level >= level) ends[open.pop()!.at] = end;
  };
  for (const [at, { level }] of blocks.entries()) {
    if (level === 0) continue;
    closeFrom(level, at - 1);
    open.push({ at, level });
  }
  closeFrom(0, blocks.length - 1);
  return ends;
}

/** Follows the headings through the parts, which come in order. */
class Headings {
  readonly #markdown: string;
  readonly #title: string | null;
  readonly #open: { level: number; text: string }[] = [];

  constructor(markdown: string, title: string | null) {
    this.#markdown = markdown;
    this.#title = title;
  }

  above(pieces: readonly Piece[]): string[] {
    let begins = 0;
    while (begins < pieces.length && pieces[begins]!.level > 0) this.#enter(pieces[begins++]!);
    const open = [...this.#open];
    for (const piece of pieces.slice(begins)) if (piece.level > 0) this.#enter(piece);
    // A heading with which the part begins counts if all of it is below that heading.
    const path = open.filter((one, at) => at < open.length - begins || this.#open.includes(one));
    return path.map(({ text }) => text).filter((text) => text !== "");
  }

  #enter({ start, textEnd, level }: Piece): void {
    while (this.#open.length > 0 && this.#open.at(-1)!.level >= level) this.#open.pop();
    const text = plainHeading(this.#markdown.slice(start, textEnd));
    const isOwn = this.#title !== null && isTitle(text, this.#title);
    this.#open.push({ level, text: isOwn ? "" : text });
  }
}

const plainHeading = (heading: string): string =>
  proseOf(heading.replace(/\n[^\S\n]*(?:=+|-+)\s*$/, "")).trim();
