// Makes a grammar deterministic where that is possible: after each character one alternative is left. llama.cpp follows all
// alternatives that fit at the same time, and where rules are nested their number multiplies.
//
// A rule of the result stands for a set of sequences over the original rules. Sequences that begin with the same element become
// one: that element, then the set of what follows. If two begin with different elements that share a character, rules are replaced
// by their alternatives and sets of characters are split, until the beginnings are equal or have nothing in common. What would
// never end stays as it is; grammar-bound.ts says whether that is harmless. Pure.
import {
  type Chars,
  type Element,
  type Grammar,
  keyOf,
  keyOfElement,
  type Rule,
  type Sequence,
  united,
} from "./grammar.ts";

/** Sequences that are longer are not taken apart: those of two different recursive rules grow without end. */
const MAX_SEQUENCE = 40;
/** How many elements and characters may be looked at for one grammar (this many take about 0.2 s), and how many rules may come out. */
const MAX_WORK = 2_000_000;
const MAX_RULES = 20_000;
/** The most alternatives in a grammar whose equal rules are looked for, and the most rounds of it. */
const MAX_MERGED = 2_000;
const MAX_ROUNDS = 32;

/** Undefined when the result would be too large. */
export function leftFactored(grammar: Grammar, maxWork = MAX_WORK): Grammar | undefined {
  return new Factoring(merged(grammar), maxWork).result();
}

/**
 * Equal rules become one, also those that contain themselves: rules are taken for equal until their alternatives differ. A grammar
 * for which that takes too long stays as it is.
 */
function merged(grammar: Grammar): Grammar {
  const size = grammar.reduce((sum, { alternatives }) => sum + alternatives.length, 0);
  if (size > MAX_MERGED) return grammar;
  let classes = grammar.map(() => 0);
  for (let round = 0, count = 1; round < MAX_ROUNDS; round++) {
    const known = new Map<string, number>();
    const next = grammar.map(({ alternatives }, rule) => {
      const key = `${classes[rule]}: ${keyOfAll(alternatives.map((one) => one.map((part) => renamed(part, classes))))}`;
      if (!known.has(key)) known.set(key, rule);
      return known.get(key)!;
    });
    if (known.size === count) return grammar.map((rule) => withRules(rule, next));
    [classes, count] = [next, known.size];
  }
  return grammar;
}

const withRules = ({ alternatives, at }: Rule, rules: readonly number[]): Rule => ({
  alternatives: alternatives.map((one) => one.map((part) => renamed(part, rules))),
  at,
});

function renamed(element: Element, rules: readonly number[]): Element {
  if ("rule" in element) return { rule: rules[element.rule]! };
  if ("item" in element && "rule" in element.item)
    return { ...element, item: { rule: rules[element.item.rule]! } };
  return element;
}

type Group = { sequences: Sequence[]; begins: Chars };

class Factoring {
  readonly #grammar: Grammar;
  readonly #maxWork: number;
  readonly #first: readonly First[];
  readonly #rules: Rule[] = [];
  readonly #todo: { sequences: readonly Sequence[]; at: string }[] = [];
  readonly #known = new Map<string, number>();
  readonly #ofRule = new Map<number, number>();
  #work = 0;

  constructor(grammar: Grammar, maxWork: number) {
    this.#grammar = grammar;
    this.#maxWork = maxWork;
    this.#first = firstSets(grammar);
  }

  result(): Grammar | undefined {
    this.#rule(0);
    for (let next = 0; next < this.#todo.length; next++) {
      if (this.#todo.length > MAX_RULES || this.#work > this.#maxWork) return undefined;
      const { sequences, at } = this.#todo[next]!;
      this.#rules.push({ alternatives: this.#factored(sequences, at), at });
    }
    return this.#rules;
  }

  /** The number of the new rule for a set of sequences. */
  #set(sequences: readonly Sequence[], at: string): number {
    const key = keyOfAll(sequences);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    this.#known.set(key, this.#todo.length);
    return this.#todo.push({ sequences, at }) - 1;
  }

