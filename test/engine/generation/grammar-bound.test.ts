import { describe, expect, test } from "vitest";
import {
  type Element,
  type Grammar,
  gbnf,
  type Sequence,
} from "../../../worker/engine/generation/grammar.ts";
import { boundOf, excessOf, MAX_STACKS } from "../../../worker/engine/generation/grammar-bound.ts";
import fc from "../../properties.ts";
import { GbnfStacks } from "./gbnf-stacks.ts";
import { randomGrammar, randomInput } from "./random-grammars.ts";

const text = (text: string): Element => ({ text });
const rule = (rule: number) => ({ rule });
const grammar = (...rules: Sequence[][]): Grammar =>
  rules.map((alternatives, at) => ({ alternatives, at: `#/${at}` }));

describe("the limit of the work with a grammar", () => {
  test("is never less than the stacks that an input really takes", () => {
    let bounded = 0;
    fc.assert(
      fc.property(randomGrammar, fc.infiniteStream(fc.nat()), (grammar, dice) => {
        const bound = boundOf(grammar);
        if (typeof bound !== "number") return;
        bounded++;
        const stacks = new GbnfStacks(gbnf(grammar));
        const input = randomInput(new GbnfStacks(gbnf(grammar)), dice);
        for (const char of input) {
          stacks.accept(char);
          expect(stacks.stacks.length).toBeLessThanOrEqual(bound);
        }
      }),
      { numRuns: 1_000 },
    );
    expect(bounded).toBeGreaterThan(100);
  });

  test("alternatives that multiply from rule to rule are too many ways, and the rule is named", () => {
    const levels = Array.from({ length: 5 }, (_, at) => [
      [text("["), rule(at + 1), text("]")],
      [text("["), rule(at + 1), text("]")],
    ]);
    expect(excessOf(grammar(...levels, [[text("x")]]))).toEqual({ of: "ways", at: "#/0" });
  });

  test("a rule that contains itself within such a choice has no limit", () => {
    const recursive = grammar([
      [text("["), rule(0), text("]")],
      [text("["), rule(0), text(")")],
      [text("x")],
    ]);
    expect(excessOf(recursive)).toEqual({ of: "ways", at: "#/0" });
    expect(excessOf(grammar([[text("["), rule(0), text("]")], [text("x")]]))).toBeUndefined();
  });

  test("an empty alternative counts where what follows begins like another one", () => {
    const spaces = { item: rule(1), min: 0, max: 1 };
    const six = (between: Element[]) =>
      grammar(
        [
          Array(6)
            .fill([spaces, ...between])
            .flat(),
        ],
        [[text(" ")]],
      );
    expect(excessOf(six([]))?.of).toBe("ways");
    expect(excessOf(six([text("x")]))).toBeUndefined();
  });

  test("values that differ in the same character are limited", () => {
    const values = (count: number) =>
      grammar(Array.from({ length: count }, (_, at) => [text(String.fromCodePoint(0x4e00 + at))]));
    expect(excessOf(values(MAX_STACKS))).toBeUndefined();
    expect(excessOf(values(MAX_STACKS + 1))).toEqual({ of: "stacks", at: "#/0" });
  });

  test("left recursion, which native code does not survive, is refused", () => {
    expect(excessOf(grammar([[rule(1), text("a")]], [[rule(0)], [text("b")]]))?.of).toBe("paths");
    expect(excessOf(grammar([[{ item: { chars: [[97, 97]] }, min: 0, max: 1 }, rule(0)]]))?.of).toBe("paths");
  });

  test("paths along which native code looks for left recursion are limited", () => {
    const levels = Array.from({ length: 30 }, (_, at) => [
      [rule(at + 1), text("a")],
      [rule(at + 1), text("b")],
    ]);
    expect(excessOf(grammar(...levels, [[text("x")]]))?.of).toBe("paths");
  });
});
