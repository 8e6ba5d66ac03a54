// Which answers only repeat themselves, and which long and even ones do not.
import { expect, test } from "vitest";
import { RepetitionWatch, USUAL_RULE } from "../../../worker/engine/generation/repetition.ts";

/** After how many tokens the answer is ended; undefined when it is not. */
function endOf(tokens: readonly string[], rule = USUAL_RULE): number | undefined {
  const watch = new RepetitionWatch(rule);
  const at = tokens.findIndex((token) => watch.push(token));
  return at === -1 ? undefined : at + 1;
}

const words = (text: string) => text.match(/\s*\S+|\s+/g) ?? [];
const times = (count: number, line: (n: number) => string) =>
  words(Array.from({ length: count }, (_, n) => line(n)).join(""));
const story = words("Once upon a time there was a small house by the sea, and nobody lived in it. ");

test.each([
  ["one word", times(4_000, () => " the"), 512],
  ["one emoji", times(4_000, () => " 😂"), 512],
  ["a sentence", [...story, ...times(1_000, () => "I am not sure what to say. ")], undefined],
  ["a sentence in Japanese", Array.from("牛乳を買う。".repeat(600)), 512],
  [
    "a paragraph",
    times(40, () => `${story.join("").repeat(1)}It was old and its windows were blue. `),
    undefined,
  ],
])("%s again and again is ended soon", (_, tokens, end) => {
  const at = endOf(tokens);
  expect(at).toBeGreaterThanOrEqual(512);
  expect(at).toBeLessThan(700);
  if (end !== undefined) expect(at).toBe(end);
});

test("a block that is as long as the rule allows is ended after four times", () => {
  const block = Array.from({ length: 256 }, (_, n) => ` w${n}`);
  expect(endOf(Array(10).fill(block).flat())).toBe(1_024);
  const longer = Array.from({ length: 257 }, (_, n) => ` w${n}`);
  expect(endOf(Array(10).fill(longer).flat())).toBeUndefined();
});

test.each([
  ["a list of a thousand zeros", times(1_000, () => "0, ").slice(0, 2_000)],
  ["a table with the same cells but one", times(400, (n) => `| yes | no | ${n} |\n`)],
  ["numbered lines of code", times(300, (n) => `  items[${n}] = null;\n`)],
  ["the rule of a wide table", times(600, () => "----|").slice(0, 600)],
  ["deep indentation", Array(2_000).fill("    ")],
  ["four hundred times a word, which somebody may want", times(400, () => " hello")],
  [
    "a bitmap as words, in rows that differ",
    times(128, (n) => `[${[1, 2, 4, 8].map((bit) => (n & bit) > 0)}],\n`),
  ],
  ["a refrain between verses", times(30, (n) => `Verse ${n} is new. Row, row, row your boat. `)],
])("%s is not", (_, tokens) => {
  expect(endOf(tokens)).toBeUndefined();
});

test("signs without words are ended at last", () => {
  expect(endOf(times(5_000, () => " -"))).toBe(2_048);
});

test("tokens without text, which are parts of characters, end nothing", () => {
  expect(endOf(Array(5_000).fill(""))).toBeUndefined();
});

test("a row that was interrupted is counted anew", () => {
  const row = Array<string>(500).fill(" the");
  expect(endOf([...row, " end", ...row])).toBeUndefined();
});

test("a request's own rule replaces the usual one", () => {
  const rule = { shortest: 2, longest: 5, times: 3, fewest: { words: 1, signs: 1 } };
  expect(endOf(words(" a b a b a b a b"), rule)).toBe(6);
  expect(endOf(words("a a a a"), rule)).toBeUndefined();
});
