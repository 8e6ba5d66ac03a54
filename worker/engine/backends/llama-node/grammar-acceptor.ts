// Follows a grammar character by character, to tell which texts may come next, for answers that are drawn token by token.
// Knows every way the text so far can be read, as llama.cpp does. Pure: each step gives a new acceptor.
import { type Element, type GrammarRule, readGrammar } from "./grammar-source.ts";

/** What remains of one alternative, and what comes after it. */
type Frame = { elements: readonly Element[]; at: number; after: Frame | undefined };

export class Acceptor {
  /** Each one's next element takes a character. */
  readonly #frames: readonly Frame[];
  /** The text may end here. */
  readonly mayEnd: boolean;

  private constructor(from: readonly (Frame | undefined)[]) {
    const frames: Frame[] = [];
    const known = new Frames();
    let mayEnd = false;
    for (const start of from) mayEnd = known.expand(start, frames) || mayEnd;
    this.#frames = frames;
    this.mayEnd = mayEnd;
  }

  static of(grammar: string): Acceptor {
    const root: GrammarRule = readGrammar(grammar);
    return new Acceptor([{ elements: [{ rule: root }], at: 0, after: undefined }]);
  }

  /** Nothing may follow. */
  get mustEnd(): boolean {
    return this.#frames.length === 0;
  }

  /** Undefined when no text of the grammar goes on like this. */
  after(text: string): Acceptor | undefined {
    let now: Acceptor = this;
    for (const char of text) {
      const next = now.#step(char);
      if (next === undefined) return undefined;
      now = next;
    }
    return now;
  }

  #step(char: string): Acceptor | undefined {
    const taken = this.#frames.filter(({ elements, at }) => {
      const element = elements[at]!;
      return "takes" in element && element.takes(char);
    });
    return taken.length === 0 ? undefined : new Acceptor(taken.map(next));
  }
}

const next = ({ elements, at, after }: Frame): Frame => ({ elements, at: at + 1, after });

/** Goes into rules and out of them, and nowhere twice. */
class Frames {
  readonly #ids = new Map<unknown, number>();
  readonly #seen = new Map<string, Frame>();
  readonly #expanded = new Set<Frame | undefined>();

  /** Adds to `found` what can take a character from here; true when nothing need follow. */
  expand(start: Frame | undefined, found: Frame[]): boolean {
    const frame = start && this.#same(start);
    if (this.#expanded.has(frame)) return false;
    this.#expanded.add(frame);
    if (frame === undefined) return true;
    const element = frame.elements[frame.at];
    if (element === undefined) return this.expand(frame.after, found);
    if ("takes" in element) {
      found.push(frame);
      return false;
    }
    const after = frame.at + 1 < frame.elements.length ? next(frame) : frame.after;
    let mayEnd = false;
    for (const elements of element.rule.alternatives)
      mayEnd = this.expand({ elements, at: 0, after: after && this.#same(after) }, found) || mayEnd;
    return mayEnd;
  }

  /** One object for frames that are equal. */
  #same(frame: Frame): Frame {
    const key = `${this.#id(frame.elements)}:${frame.at}:${this.#id(frame.after)}`;
    const known = this.#seen.get(key) ?? frame;
    this.#seen.set(key, known);
    return known;
  }

  #id(of: unknown): number {
    const id = this.#ids.get(of) ?? this.#ids.size;
    this.#ids.set(of, id);
    return id;
  }
}