  /** The number of the new rule for an original one. */
  #rule(rule: number): number {
    const known = this.#ofRule.get(rule);
    if (known !== undefined) return known;
    const { alternatives, at } = this.#grammar[rule]!;
    const made = this.#set(distinct(alternatives), at);
    this.#ofRule.set(rule, made);
    return made;
  }

  #factored(sequences: readonly Sequence[], at: string): Sequence[] {
    const ready = this.#expanded(sequences);
    const whole = ready.filter(([head]) => head === undefined);
    const terminals = ready.filter(([head]) => head && isTerminal(head));
    const others = ready.filter(([head]) => head && !isTerminal(head));
    const heads = [...byCharacter(terminals), ...byHead(others)];
    return [
      ...heads.map(({ head, tails }) => [this.#renamed(head), ...this.#tail(distinct(tails), at)]),
      ...whole.slice(0, 1),
    ];
  }

  #tail(tails: readonly Sequence[], at: string): Sequence {
    const [only] = tails;
    if (tails.length > 1) return [{ rule: this.#set(tails, at) }];
    return only!.map((element) => this.#renamed(element));
  }

  #renamed(element: Element): Element {
    if ("rule" in element) return { rule: this.#rule(element.rule) };
    if ("item" in element && "rule" in element.item)
      return { ...element, item: { rule: this.#rule(element.item.rule) } };
    return element;
  }

  /** The same set, in which sequences begin with the same element, or share no first character, or must stay as they are. */
  #expanded(sequences: readonly Sequence[]): readonly Sequence[] {
    let now = sequences;
    for (;;) {
      this.#work += now.reduce((sum, one) => sum + sizeOf(one), 0);
      const isReady = now.length < 2 || now.every(([head]) => head && isTerminal(head));
      if (isReady || this.#work > this.#maxWork) return now;
      const clashing = new Set(this.#clashing(now));
      if (clashing.size === 0) return now;
      now = distinct(now.flatMap((one) => (clashing.has(one) ? this.#unfolded(one) : [one])));
    }
  }

  /** The sequences that begin with a rule and share a first character with one that begins differently. */
  #clashing(sequences: readonly Sequence[]): Sequence[] {
    const groups = Map.groupBy(
      sequences.filter((one) => one.length > 0),
      ([head]) => keyOfElement(head!),
    );
    const known = [...groups.values()].map((sequences): Group => {
      const begins = united(sequences.flatMap((one) => firstOfSequence(one, this.#first).chars));
      return { sequences, begins };
    });
    // Two that may be empty differ in nothing.
    const mayBeEmpty = sequences.filter((one) => firstOfSequence(one, this.#first).isNullable);
    const empty = mayBeEmpty.length > 1 ? mayBeEmpty.filter(({ length }) => length > 0) : [];
    const clashing = groupsInClash(known)
      .filter(({ sequences: [one] }) => !isTerminal(one![0]!))
      .flatMap(({ sequences }) => sequences);
    return [...clashing, ...empty].filter(({ length }) => length <= MAX_SEQUENCE);
  }

  /** The first element replaced by what it stands for. */
  #unfolded([head, ...tail]: Sequence): Sequence[] {
    if ("rule" in head!)
      return this.#grammar[head.rule]!.alternatives.map((alternative) => [...alternative, ...tail]);
    const { item, min, max } = head as Extract<Element, { item: unknown }>;
    const once = [item, ...(max > 1 ? [{ item, min: Math.max(0, min - 1), max: max - 1 }] : []), ...tail];
    return min === 0 ? [once, tail] : [once];
  }
}

const sizeOf = (sequence: Sequence) =>
  sequence.reduce((sum, one) => sum + 1 + ("text" in one ? one.text.length : 0), 1);

const isTerminal = (element: Element) => "text" in element || "chars" in element;

/** The same for two sets with the same sequences, whatever their order is. */
const keyOfAll = (sequences: readonly Sequence[]) => sequences.map(keyOf).sort().join(" | ");

function distinct(sequences: readonly Sequence[]): Sequence[] {
  return [...new Map(sequences.map((one) => [keyOf(one), one])).values()];
}

type Headed = { head: Element; tails: Sequence[] };

function byHead(sequences: readonly Sequence[]): Headed[] {
  return [...Map.groupBy(sequences, ([head]) => keyOfElement(head!)).values()].map((ones) => {
    return { head: ones[0]![0]!, tails: ones.map((one) => one.slice(1)) };
  });
}

/** The groups that share a character with another one. */
function groupsInClash(groups: readonly Group[]): Group[] {
  const ranges = groups.flatMap((group) => group.begins.map(([low, high]) => ({ low, high, group })));
  ranges.sort((a, b) => a.low - b.low);
  const clashes = new Set<Group>();
  let reach: (typeof ranges)[number] | undefined;
  for (const range of ranges) {
    if (reach && range.low <= reach.high && range.group !== reach.group)
      clashes.add(range.group).add(reach.group);
    if (!reach || range.high > reach.high) reach = range;
  }
  return [...clashes];
}

/** Sequences that begin with characters: one entry for each set of characters after which the same sequences are left. */
function byCharacter(sequences: readonly Sequence[]): Headed[] {
  const texts = new Map<number, Sequence[]>();
  for (const one of sequences) {
    if (!("text" in one[0]!)) continue;
    const point = one[0].text.codePointAt(0)!;
    const known = texts.get(point);
    if (known) known.push(one);
    else texts.set(point, [one]);
  }
  const classes = sequences.flatMap(([head, ...tail]) =>
    "chars" in head! ? [{ chars: head.chars, tail }] : [],
  );
  const isInClass = (point: number) =>
    classes.some(({ chars }) => chars.some(([low, high]) => low <= point && point <= high));
  const [mixed, alone] = [new Map<number, Sequence[]>(), new Map<number, Sequence[]>()];
  for (const [point, ones] of texts) (isInClass(point) ? mixed : alone).set(point, ones);
  return [
    ...(alone.size < MANY ? [...alone.values()].map(withCommonText) : inClasses(alone)),
    ...pieces(mixed, classes),
  ];
}

/** So many texts with different first characters are worth looking for those that go on in the same way. */
const MANY = 32;

/** Characters after which the same sequences are left become one set, which llama.cpp follows as one. */
function inClasses(texts: ReadonlyMap<number, Sequence[]>): Headed[] {
  const entries = [...texts].map(([point, ones]) => {
    const tails = distinct(ones.map((one) => afterText(one, String.fromCodePoint(point).length)));
    return { point, ones, tails };
  });
  return [...Map.groupBy(entries, ({ tails }) => keyOfAll(tails)).values()].map((alike) => {
    const [first] = alike;
    if (alike.length === 1) return withCommonText(first!.ones);
    const chars = united(alike.map(({ point }): [number, number] => [point, point]));
    return { head: { chars }, tails: first!.tails };
  });
}

/** The longest text with which all of them begin, and what follows it. */
function withCommonText(sequences: readonly Sequence[]): Headed {
  const texts = sequences.map(([head]) => (head as { text: string }).text);
  let length = Math.min(...texts.map((text) => text.length));
  while (texts.some((text) => text.slice(0, length) !== texts[0]!.slice(0, length))) length--;
  // No character is cut in half.
  const [text] = texts;
  if (length > 1 && (text!.charCodeAt(length - 1) & 0xfc00) === 0xd800) length--;
  return { head: { text: text!.slice(0, length) }, tails: sequences.map((one) => afterText(one, length)) };
}

function afterText([head, ...tail]: Sequence, length: number): Sequence {
  const rest = (head as { text: string }).text.slice(length);
  return rest === "" ? tail : [{ text: rest }, ...tail];
}

/** Cuts all characters into pieces that the same sequences begin with. */
function pieces(
  texts: ReadonlyMap<number, Sequence[]>,
  classes: readonly { chars: Chars; tail: Sequence }[],
): Headed[] {
  const ends = new Set<number>();
  for (const point of texts.keys()) ends.add(point).add(point + 1);
  for (const [low, high] of classes.flatMap(({ chars }) => chars)) ends.add(low).add(high + 1);
  const starts = [...ends].sort((a, b) => a - b);
  const found = new Map<string, { ranges: [number, number][]; tails: Sequence[] }>();
  for (const [at, low] of starts.slice(0, -1).entries()) {
    const after = (texts.get(low) ?? []).map((one) => afterText(one, String.fromCodePoint(low).length));
    const within = classes.filter(({ chars }) => chars.some(([from, to]) => from <= low && low <= to));
    const tails = distinct([...after, ...within.map(({ tail }) => tail)]);
    if (tails.length === 0) continue;
    const key = keyOfAll(tails);
    const piece = found.get(key) ?? { ranges: [], tails };
    found.set(key, piece);
    piece.ranges.push([low, starts[at + 1]! - 1]);
  }
  return [...found.values()].map(({ ranges, tails }) => ({ head: { chars: united(ranges) }, tails }));
}

type First = { chars: Chars; isNullable: boolean };

/** With which characters each rule may begin, and whether it may be empty. */
function firstSets(grammar: Grammar): First[] {
  const first: First[] = grammar.map(() => ({ chars: [], isNullable: false }));
  for (let changed = true; changed; ) {
    changed = false;
    for (const rule of grammar.keys()) {
      const parts = grammar[rule]!.alternatives.map((one) => firstOfSequence(one, first));
      const chars = united(parts.flatMap(({ chars }) => chars));
      const isNullable = parts.some((part) => part.isNullable);
      if (isNullable === first[rule]!.isNullable && sameChars(chars, first[rule]!.chars)) continue;
      first[rule] = { chars, isNullable };
      changed = true;
    }
  }
  return first;
}

const sameChars = (a: Chars, b: Chars) =>
  a.length === b.length && a.every(([low, high], at) => low === b[at]![0] && high === b[at]![1]);

function firstOfSequence(sequence: Sequence, first: readonly First[]): First {
  let chars: Chars = [];
  for (const element of sequence) {
    const own = firstOfElement(element, first);
    chars = chars.length === 0 ? own.chars : united([...chars, ...own.chars]);
    if (!own.isNullable) return { chars, isNullable: false };
  }
  return { chars, isNullable: true };
}

function firstOfElement(element: Element, first: readonly First[]): First {
  if ("rule" in element) return first[element.rule]!;
  if ("chars" in element) return { chars: element.chars, isNullable: false };
  if ("item" in element) {
    const own = firstOfElement(element.item, first);
    return { chars: own.chars, isNullable: own.isNullable || element.min === 0 };
  }
  const point = element.text.codePointAt(0)!;
  return { chars: [[point, point]], isNullable: false };
}
