// Numbers within limits as sequences of a grammar: whole numbers exactly, others between the whole numbers around their limits. Pure.
import { charsOf, type Element, type Sequence } from "./grammar.ts";

/** Both included; infinite where there is none. */
export type Range = { min: number; max: number };

/** Larger limits are left to whoever checks the answer: not every whole number above can be told apart. */
const MAX_DIGITS = 15;
const LARGEST = 10 ** MAX_DIGITS - 1;
const MORE_DIGITS = 16;

const INFINITE: Range = { min: Number.NEGATIVE_INFINITY, max: Number.POSITIVE_INFINITY };
export const isInfinite = ({ min, max }: Range) => min === INFINITE.min && max === INFINITE.max;

/** What a schema says; undefined when no number fits. `whole`: only whole numbers are meant. */
export function rangeOf(schema: Record<string, unknown>, whole: boolean): Range | undefined {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema;
  const numbers = (values: unknown[]) => values.filter((value): value is number => typeof value === "number");
  const step = (value: unknown, by: number) =>
    typeof value === "number" && whole && Number.isInteger(value) ? value + by : value;
  const min = Math.max(INFINITE.min, ...numbers([minimum, step(exclusiveMinimum, 1)]));
  const max = Math.min(INFINITE.max, ...numbers([maximum, step(exclusiveMaximum, -1)]));
  if (min > max || (whole && Math.ceil(min) > Math.floor(max))) return undefined;
  return {
    min: limited(whole ? Math.ceil(min) : Math.floor(min)),
    max: limited(whole ? Math.floor(max) : Math.ceil(max)),
  };
}

const limited = (value: number) =>
  Math.abs(value) > LARGEST ? Math.sign(value) * Number.POSITIVE_INFINITY : value;

/** Whole numbers. A limit of a side that is infinite is not needed. */
export function wholeNumbers({ min, max }: Range): Sequence[] {
  return [
    ...negative({ min, max }, (range) => magnitudes({ ...range, min: Math.max(1, range.min) })),
    ...(max >= 0 ? magnitudes({ min: Math.max(0, min), max }) : []),
  ];
}

/** Numbers with `fraction` after them where it fits. `zeros` is a fraction of nothing. */
export function numbers({ min, max }: Range, fraction: Element, zeros: Element): Sequence[] {
  const upTo = (range: Range): Sequence[] => {
    if (range.max === INFINITE.max) return magnitudes(range).map((one) => [...one, fraction]);
    const below = range.max > range.min ? magnitudes({ min: range.min, max: range.max - 1 }) : [];
    return [...below.map((one) => [...one, fraction]), [text(String(range.max)), zeros]];
  };
  return [...negative({ min, max }, upTo), ...(max >= 0 ? upTo({ min: Math.max(0, min), max }) : [])];
}

function negative({ min, max }: Range, of: (magnitudes: Range) => Sequence[]): Sequence[] {
  if (min >= 0) return [];
  return of({ min: Math.max(0, -max), max: -min }).map((one) => [text("-"), ...one]);
}

/** Whole numbers that are not negative. */
function magnitudes({ min, max }: Range): Sequence[] {
  if (min > max) return [];
  const shortest = String(min).length;
  const longest = max === INFINITE.max ? MORE_DIGITS : String(max).length;
  const made: Sequence[] = [];
  for (let length = shortest; length <= longest; length++) {
    const low = length === shortest ? String(min) : `1${"0".repeat(length - 1)}`;
    const high = length === longest && max !== INFINITE.max ? String(max) : "9".repeat(length);
    made.push(...sameLength(low, high));
  }
  return made;
}

/** Numbers with as many digits as both limits. */
function sameLength(low: string, high: string): Sequence[] {
  if (low === high) return [low === "" ? [] : [text(low)]];
  const rest = low.length - 1;
  const [first, last] = [Number(low[0]), Number(high[0])];
  const [lowRest, highRest] = [low.slice(1), high.slice(1)];
  if (first === last) return sameLength(lowRest, highRest).map((one) => [text(low[0]!), ...one]);
  const nines = "9".repeat(rest);
  const zeros = "0".repeat(rest);
  // The first and the last digit allow only some of what follows, unless that is everything.
  const from = lowRest === zeros ? first : first + 1;
  const to = highRest === nines ? last : last - 1;
  return [
    ...(from > first ? sameLength(lowRest, nines).map((one) => [text(low[0]!), ...one]) : []),
    ...(from <= to ? [[{ chars: charsOf(`${from}-${to}`) }, ...anyDigits(rest)]] : []),
    ...(to < last ? sameLength(zeros, highRest).map((one) => [text(high[0]!), ...one]) : []),
  ];
}

const anyDigits = (count: number): Element[] =>
  count === 0 ? [] : [{ item: { chars: charsOf("0-9") }, min: count, max: count }];
const text = (text: string): Element => ({ text });
