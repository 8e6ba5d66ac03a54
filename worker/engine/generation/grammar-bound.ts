// How much work llama.cpp can have with a grammar, whatever text it follows: an upper limit that is computed before native code
// sees the grammar, because native code cannot be interrupted. Pure.
//
// llama.cpp keeps a stack for every way in which the text so far may go on. What is counted here:
// - `ways` of a rule: in how many ways at most it can be followed through one text, if the next character is always known. A
//   sequence multiplies the ways of its elements. Of alternatives those are added that may begin with the same character; an empty
//   one begins with what may follow the rule. A rule that contains itself within such a choice has no limit.
// - `stacks`: the most places where one way may stand before the next character is known, times the ways.
// - `paths`: llama.cpp looks for left recursion along every path of rules that begin with each other.
// Two ways that lead to the same stack count twice, although llama.cpp merges them. So the limit also holds within a token, where it
// does not merge them.
import type { Chars, Element, Grammar, Sequence } from "./grammar.ts";

/** With 500 and a vocabulary of 128,000 tokens one token takes about ten times as long as without a schema. */
export const MAX_STACKS = 256;
const MAX_WAYS = 16;
const MAX_PATHS = 200_000;
/** How many rules may be looked at, counting repetitions. */
const MAX_VISITS = 2_000_000;

export type Excess = { of: "ways" | "stacks" | "paths" | "size"; at: string };

/** Undefined when the grammar is harmless; otherwise what there is too much of, and where. */
export function excessOf(grammar: Grammar): Excess | undefined {
  const bound = boundOf(grammar);
  return typeof bound === "number" ? undefined : bound;
}

/** The most stacks that llama.cpp can have at a time, or why that is too many. */
export function boundOf(grammar: Grammar): number | Excess {
  const rules = new Rules(grammar);
  const paths = rules.paths();
  if (sum(paths) > MAX_PATHS) return { of: "paths", at: rules.at(indexOfMost(paths)) };
  const ways = rules.ways();
  if (ways[0]! > MAX_WAYS) return { of: "ways", at: rules.at(rules.firstChoice(ways)) };
  const places = rules.places();
  const most = indexOfMost(places);
  const stacks = places[most]! * ways[0]!;
  if (!rules.isComplete) return { of: "size", at: "#" };
  return stacks > MAX_STACKS ? { of: "stacks", at: rules.at(most) } : stacks;
}

const sum = (numbers: readonly number[]) => numbers.reduce((sum, one) => sum + one, 0);
const indexOfMost = (numbers: readonly number[]) =>
  numbers.reduce((most, one, at) => (one > numbers[most]! ? at : most), 0);

/** A set of characters as bits, or a rule. Texts are represented by their first character. */
type Part = { bits: bigint } | { rule: number };
/** `owner` is the rule of the grammar that it comes from: repetitions become rules of their own. `power`: its ways are raised to it. */
type Plain = { alternatives: Part[][]; owner: number; power: number };

class Rules {
  /** False when looking at everything would take too long. Then no result holds. */
  isComplete = true;
  readonly #grammar: Grammar;
  readonly #alphabet: Alphabet;
  readonly #rules: Plain[];
  readonly #first: bigint[];
  readonly #isNullable: boolean[];
  readonly #follow: bigint[];
  #visits = 0;

  constructor(grammar: Grammar) {
    this.#grammar = grammar;
    this.#alphabet = new Alphabet(grammar);
    this.#rules = grammar.map((_, owner) => ({ alternatives: [], owner, power: 1 }));
    for (const [owner, { alternatives }] of grammar.entries())
      this.#rules[owner]!.alternatives = alternatives.map((one) => this.#plain(one, owner));
    this.#first = this.#rules.map(() => 0n);
    this.#isNullable = this.#rules.map(() => false);
    this.#follow = this.#rules.map(() => 0n);
    this.#findFirst();
    this.#findFollow();
  }

  at(rule: number): string {
    return this.#grammar[this.#rules[rule]!.owner]!.at;
  }

