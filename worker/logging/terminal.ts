// Output for people: colours, tables and live lines on a terminal, plain lines in a pipe. Text is made safe to show here.
import { stripVTControlCharacters, styleText } from "node:util";
import { printable } from "../printable.ts";

type Style = Parameters<typeof styleText>[0];

/** Styled when the stream is a terminal and NO_COLOR is not set. */
export const paint = (style: Style, text: string, stream: NodeJS.WriteStream = process.stdout) =>
  styleText(style, printable(text, { lines: true }), { stream });

/** A style is kept apart from its text: what is styled already can neither be made safe nor be cut to a width. */
export type Styled = string | { text: string; style: Style };
/** `max`: how wide it may be [60]; `rest` is what the other columns leave of the terminal, at least 12. */
export type Column = { title: string; align?: "right"; max?: number | "rest" };

/** Of a terminal; a pipe gets what fits most terminals. */
export const terminalWidth = (): number => process.stdout.columns || 80;

/** Rows under titles, each column as wide as its longest cell. */
export function table(columns: readonly Column[], rows: readonly (readonly Styled[])[]): string {
  const cells = (index: number, max: number) => rows.map((row) => fit(row[index] ?? "", max));
  const widest = (title: string, texts: readonly string[]) => Math.max(widthOf(title), ...texts.map(widthOf));
  const others = columns
    .flatMap(({ title, max = 60 }, index) => (max === "rest" ? [] : [widest(title, cells(index, max))]))
    .reduce((sum, width) => sum + width + 2, 0);
  const padded = columns.map(({ title, max = 60, align }, index) => {
    const texts = cells(index, max === "rest" ? Math.max(12, terminalWidth() - others) : max);
    const width = widest(title, texts);
    return [title, ...texts].map((text) => pad(text, width, align));
  });
  const [heads = "", ...lines] = ["", ...rows].map((_, at) =>
    padded
      .map((column) => column[at])
      .join("  ")
      .trimEnd(),
  );
  return [paint("dim", heads), ...lines].join("\n");
}

/** Safe to show, at most so wide, and in its style. */
export function fit(styled: Styled, max = Number.POSITIVE_INFINITY, stream?: NodeJS.WriteStream): string {
  const { text, style } = typeof styled === "string" ? { text: styled } : styled;
  const short = shorten(printable(text), max);
  return style === undefined ? short : paint(style, short, stream);
}

function pad(text: string, width: number, align: Column["align"]): string {
  const space = " ".repeat(Math.max(0, width - widthOf(text)));
  return align === "right" ? space + text : text + space;
}

/** Sentences at a terminal do not break within a word; whoever reads a pipe gets whole lines. */
export const prose = (text: string, stream: NodeJS.WriteStream = process.stdout): string =>
  stream.isTTY ? wrap(text, stream.columns || 80) : text;

/** Breaks lines between words, and keeps their indentation. A path or a command that is longer than a line stays whole: it is copied. */
export const wrap = (text: string, width: number): string =>
  text
    .split("\n")
    .flatMap((line) => wrapLine(line, width))
    .join("\n");

function wrapLine(line: string, width: number): string[] {
  const [indent = ""] = /^ */.exec(line) ?? [];
  const lines: string[] = [];
  for (const word of line.slice(indent.length).split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && widthOf(`${last} ${word}`) <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(indent + word);
  }
  return lines;
}

export function shorten(text: string, max: number): string {
  if (widthOf(text) <= max) return text;
  let [short, width] = ["", 0];
  for (const character of text) {
    width += widthOf(character);
    if (width > max - 1) break;
    short += character;
  }
  return `${short}…`;
}

/** How many columns a text takes: styles take none, wide East Asian characters take two. */
export function widthOf(text: string): number {
  const plain = stripVTControlCharacters(text);
  return [...plain].reduce(
    (width, character) =>
      width +
      (/[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6]/.test(
        character,
      )
        ? 2
        : 1),
    0,
  );
}

/** A block of lines that redraws itself on a terminal. In a pipe, only `log` prints. */
export class LiveBlock {
  readonly #stream: NodeJS.WriteStream;
  #height = 0;

  constructor(stream: NodeJS.WriteStream = process.stdout) {
    this.#stream = stream;
  }

  get isLive(): boolean {
    return this.#stream.isTTY === true;
  }

  draw(lines: readonly Styled[]): void {
    if (!this.isLive) return;
    const width = this.#stream.columns || 100;
    this.#erase();
    for (const line of lines) this.#stream.write(`${fit(line, width - 1, this.#stream)}\n`);
    this.#height = lines.length;
  }

  /** Prints a line that stays, above the block. */
  log(line: string): void {
    this.#erase();
    this.#stream.write(`${line}\n`);
  }

  #erase(): void {
    if (this.#height > 0) this.#stream.write(`\u001b[${this.#height}A\u001b[0J`);
    this.#height = 0;
  }
}

/** `2026-11-29 17:04:15` on the clock of whoever reads it; what scripts read stays in UTC. */
export const localTime = (at: string | number): string => new Date(at).toLocaleString("sv-SE");

/** Exit codes that scripts can use. */
export const EXIT = { ok: 0, failed: 1, usage: 2, unavailable: 3, undelivered: 4, interrupted: 130 } as const;
