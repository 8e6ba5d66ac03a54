import { describe, expect, test } from "vitest";
import {
  charsOf,
  type Element,
  type Grammar,
  gbnf,
  type Sequence,
} from "../../../worker/engine/generation/grammar.ts";
import { excessOf } from "../../../worker/engine/generation/grammar-bound.ts";
import { leftFactored } from "../../../worker/engine/generation/left-factoring.ts";
import fc from "../../properties.ts";
import { GbnfStacks } from "./gbnf-stacks.ts";
import { randomGrammar, randomInput } from "./random-grammars.ts";

const text = (text: string): Element => ({ text });
const rule = (rule: number) => ({ rule });
const grammar = (...rules: Sequence[][]): Grammar => rules.map((alternatives) => ({ alternatives, at: "#" }));
const mostStacks = (grammar: Grammar, input: string) => {
  const stacks = new GbnfStacks(gbnf(grammar));
  const counts = [...input].map((char) => {
    stacks.accept(char);
    return stacks.stacks.length;
  });
  return Math.max(...counts);
};

describe("alternatives that begin alike", () => {
  test.each<[string, Grammar, string]>([
    ["texts", grammar([[text("abc1")], [text("abc2")], [text("abd")]]), "abc2"],
    [
      "equal rules",
      grammar(
        [
          [rule(1), text("1")],
          [rule(2), text("2")],
        ],
        [[text("ab")]],
        [[text("ab")]],
      ),
      "ab2",
    ],
    [
      "a text and a set",
      grammar([[text("abc")], [{ item: { chars: charsOf("a-z") }, min: 2, max: 2 }]]),
      "ab",
    ],
    [
      "repetitions",
      grammar([[{ item: rule(1), min: 0, max: 3 }], [{ item: rule(1), min: 2, max: 5 }]], [[text("ab")]]),
      "ababab",
    ],
  ])("%s are followed as one", (_, grammar, input) => {
    expect(mostStacks(grammar, input)).toBeGreaterThan(1);
    const factored = leftFactored(grammar)!;
    expect(excessOf(factored)).toBeUndefined();
    const stacks = new GbnfStacks(gbnf(factored));
    for (const char of input) {
      stacks.accept(char);
      // As many as there are characters to go on with, and the end.
      expect(new Set(stacks.stacks.map((stack) => JSON.stringify(stack?.part))).size).toBe(
        stacks.stacks.length,
      );
    }
    expect(stacks.isComplete).toBe(true);
  });

  test("no character is cut in half", () => {
    const factored = leftFactored(grammar([[text("🎀")], [text("🎁")]]))!;
    expect(new GbnfStacks(gbnf(factored)).accepts("🎁")).toBe(true);
  });

  test("what a grammar allows stays the same", () => {
    let compared = 0;
    fc.assert(
      fc.property(randomGrammar, fc.infiniteStream(fc.nat()), (before, dice) => {
        const after = leftFactored(before, 20_000);
        if (after === undefined) return;
        compared++;
        for (const [from, to] of [
          [before, after],
          [after, before],
        ] as const) {
          const input = randomInput(new GbnfStacks(gbnf(from)), dice);
          const [one, other] = [new GbnfStacks(gbnf(from)), new GbnfStacks(gbnf(to))];
          for (const char of input) {
            one.accept(char);
            other.accept(char);
            expect([input, other.isComplete]).toEqual([input, one.isComplete]);
            expect(other.stacks.length > 0).toBe(one.stacks.length > 0);
          }
        }
      }),
      { numRuns: 300 },
    );
    expect(compared).toBeGreaterThan(100);
  });
});
