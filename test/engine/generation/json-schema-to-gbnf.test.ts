import { describe, expect, test } from "vitest";
import { z } from "zod";
import { jsonGrammar } from "../../../worker/engine/generation/json-schema-to-gbnf.ts";
import { KamadoError } from "../../../worker/errors.ts";
import fc from "../../properties.ts";

/** The rule of the schema itself, after the alphabet that every grammar has. */
const rootOf = (schema: object | boolean) => jsonGrammar(schema as never).split("\n")[0];
const ruleOf = (schema: object) =>
  jsonGrammar(schema as never)
    .trim()
    .split("\n")
    .at(-1);

describe("a schema as a grammar", () => {
  test.each([
    [true, 'root ::= " "? value'],
    [{}, 'root ::= " "? value'],
    [{ type: "integer" }, 'root ::= " "? integer'],
    [{ const: 'a"\\b' }, String.raw`root ::= " "? "\"a\\\"\\\\b\""`],
    [{ const: { a: [1] } }, String.raw`root ::= " "? "{\"a\":[1]}"`],
  ])("%j is written directly", (schema, root) => {
    expect(rootOf(schema)).toBe(root);
  });

  test.each([
    [{ enum: ["x", 1, null] }, String.raw`r0 ::= "\"x\"" | "1" | "null"`],
    [{ type: ["string", "null"] }, "r0 ::= string | null"],
    [{ type: "string", minLength: 2, maxLength: 5 }, String.raw`r0 ::= "\"" char{2,5} "\""`],
    [{ type: "string", maxLength: 100_000, pattern: "^a" }, undefined],
    [{ type: "array", items: { type: "null" }, maxItems: 3 }, 'r1 ::= "[" ws (r0 (comma r0){0,2})? ws "]"'],
    [{ type: "array", items: { type: "null" }, minItems: 2 }, 'r1 ::= "[" ws r0 (comma r0){1,} ws "]"'],
  ])("%j ends in its own rule", (schema, rule) => {
    if (rule === undefined) expect(rootOf(schema)).toBe('root ::= " "? string');
    else expect(ruleOf(schema)).toBe(rule);
  });

  test("what zod makes can be written", () => {
    const schemas = [
      z.record(z.string(), z.number()),
      z.record(z.enum(["a", "b"]), z.string()),
      z.discriminatedUnion("t", [
        z.object({ t: z.literal("x") }),
        z.object({ t: z.literal("y"), n: z.int() }),
      ]),
      z.object({
        a: z.string().optional(),
        b: z.email(),
        c: z.array(z.url()).max(3),
        d: z.iso.date().nullable(),
      }),
      z.tuple([z.string(), z.number().min(0).max(1)]),
    ];
    for (const schema of schemas) expect(jsonGrammar(z.toJSONSchema(schema) as never)).toContain("root ::=");
  });

  test("a name that objects have by themselves is a name like any other", () => {
    for (const name of ["constructor", "toString", "__proto__"]) {
      const schema = JSON.parse(`{"type": "object", "required": ["${name}"]}`);
      expect(jsonGrammar(schema)).toContain(`\\"${name}\\"`);
      const reference = { $ref: `#/$defs/${name}`, $defs: {} };
      expect(() => jsonGrammar(reference)).toThrow("points nowhere");
    }
  });

  test.each([
    [{ type: "object", required: [{}] }],
    [{ type: "object", required: [JSON.parse('{"toString": null}')] }],
    [{ type: "object", required: [3] }],
  ])("required that lists no names is refused: %j", (schema) => {
    expect(() => jsonGrammar(schema as never)).toThrow("is not a list of names");
  });

  test("whatever is sent either becomes a grammar or is refused", () => {
    const keyword = fc.constantFrom(
      "type",
      "properties",
      "items",
      "anyOf",
      "allOf",
      "$ref",
      "enum",
      "required",
      "minItems",
    );
    const value = fc.letrec((tie) => ({
      schema: fc.dictionary(keyword, tie("any"), { maxKeys: 4 }),
      any: fc.oneof(
        { depthSize: "small" },
        fc.constantFrom("object", "array", "string", "#", "#/items", 3, null, true),
        fc.array(tie("schema"), { maxLength: 3 }),
        tie("schema"),
      ),
    })).schema;
    fc.assert(
      fc.property(value, (schema) => {
        try {
          expect(jsonGrammar(schema as never)).toContain("root ::=");
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(KamadoError);
        }
      }),
    );
  });

  test("one that would be enormous is refused", () => {
    const schema = { enum: Array.from({ length: 50_000 }, (_, n) => `option ${n}`) };
    expect(() => jsonGrammar(schema)).toThrow("is too large");
  });
});
