import { Ajv } from "ajv";
import { describe, expect, test } from "vitest";
import { Rules, Script, words } from "../../worker/engine/backends/script.ts";
import { smallestValue } from "../../worker/engine/backends/smallest-value.ts";

describe("a script", () => {
  test("takes the first rule that fits and is not spent, with the script's defaults", () => {
    const rules = new Rules(
      Script.parse({
        tokenMs: 5,
        rules: [
          { when: "door", times: 1, answer: "a" },
          { when: "door", waitMs: 9 },
        ],
      }),
    );
    expect(rules.take("the door")).toMatchObject({ rule: { answer: "a", tokenMs: 5 }, nth: 0 });
    expect(rules.take("the door")).toMatchObject({ rule: { waitMs: 9, tokenMs: 5 }, nth: 0 });
    expect(rules.take("the door").nth).toBe(1);
    expect(rules.take("a todo")).toEqual({ rule: { tokenMs: 5 }, nth: 0 });
  });

  test.each([
    ["one two", ["one", " two"]],
    [" a\nb ", [" a", "\nb", " "]],
    ["", []],
  ])("%j has the words %j", (text, expected) => {
    expect(words(text)).toEqual(expected);
  });
});

describe("the smallest value fits its schema", () => {
  test.each([
    { type: "object", properties: { a: { type: "string", minLength: 2 }, b: {} }, required: ["a"] },
    { type: "array", minItems: 2, items: { type: "number", minimum: 3 } },
    { anyOf: [{ type: "integer", exclusiveMinimum: 0 }, { type: "null" }] },
    { $ref: "#/$defs/x", $defs: { x: { type: "object", properties: { y: { const: 7 } }, required: ["y"] } } },
    { type: ["boolean", "null"] },
    { enum: ["only"] },
    { allOf: [{ type: "object" }, { properties: { a: { type: "integer", maximum: -2 } }, required: ["a"] }] },
  ])("%j", (schema) => {
    expect(new Ajv({ strict: false }).validate(schema, smallestValue(schema))).toBe(true);
  });
});
