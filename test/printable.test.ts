// Text from outside as it is shown to people.
import { describe, expect, test } from "vitest";
import { printable, printableJson } from "../worker/printable.ts";
import fc from "./properties.ts";

const ESC = "\u001b";
/** Everything a terminal acts on, or that changes how the text around it looks. */
const ACTS = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029\ufffe\uffff]|[\u034f\u115f\u1160\u3164\uffa0]/u;
const any = fc.oneof(
  fc.string({ unit: "binary" }),
  fc
    .array(
      fc.constantFrom(
        ESC,
        "[31m",
        "\u009b",
        "\u202e",
        "\u200b",
        "\ud83d",
        "🍞",
        "\n",
        "\t",
        "a",
        "\u{e0041}",
      ),
    )
    .map((parts) => parts.join("")),
);

describe("a text that is shown", () => {
  test.for([
    [`a${ESC}[2Jb`, "a\\u001b[2Jb"],
    ["a\u009b31mb", "a\\u009b31mb"],
    ["a\r\nb\tc", "a\\r\\nb\\tc"],
    ["a\u202eb\u2066c", "a\\u202eb\\u2066c"],
    ["a\u200bb\ufeffc\u00add", "a\\u200bb\\ufeffc\\u00add"],
    ["a\ud800b", "a\\ud800b"],
    ["a\u{e0041}b", "a\\udb40\\udc41b"],
    ["a\u2028b\ufffec", "a\\u2028b\\ufffec"],
    ["日本語 é ❤️ 🍞 ½ «a» \\n", "日本語 é ❤️ 🍞 ½ «a» \\n"],
  ])("%j becomes %j", ([text, expected]) => {
    expect(printable(text!)).toBe(expected);
  });

  test("keeps its line ends and tabs where it may have lines", () => {
    expect(printable(`a\n\tb\r${ESC}`, { lines: true })).toBe("a\n\tb\\r\\u001b");
  });

  test("has nothing that acts, is never longer than its limit, and stays as it is when it is shown again", () => {
    fc.assert(
      fc.property(any, fc.integer({ min: 40, max: 80 }), (text, max) => {
        const shown = printable(text, { max });
        expect(shown).not.toMatch(ACTS);
        expect(shown.length).toBeLessThanOrEqual(max);
        expect(printable(shown, { max })).toBe(shown);
        expect(printable(text, { max, lines: true }).replaceAll(/[\n\t]/g, "")).not.toMatch(ACTS);
      }),
      { numRuns: 500 },
    );
  });

  test("says how long it was when it is cut", () => {
    expect(printable("x".repeat(900_000))).toHaveLength(4_000);
    expect(printable("x".repeat(900_000), { max: 40 })).toBe(`${"x".repeat(19)}… (900000 characters)`);
  });
});

test("JSON that is shown is the same value, without anything that acts", () => {
  fc.assert(
    fc.property(fc.dictionary(any, any), fc.constantFrom(undefined, 2), (value, space) => {
      const shown = printableJson(value, space);
      expect(shown.replaceAll("\n", "")).not.toMatch(ACTS);
      expect(JSON.parse(shown)).toEqual(value);
    }),
  );
});
