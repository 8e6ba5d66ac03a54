// What a person sees of a research: its steps while it runs, and the report on a terminal.
import { LiveBlock, paint } from "../../logging/terminal.ts";

/** The steps of a job: on a terminal one line that changes, above it those that are done; in a pipe a line for each. */
export class Steps {
  readonly #stream: NodeJS.WriteStream;
  readonly #block: LiveBlock;
  /** Looked at now and then: the figures at the end of a step may not have been seen. */
  isSampled = false;
  #step = "";
  #latest = "";

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
    this.#block = new LiveBlock(stream);
  }

  /** `what` begins with the words that name the step. */
  show(done: number, what: string): void {
    if (what === this.#latest) return;
    const step = stepOf(what);
    if (step !== this.#step) {
      this.end();
      this.#step = step;
      if (!this.#block.isLive) this.note(`${what} …`);
    }
    this.#latest = what;
    this.#block.draw([`… ${what}`, `  ${Math.round(done * 100)} %`]);
  }

  /** A line that stays. */
  note(text: string): void {
    this.#block.log(paint("dim", text, this.#stream));
  }

  /** The step that was shown is done. */
  end(): void {
    this.#block.draw([]);
    const done = this.#latest.replace(this.isSampled ? /: \d.*$/ : /, about \d+ s left$/, "");
    if (this.#step !== "")
      this.#block.log(`${paint("green", "✓", this.#stream)} ${paint([], done, this.#stream)}`);
    [this.#step, this.#latest] = ["", ""];
  }

  /** What was shown is over, done or not. */
  stop(): void {
    this.#block.draw([]);
  }
}

/** The words before the figures: "Reading 9 pages: 4 read" is the step "Reading". */
const stepOf = (what: string): string => what.split(/[:\d]/, 1)[0]!.trim();

const LINK = /\[((?:[^[\]\\]|\\.)*)\]\(<([^>]*)>\)/g;

/** The Markdown of a report as text to read: links with their addresses behind them, and no backslashes. */
export const asText = (markdown: string): string =>
  markdown
    .replaceAll(/(?<!\()<(https?:[^\s<>]+)>/g, "$1")
    .replaceAll(LINK, "$1 <$2>")
    .replaceAll(/\*\*(.+?)\*\*/g, "$1")
    .split("\n")
    .map(unescaped)
    .join("\n");

const unescaped = (text: string) => text.replaceAll(/\\([!-/:-@[-`{-~])/g, "$1");
