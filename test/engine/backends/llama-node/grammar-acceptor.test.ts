import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import { Acceptor } from "../../../../worker/engine/backends/llama-node/grammar-acceptor.ts";
import { smallestValue } from "../../../../worker/engine/backends/scripted/smallest-value.ts";
import { jsonGrammar } from "../../../../worker/engine/generation/json-schema-to-gbnf.ts";
import fc from "../../../properties.ts";

const verdict = (acceptor: Acceptor, text: string) => acceptor.after(text)?.mayEnd === true;

describe("a grammar takes", () => {
  test.each<[string, string[], string[]]>([
    ['root ::= "a" "b"?', ["a", "ab"], ["", "b", "abb"]],
    ['root ::= "a"* "b"', ["b", "aaab"], ["a", "aba"]],
    ['root ::= "a"+', ["a", "aaa"], [""]],
    ['root ::= "a"{2,3}', ["aa", "aaa"], ["a", "aaaa"]],
    ['root ::= "a"{2}', ["aa"], ["a", "aaa"]],
    ['root ::= "a"{2,}', ["aa", "aaaaa"], ["a"]],
    ['root ::= ("a" | "b" "c") "d"', ["ad", "bcd"], ["acd", "bd"]],
    ["root ::= [a-c^-]", ["a", "b", "c", "^", "-"], ["d"]],
    ["root ::= [^a-c\\x00-\\x1F]", ["d", "\u{1f600}", "-"], ["b", "\n"]],
    ['root ::= "\\"" "\\\\" [\\]\\\\n]', ['"\\]', '"\\n', '"\\\\'], ['"\\"']],
    ['root ::= x x\nx ::= "a" | ', ["", "a", "aa"], ["aaa"]],
    ['root ::= (x?)* "b"\nx ::= "a"?', ["b", "aab"], ["a"]],
    ['root ::= "(" root? ")"', ["()", "((()))"], ["(", "())"]],
  ])("%s", (grammar, good, bad) => {
    const acceptor = Acceptor.of(grammar);
    expect(good.filter((text) => !verdict(acceptor, text))).toEqual([]);
    expect(bad.filter((text) => verdict(acceptor, text))).toEqual([]);
  });
});

const SCHEMAS = [
  true,
  { type: "object", properties: { a: { type: "boolean" }, b: { enum: ["x", 'y"z', 3] } }, required: ["a"] },
  { type: "array", minItems: 2, maxItems: 3, items: { type: "integer" } },
  { anyOf: [{ const: "left" }, { type: "object", properties: {}, additionalProperties: { type: "null" } }] },
  { type: "string", minLength: 2, maxLength: 5 },
  { type: "object", properties: { next: { $ref: "#" }, n: { type: "number" } }, required: ["n"] },
];

/** Numbers of no more digits than a grammar lets a model write. */
const short = (_: string, value: unknown) =>
  typeof value === "number" ? Math.round((value % 1e6) * 100) / 100 : value;

describe("JSON under a schema", () => {
  test.each(SCHEMAS.map((schema) => [schema]))("%j takes a value that fits", (schema) => {
    const text = JSON.stringify(smallestValue(schema));
    expect(verdict(Acceptor.of(jsonGrammar(schema)), text)).toBe(true);
  });

  test("any compact JSON is taken where anything goes, and none of its beginnings that is unfinished", () => {
    const acceptor = Acceptor.of(jsonGrammar({ type: "object" }));
    const value = fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue({ stringUnit: "grapheme" }));
    fc.assert(
      fc.property(value, (value) => {
        const text = JSON.stringify(value, short).replaceAll("\x7f", "?");
        expect(verdict(acceptor, text)).toBe(true);
        expect(verdict(acceptor, text.slice(0, -1))).toBe(false);
        expect(acceptor.after(text)!.after(" }")).toBeUndefined();
      }),
    );
  });

  test("whatever is drawn along it and may end is JSON that fits", () => {
    const letters = [...'{}[]":, abxyz\\nulltruefalse0123456789-.eE"left'];
    for (const schema of SCHEMAS) {
      const validate = new Ajv2020({ strict: false }).compile(schema);
      const drawn = fc.array(fc.constantFrom(...letters), { minLength: 1, maxLength: 60 });
      fc.assert(
        fc.property(drawn, (letters) => {
          let [acceptor, text] = [Acceptor.of(jsonGrammar(schema)), ""];
          for (const letter of letters) {
            const next = acceptor.after(letter);
            if (next) [acceptor, text] = [next, text + letter];
            if (acceptor.mayEnd) expect([text, validate(JSON.parse(text))]).toEqual([text, true]);
          }
        }),
        { numRuns: 50 },
      );
    }
  });
});

test("a text of any length can be demanded", () => {
  const acceptor = Acceptor.of(jsonGrammar({ const: "x".repeat(200_000) }));
  expect(acceptor.after(`"${"x".repeat(100)}`)).toBeDefined();
  expect(acceptor.after('"y')).toBeUndefined();
});
