// A grammar as data: rules, their alternatives, and sets of characters; and its text in GBNF. Who makes one from a schema is
// json-schema-to-gbnf.ts, who removes its ambiguity left-factoring.ts, who bounds what is left grammar-bound.ts. Pure.

/** Code points as ranges: sorted, apart from each other, both ends included. */
export type Chars = readonly (readonly [number, number])[];

/** `rule` is the number of a rule. Only a rule or a set of characters is repeated; `max` may be Infinity. */
export type Element =
  | { text: string }
  | { chars: Chars }
  | { rule: number }
  | { item: Item; min: number; max: number };
export type Item = { chars: Chars } | { rule: number };
export type Sequence = readonly Element[];
/** `at` is the place in the schema that the rule comes from. An empty sequence matches nothing at all, which is allowed. */
export type Rule = { alternatives: readonly Sequence[]; at: string };
/** The first rule is the root. */
export type Grammar = readonly Rule[];

const LAST = 0x10ffff;

/** `"a-z_"` -> the set of these characters. A range is written with a hyphen. */
export function charsOf(text: string): Chars {
  const points = [...text].map((char) => char.codePointAt(0)!);
  const ranges: [number, number][] = [];
  for (let at = 0; at < points.length; at++) {
    const isRange = points[at + 1] === 0x2d && at + 2 < points.length;
    ranges.push([points[at]!, points[isRange ? at + 2 : at]!]);
    if (isRange) at += 2;
  }
  return united(ranges);
}

/** All characters but these. */
export function without(chars: Chars): Chars {
  const gaps: [number, number][] = [];
  let from = 0;
  for (const [low, high] of chars) {
    if (low > from) gaps.push([from, low - 1]);
    from = high + 1;
  }
  return from > LAST ? gaps : [...gaps, [from, LAST]];
}

export function united(ranges: readonly (readonly [number, number])[]): Chars {
  const all: [number, number][] = [];
  for (const [low, high] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const last = all.at(-1);
    if (last && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else all.push([low, high]);
  }
  return all;
}

// Elements are shared by many sequences, and never changed.
const keys = new WeakMap<Element, string>();

/** The same for two elements that are alike, and for no others. */
export function keyOfElement(element: Element): string {
  const known = keys.get(element);
  if (known !== undefined) return known;
  const key = elementKey(element);
  keys.set(element, key);
  return key;
}

function elementKey(element: Element): string {
  if ("text" in element) return JSON.stringify(element.text);
  if ("chars" in element) return `[${element.chars.join(";")}]`;
  if ("rule" in element) return `${element.rule}`;
  return `${keyOfElement(element.item)}{${element.min},${element.max}}`;
}

export function keyOf(sequence: Sequence): string {
  let key = "";
  for (const element of sequence) key += `${keyOfElement(element)} `;
  return key;
}

/** The rules as llama.cpp reads them. */
export function gbnf(grammar: Grammar): string {
  return grammar
    .map(({ alternatives }, at) => `${nameOf(at)} ::= ${alternatives.map(sequenceText).join(" | ")}\n`)
    .join("");
}

const nameOf = (rule: number) => (rule === 0 ? "root" : `r${rule}`);
const sequenceText = (sequence: Sequence) =>
  sequence.length === 0 ? '""' : sequence.map(elementText).join(" ");

function elementText(element: Element): string {
  if ("text" in element) return `"${[...element.text].map((char) => escaped(char, '"\\')).join("")}"`;
  if ("chars" in element) return classText(element.chars);
  if ("rule" in element) return nameOf(element.rule);
  return elementText(element.item) + timesText(element);
}

function timesText({ min, max }: { min: number; max: number }): string {
  if (max === Number.POSITIVE_INFINITY) return min === 0 ? "*" : `{${min},}`;
  return min === 0 && max === 1 ? "?" : min === max ? `{${min}}` : `{${min},${max}}`;
}

function classText(chars: Chars): string {
  const text = (point: number) => escaped(String.fromCodePoint(point), '"\\[]-^');
  const ranges = chars.map(([low, high]) => (low === high ? text(low) : `${text(low)}-${text(high)}`));
  return `[${ranges.join("")}]`;
}

/** Control characters, halves of characters and what has a meaning in GBNF as numbers, the rest as it is. */
function escaped(char: string, special: string): string {
  const point = char.codePointAt(0)!;
  const isPlain = point >= 0x20 && point < 0x7f ? !special.includes(char) : point > 0x9f && point < 0xd800;
  if (isPlain) return char;
  return point > 0xffff
    ? `\\U${point.toString(16).padStart(8, "0")}`
    : `\\u${point.toString(16).padStart(4, "0")}`;
}
