// Small grammars with much ambiguity, and inputs that they allow.
import type { Element, Grammar, Item, Sequence } from "../../../worker/engine/generation/grammar.ts";
import { charsOf } from "../../../worker/engine/generation/grammar.ts";
import fc from "../../properties.ts";
import type { GbnfStacks } from "./gbnf-stacks.ts";

const RULES = 4;
const chars = fc.constantFrom("a", "ab", "a-c", "b-d").map((text) => ({ chars: charsOf(text) }));
const text = fc.constantFrom("a", "b", "ab", "abc", "aé").map((text): Element => ({ text }));

/** Only after a character does a rule come to itself or to an earlier one: there is no left recursion. */
const rule = (from: number) => fc.integer({ min: from, max: RULES - 1 }).map((rule) => ({ rule }));
const repeated = (item: fc.Arbitrary<Item>): fc.Arbitrary<Element> =>
  fc.record({
    item,
    min: fc.nat({ max: 2 }),
    max: fc.constantFrom(2, 3, Number.POSITIVE_INFINITY),
  });

const solid = fc.oneof(text, chars);
const nested = fc
  .tuple(solid, fc.array(fc.oneof(text, rule(0)), { maxLength: 2 }))
  .map(([first, rest]): Sequence => [first, ...rest]);

const sequence = (own: number): fc.Arbitrary<Sequence> => {
  if (own + 1 === RULES) return nested;
  // Only the last rule, which is never empty, is repeated.
  const parts = fc.oneof(text, chars, repeated(chars), repeated(rule(RULES - 1)), rule(own + 1));
  return fc.oneof(fc.array(parts, { maxLength: 3 }), nested);
};

export const randomGrammar: fc.Arbitrary<Grammar> = fc
  .tuple(
    ...Array.from({ length: RULES }, (_, own) => fc.array(sequence(own), { minLength: 1, maxLength: 3 })),
  )
  .map((rules) => rules.map((alternatives, own) => ({ alternatives, at: `#/${own}` })));

const MOST_CHARACTERS = 15;
const MOST_STACKS = 100;

/** What the grammar allows, drawn character by character. */
export function randomInput(stacks: GbnfStacks, dice: Iterator<number>): string {
  let input = "";
  for (let left = MOST_CHARACTERS; left > 0 && stacks.stacks.length < MOST_STACKS; left--) {
    const { next } = stacks;
    if (next.length === 0) return input;
    const char = String.fromCodePoint(next[dice.next().value % next.length]!);
    stacks.accept(char);
    input += char;
  }
  return input;
}
