// The rules that a grammar for JSON is built from: strings, numbers, objects and arrays, with their limits. Equal rules are one, and what
// they may cost is counted. What a schema says is left to json-schema-to-gbnf.ts. Pure.
import { invalid } from "./backend.ts";
import {
  charsOf,
  type Element,
  type Grammar,
  type Item,
  keyOf,
  type Rule,
  type Sequence,
  united,
  without,
} from "./grammar.ts";
import { numbers, type Range, wholeNumbers } from "./number-ranges.ts";

const PARAM = "response_format.json_schema.schema";
/** An object with n optional members has n * n / 2 of them. */
export const MAX_ALTERNATIVES = 40_000;
/** How many keys and elements may be looked at, because what looks small may have to be looked at again and again (this many take about 0.5 s). */
const MAX_WORK = 2_000_000;
// The library expands repetitions, so a longer one gets no upper limit, and neither do those of a schema that has many.
export const MAX_REPEAT = 1_000;
const MAX_REPEATS = 20_000;
const LONG_REPEAT = 32;

export const refuse = (at: string, what: string) => invalid(PARAM, `The schema at ${at} ${what}.`);

/** What is spent on one schema. */
export class Work {
  #done = 0;

  /** Throws `invalid_input` when it is too much. */
  spend(amount: number, at: string): void {
    this.#done += amount;
    if (this.#done > MAX_WORK) throw refuse(at, "makes the schema too large");
  }
}

/** `max` may be Infinity. */
export type Bounds = { min: number; max: number };

type Member = { value: Sequence; required: boolean };

const any = (item: Item): Element => ({ item, min: 0, max: Number.POSITIVE_INFINITY });
export const text = (text: string): Element => ({ text });
const chars = (text: string) => ({ chars: charsOf(text) });
// At most one space where JSON allows white space, and bounded digits: a model could write either forever.
export const WS: Element = { item: chars(" "), min: 0, max: 1 };
const COMMA = [text(","), WS];
const digits = (min: number, max: number): Element => ({ item: chars("0-9"), min, max });

/** The rules of one grammar. Equal ones are one. */
export class Rules {
  /** The first one is the root. */
  readonly all: Rule[] = [{ alternatives: [], at: "#" }];
  /** How many alternatives they have. */
  alternatives = 0;
  readonly string: Sequence;
  readonly number: Sequence;
  readonly integer: Sequence;
  readonly boolean: Sequence;
  readonly null: Sequence = [text("null")];
  readonly value: Sequence;
  readonly #char: Item;
  readonly work: Work;
  readonly #known = new Map<string, { rule: number }>();
  #repeats = 0;

