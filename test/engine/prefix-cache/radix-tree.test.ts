import { describe, expect, test } from "vitest";
import { RadixTree, sharedPrefix } from "../../../worker/engine/prefix-cache/radix-tree.ts";
import fc from "../../properties.ts";

const tokens = fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 8 });
const change = fc.record({ holder: fc.integer({ min: 0, max: 6 }), tokens: fc.option(tokens) });

describe("a tree of prefixes", () => {
  test("knows who shares how much with a prompt", () => {
    const tree = new RadixTree<string>();
    tree.put("instructions", [1, 2, 3]);
    tree.put("a job", [1, 2, 3, 4, 5]);
    tree.put("another", [1, 2, 9]);
    tree.put("a stranger", [7]);
    expect(tree.shared([1, 2, 3, 4, 8])).toEqual(
      new Map([
        ["instructions", 3],
        ["a job", 4],
        ["another", 2],
      ]),
    );
    expect([tree.common([1, 2, 3, 4, 8], 2), tree.common([1, 2, 3, 4, 8], 3), tree.common([1], 4)]).toEqual([
      3, 2, 0,
    ]);
  });

  test("says what a look at each holder would say, whatever was put and deleted before", () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 30 }), tokens, (changes, prompt) => {
        const tree = new RadixTree<number>();
        const held = new Map<number, number[]>();
        for (const { holder, tokens } of changes) {
          if (tokens === null) {
            tree.delete(holder);
            held.delete(holder);
          } else {
            tree.put(holder, tokens);
            held.set(holder, tokens);
          }
        }
        const shares = [...held].map(([holder, tokens]) => [holder, sharedPrefix(tokens, prompt)] as const);
        expect(tree.shared(prompt)).toEqual(new Map(shares.filter(([, length]) => length > 0)));
        expect(tree.size).toBe(held.size);
        for (const count of [1, 2, 3]) {
          const lengths = shares.map(([, length]) => length).sort((a, b) => b - a);
          expect(tree.common(prompt, count)).toBe(lengths[count - 1] ?? 0);
        }
      }),
    );
  });
});