  /** How many paths lead from each rule through the rules that it begins with. */
  paths(): number[] {
    return this.#grow(1, MAX_PATHS, (rule, paths) => {
      const begin = this.#rules[rule]!.alternatives.flatMap((parts) => this.#leading(parts));
      return 1 + sum(begin.map((part) => ("rule" in part ? paths[part.rule]! : 0)));
    });
  }

  ways(): number[] {
    return this.#grow(1, MAX_WAYS, (rule, ways) => {
      const choices = this.#rules[rule]!.alternatives.map((parts) => ({
        begins: this.#predicts(rule, parts),
        ways: parts.reduce((product, part) => product * ("rule" in part ? ways[part.rule]! : 1), 1),
      }));
      return mostTogether(choices) ** this.#rules[rule]!.power;
    });
  }

  /** The rule with the most ways in which alternatives begin with the same character. */
  firstChoice(ways: readonly number[]): number {
    const isChoice = (rule: number) => {
      let seen = 0n;
      return this.#rules[rule]!.alternatives.some((parts) => {
        const begins = this.#predicts(rule, parts);
        const clashes = (seen & begins) !== 0n;
        seen |= begins;
        return clashes;
      });
    };
    const choices = [...this.#rules.keys()].filter(isChoice);
    return choices.reduce((most, one) => (ways[one]! > ways[most]! ? one : most), choices[0] ?? 0);
  }

  /** For each rule: in how many places one way may stand after a character of the rule, before the next one is known. */
  places(): number[] {
    const inside = this.#grow(0, MAX_STACKS, (rule, inside) =>
      sum(this.#rules[rule]!.alternatives.map((parts) => this.#placesIn(parts, inside))),
    );
    const after = this.#placesAfter(inside);
    return [...this.#rules.keys()].map((rule) => {
      const positions = this.#rules[rule]!.alternatives.flatMap((parts) =>
        parts.flatMap((part, at) => ("bits" in part ? [parts.slice(at + 1)] : [])),
      );
      const start = rule === 0 ? [inside[0]! + (this.#isNullable[0] ? 1 : 0)] : [];
      return Math.max(0, ...start, ...positions.map((rest) => this.#placesFrom(rest, rule, inside, after)));
    });
  }

  #placesIn(parts: readonly Part[], inside: readonly number[]): number {
    return sum(this.#leading(parts).map((part) => ("rule" in part ? inside[part.rule]! : 1)));
  }

  #placesFrom(rest: Part[], rule: number, inside: readonly number[], after: readonly number[]): number {
    return this.#placesIn(rest, inside) + (this.#mayBeEmpty(rest) ? after[rule]! : 0);
  }

  /** For each rule: the places after its end. After the root there is one, the end of the text. */
  #placesAfter(inside: readonly number[]): number[] {
    const after: number[] = this.#rules.map((_, rule) => (rule === 0 ? 1 : 0));
    this.#repeat((rule) => {
      let changed = false;
      for (const [part, rest] of this.#uses(rule)) {
        const places = Math.min(MAX_STACKS + 1, this.#placesFrom(rest, rule, inside, after));
        if (places <= after[part]!) continue;
        after[part] = places;
        changed = true;
      }
      return changed;
    });
    return after;
  }

  /**
   * A repetition becomes a rule that contains itself, as in llama.cpp; without its upper limit, except for an optional one. For a
   * number of times that is fixed, two times stand for all.
   */
  #plain(sequence: Sequence, owner: number): Part[] {
    return sequence.flatMap((element) => {
      if (!("item" in element)) return [this.#part(element)];
      const item = this.#part(element.item);
      const { min, max } = element;
      const fixed = min < 2 ? Array<Part>(min).fill(item) : [this.#added([[item, item]], owner, min / 2)];
      if (min === max) return fixed;
      const optional = this.#added([[item], []], owner);
      if (max - min > 1) this.#rules[optional.rule]!.alternatives[0]!.push(optional);
      return [...fixed, optional];
    });
  }

  #added(alternatives: Part[][], owner: number, power = 1): { rule: number } {
    return { rule: this.#rules.push({ alternatives, owner, power }) - 1 };
  }

  #part(element: Exclude<Element, { item: unknown }>): Part {
    if ("rule" in element) return { rule: element.rule };
    return { bits: this.#alphabet.bits("text" in element ? firstOf(element.text) : element.chars) };
  }

  #findFirst(): void {
    this.#repeat((rule) => {
      const { alternatives } = this.#rules[rule]!;
      const first = alternatives.reduce((bits, parts) => bits | this.#begins(parts), 0n);
      const isNullable = alternatives.some((parts) => this.#mayBeEmpty(parts));
      if (first === this.#first[rule] && isNullable === this.#isNullable[rule]) return false;
      this.#first[rule] = first;
      this.#isNullable[rule] = isNullable;
      return true;
    });
  }

  #findFollow(): void {
    this.#follow[0] = this.#alphabet.end;
    this.#repeat((rule) => {
      let changed = false;
      for (const [part, rest] of this.#uses(rule)) {
        const follow = this.#follow[part]! | this.#predicts(rule, rest);
        changed ||= follow !== this.#follow[part];
        this.#follow[part] = follow;
      }
      return changed;
    });
  }

  /** The rules that are used in a rule, each with what follows it there. */
  *#uses(rule: number): Iterable<[number, Part[]]> {
    for (const parts of this.#rules[rule]!.alternatives)
      for (const [at, part] of parts.entries()) if ("rule" in part) yield [part.rule, parts.slice(at + 1)];
  }

  /** The first part, and the next one after a part that may be empty. */
  #leading(parts: readonly Part[]): Part[] {
    const end = parts.findIndex((part) => !this.#mayBeEmpty([part]));
    return parts.slice(0, end === -1 ? parts.length : end + 1);
  }

  #mayBeEmpty(parts: readonly Part[]): boolean {
    return parts.every((part) => "rule" in part && this.#isNullable[part.rule]);
  }

  #begins(parts: readonly Part[]): bigint {
    return this.#leading(parts).reduce(
      (bits, part) => bits | ("rule" in part ? this.#first[part.rule]! : part.bits),
      0n,
    );
  }

  /** The characters with which the rule may go on, when these parts are what is left of it. */
  #predicts(rule: number, parts: readonly Part[]): bigint {
    return this.#begins(parts) | (this.#mayBeEmpty(parts) ? this.#follow[rule]! : 0n);
  }

  /** Numbers that grow until they agree with each other, or pass the limit. */
  #grow(start: number, most: number, next: (rule: number, values: readonly number[]) => number): number[] {
    const values = this.#rules.map(() => start);
    this.#repeat((rule) => {
      const value = Math.min(most + 1, next(rule, values));
      if (value <= values[rule]!) return false;
      values[rule] = value;
      return true;
    });
    return values;
  }

  /** Visits all rules, forwards and backwards, until none of them changes. */
  #repeat(visit: (rule: number) => boolean): void {
    for (let isBackwards = true, changed = true; changed; isBackwards = !isBackwards) {
      changed = false;
      for (const step of this.#rules.keys())
        if (visit(isBackwards ? this.#rules.length - 1 - step : step)) changed = true;
      this.#visits += this.#rules.length;
      if (this.#visits > MAX_VISITS) this.isComplete = false;
      if (!this.isComplete) return;
    }
  }
}

/** The most ways of choices that begin with the same character. */
function mostTogether(choices: readonly { begins: bigint; ways: number }[]): number {
  let [seen, shared] = [0n, 0n];
  for (const { begins } of choices) {
    shared |= seen & begins;
    seen |= begins;
  }
  let most = Math.max(1, ...choices.map(({ ways }) => ways));
  for (let bit = 1n; bit <= shared; bit <<= 1n) {
    if ((shared & bit) === 0n) continue;
    const together = choices.filter(({ begins }) => (begins & bit) !== 0n);
    most = Math.max(most, sum(together.map(({ ways }) => ways)));
  }
  return most;
}

const firstOf = (text: string): Chars => {
  const point = text.codePointAt(0)!;
  return [[point, point]];
};

/** Characters that no set of the grammar tells apart share one bit. */
class Alphabet {
  readonly #bitAt: ReadonlyMap<number, number>;
  /** The end of the text, as if it were a character. */
  readonly end: bigint;

  constructor(grammar: Grammar) {
    const starts = new Set<number>();
    for (const [low, high] of grammar.flatMap(({ alternatives }) => alternatives.flat().flatMap(charsIn)))
      starts.add(low).add(high + 1);
    this.#bitAt = new Map([...starts].sort((a, b) => a - b).map((start, bit) => [start, bit]));
    this.end = 1n << BigInt(starts.size);
  }

  bits(chars: Chars): bigint {
    let bits = 0n;
    for (const [low, high] of chars) {
      const [from, to] = [this.#bitAt.get(low)!, this.#bitAt.get(high + 1)!];
      bits |= ((1n << BigInt(to - from)) - 1n) << BigInt(from);
    }
    return bits;
  }
}

function charsIn(element: Element): Chars {
  if ("item" in element) return charsIn(element.item);
  if ("text" in element) return firstOf(element.text);
  return "chars" in element ? element.chars : [];
}