  constructor(work: Work) {
    this.work = work;
    const hex: Element = { item: chars("0-9a-fA-F"), min: 4, max: 4 };
    const escaped = this.add([[chars('"\\bfnrt/')], [text("u"), hex]], "#");
    const plain = { chars: without(united([...charsOf('"\\\x7f'), [0, 0x1f]])) };
    this.#char = this.#rule([[plain], [text("\\"), ...escaped]], "#");
    this.string = this.add([[text('"'), any(this.#char), text('"')]], "#");
    const whole = this.add([[text("0")], [chars("1-9"), digits(0, 15)]], "#");
    this.integer = this.add([[{ item: chars("-"), min: 0, max: 1 }, ...whole]], "#");
    const sign: Element = { item: chars("+-"), min: 0, max: 1 };
    const fraction = this.#optional([text("."), digits(1, 16)]);
    const exponent = this.#optional([chars("eE"), sign, digits(1, 3)]);
    this.number = this.add([[...this.integer, fraction, exponent]], "#");
    this.boolean = this.add([[text("true")], [text("false")]], "#");
    const value = this.reserve("#");
    this.value = [value];
    this.fill(value, [
      this.object([], [...this.string, text(":"), WS, ...this.value], "#"),
      this.array([], this.value, { min: 0, max: Number.POSITIVE_INFINITY }, "#"),
      ...[this.string, this.number, this.boolean, this.null],
    ]);
  }

  grammar(root: Sequence): Grammar {
    return [{ alternatives: [root], at: "#" }, ...this.all.slice(1)];
  }

  add(alternatives: readonly Sequence[], at: string): Sequence {
    const [only] = alternatives;
    const isShort = alternatives.length === 1 && only!.length < 2;
    return isShort ? only! : [this.#rule(alternatives, at)];
  }

  /** A rule that is filled in later, so that it can refer to itself. */
  reserve(at: string): { rule: number } {
    return { rule: this.all.push({ alternatives: [], at }) - 1 };
  }

  fill({ rule }: { rule: number }, alternatives: readonly Sequence[]): void {
    this.alternatives += alternatives.length;
    this.all[rule] = { alternatives, at: this.all[rule]!.at };
  }

  stringOf({ min, max }: Bounds, at: string): Sequence {
    if (min === 0 && max === Number.POSITIVE_INFINITY) return this.string;
    return [text('"'), ...this.#chars(min, max, at), text('"')];
  }

  /** A long repetition is a rule, so that equal ones are expanded once. */
  #chars(min: number, max: number, at: string): Element[] {
    if (max === 0) return [];
    const chars: Element = { item: this.#char, min, max };
    const size = max === Number.POSITIVE_INFINITY ? min : max;
    if (size < LONG_REPEAT) return [chars];
    const count = this.all.length;
    const rule = this.#rule([[chars]], at);
    if (this.all.length > count) this.#repeats += size;
    return [this.#repeats > MAX_REPEATS ? any(this.#char) : rule];
  }

  numberIn(range: Range, type: "number" | "integer", at: string): Sequence {
    if (type === "integer") return this.add(wholeNumbers(range), at);
    const fraction = this.#optional([text("."), digits(1, 16)]);
    const zeros = this.#optional([text("."), { item: chars("0"), min: 1, max: 2 }]);
    return this.add(numbers(range, fraction, zeros), at);
  }

  #optional(sequence: Sequence): Element {
    return { item: this.#rule([sequence], "#"), min: 0, max: 1 };
  }

  /** An object with these members in this order. `rest` is what further members look like, if any are allowed. */
  object(members: readonly Member[], rest: Sequence | undefined, at: string): Sequence {
    // What may follow a member, built from the last one: `begin` when no member was written before, `goOn` after one. Where no
    // member is written, no space is either: two spaces that may both be missing would be ambiguous.
    const others = rest && any(this.#rule([[...COMMA, ...rest]], at));
    let begin: Sequence[] = rest === undefined ? [[]] : [[...rest, others!, WS], []];
    let goOn: Sequence[] = [others === undefined ? [] : [others]];
    for (const { value, required } of members.toReversed()) {
      if (this.alternatives > MAX_ALTERNATIVES) throw refuse(at, "has too many optional properties");
      const after = this.add(goOn, at);
      begin = [[...value, ...after, WS], ...(required ? [] : begin)];
      goOn = [[...COMMA, ...value, ...after], ...(required ? [] : goOn)];
    }
    return [this.#rule([[text("{"), WS, ...this.add(begin, at), text("}")]], at)];
  }

  /** `heads` are the items at fixed positions, `item` is what all further ones look like. */
  array(heads: readonly Sequence[], item: Sequence | undefined, { min, max }: Bounds, at: string): Sequence {
    const least = Math.max(0, min - heads.length);
    const most = item === undefined ? 0 : Math.max(0, max - heads.length);
    const others = (least: number, most: number): Sequence =>
      most === 0 ? [] : [{ item: this.#rule([[...COMMA, ...item!]], at), min: least, max: most }];
    const [first, ...further] = heads;
    let content: Sequence = [];
    if (first !== undefined) {
      let goOn = others(least, most);
      for (const head of further.toReversed()) goOn = [this.#rule([[...COMMA, ...head, ...goOn]], at)];
      content = [...first, ...goOn, WS];
    } else if (most > 0) {
      const filled = [...item!, ...others(Math.max(0, least - 1), most - 1), WS];
      content = least === 0 ? this.add([filled, []], at) : filled;
    }
    return [this.#rule([[text("["), WS, ...content, text("]")]], at)];
  }

  /** A rule even for one alternative, so that the sequences that contain it stay short. */
  #rule(alternatives: readonly Sequence[], at: string): { rule: number } {
    this.work.spend(
      alternatives.reduce((sum, { length }) => sum + 1 + length, 0),
      at,
    );
    const key = alternatives.map(keyOf).sort().join(" | ");
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const made = this.reserve(at);
    this.#known.set(key, made);
    this.fill(made, alternatives);
    return made;
  }
}
