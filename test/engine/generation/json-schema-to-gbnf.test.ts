import { describe, expect, test } from "vitest";
import { z } from "zod";
import { MAX_STACKS } from "../../../worker/engine/generation/grammar-bound.ts";
import { jsonGrammar, saysMore } from "../../../worker/engine/generation/json-schema-to-gbnf.ts";
import { KamadoError } from "../../../worker/errors.ts";
import fc from "../../properties.ts";
import { GbnfStacks } from "./gbnf-stacks.ts";
import { randomInput } from "./random-grammars.ts";

const accepts = (schema: object | boolean, text: string) =>
  new GbnfStacks(jsonGrammar(schema as never)).accepts(text);

describe("a schema as a grammar", () => {
  test.each<[object | boolean, string[], string[]]>([
    [true, ['{"a": [1, "x", null]}', "-0.5e+10", "true", "[]", "{}"], ["", "[1,]", "01", "nul", '{"a"}']],
    [{}, ["1"], ["a"]],
    [{ type: "integer" }, ["0", "-12"], ["1.5", "", "-"]],
    [{ type: "string" }, ['""', String.raw`"é\u00e9\n"`], ['"', '"\n"', String.raw`"\x"`]],
    [{ const: 'a"\\b' }, [String.raw`"a\"\\b"`], ['"a"']],
    [{ const: { a: [1] } }, ['{"a":[1]}'], ['{"a":[2]}', "{}"]],
    [{ enum: ["x", "xy", 1, null] }, ['"x"', '"xy"', "1", "null"], ['"y"', '"xyz"', "2"]],
    [{ type: ["string", "null"] }, ['"a"', "null"], ["1"]],
    [{ type: "string", minLength: 2, maxLength: 4 }, ['"ab"', '"abcd"'], ['"a"', '"abcde"']],
    [{ type: "string", maxLength: 100_000, pattern: "^a" }, ['"b"'], ["1"]],
    [{ type: "array", items: { type: "null" }, maxItems: 2 }, ["[]", "[null, null]"], ["[null,null,null]"]],
    [{ type: "array", items: { type: "null" }, minItems: 2 }, ["[null,null]"], ["[]", "[null]"]],
    [{ type: "array", prefixItems: [{ const: 1 }, true], items: false }, ["[1,2]"], ["[1]", "[1,2,3]"]],
    [
      { type: "object", properties: { a: { const: 1 }, b: { const: 2 }, c: { const: 3 } }, required: ["b"] },
      ['{"b":2}', '{"a": 1, "b": 2, "c": 3}', '{ "b":2,"c":3 }'],
      ["{}", '{"a":1}', '{"a":1,"c":3}', '{"b":2,"a":1}', '{"b":2,}'],
    ],
    [{ type: "object", additionalProperties: { const: 1 } }, ["{}", '{"x":1,"y":1}'], ['{"x":2}', "{,}"]],
    [
      { type: "object", properties: { a: { const: 1 } }, additionalProperties: { const: 2 } },
      ["{}", '{"a":1}', '{"a":1,"b":2}', '{"ab":2}'],
      ['{"ab":1}', '{"b":2,"a":1}'],
    ],
    [{ type: "string", maxLength: 600 }, [`"${"x".repeat(600)}"`], [`"${"x".repeat(601)}"`]],
    [{ type: "integer", minimum: 3, maximum: 5 }, ["3", "4", "5"], ["2", "6", "30", "-3", "3.5", ""]],
    [
      { type: "integer", minimum: 98, maximum: 1_203 },
      ["98", "100", "999", "1203"],
      ["97", "1204", "9", "2000"],
    ],
    [{ type: "integer", minimum: -12, maximum: 7 }, ["-12", "-1", "0", "7"], ["-13", "8", "-20", "10"]],
    [{ type: "integer", exclusiveMinimum: 0, exclusiveMaximum: 10 }, ["1", "9"], ["0", "10", "-1"]],
    [{ type: "integer", minimum: 1_990 }, ["1990", "20000", "2000"], ["1989", "0", "-2000", "199"]],
    [{ type: "integer", maximum: -5 }, ["-5", "-99"], ["-4", "0", "5"]],
    [{ type: "integer", minimum: 2.5, maximum: 3.5 }, ["3"], ["2", "4"]],
    [{ type: "number", minimum: 0, maximum: 1 }, ["0", "0.25", "1", "1.0"], ["1.5", "2", "-0.1", "1e3"]],
    [{ type: "number", minimum: -2, maximum: 10 }, ["-2", "-1.5", "9.9", "10"], ["-2.5", "10.1", "11"]],
    [{ type: "number", minimum: 0 }, ["0.5", "123"], ["-1"]],
    [
      { type: "array", items: [{ const: 1 }, { const: 2 }], additionalItems: false },
      ["[1,2]"],
      ["[2,1]", "[1,2,3]"],
    ],
    [{ type: "array", items: [{ const: 1 }], minItems: 1, maxItems: 1 }, ["[1]"], ["[]", "[1,2]"]],
    [{ $ref: "#/$defs/My%20Type", $defs: { "My Type": { enum: ["x"] } } }, ['"x"'], ['"y"']],
    [{ $ref: "#/$defs/a~1b%25", $defs: { "a/b%": { const: 1 } } }, ["1"], ["2"]],
    [{ $ref: "#item", $defs: { a: { $anchor: "item", const: 1 } } }, ["1"], ["2"]],
    [
      { $ref: "#/$defs/a", minimum: 3, $defs: { a: { type: "integer", maximum: 4 } } },
      ["3", "4"],
      ["2", "5"],
    ],
    [
      {
        allOf: [
          { type: "integer", minimum: 3 },
          { minimum: 1, maximum: 9 },
        ],
      },
      ["3", "9"],
      ["1", "10"],
    ],
    [
      {
        properties: { a: { type: "null" } },
        required: ["a"],
        not: { type: "string" },
        if: {},
        dependentRequired: {},
      },
      ['{"a":null}'],
      ["{}"],
    ],
    [
      JSON.parse(
        '{"properties": {"a": {"const": 1}}, "if": {}, "then": {"properties": {"b": {"const": 2}}}}',
      ),
      ['{"a":1,"b":2}', '{"b":2}'],
      ['{"c":1}'],
    ],
    [
      { type: "object", patternProperties: { "^x": { const: 1 } }, additionalProperties: false },
      ['{"x":1}'],
      ['{"x":2}'],
    ],
    [{ properties: { a: { const: 1 }, b: false }, required: ["a"] }, ['{"a":1}'], ['{"a":1,"b":2}']],
  ])("%j allows what fits it and nothing else", (schema, fitting, others) => {
    for (const text of fitting) expect([text, accepts(schema, text)]).toEqual([text, true]);
    for (const text of others) expect([text, accepts(schema, text)]).toEqual([text, false]);
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
      expect(accepts(schema, `{"${name}":1}`)).toBe(true);
      expect(accepts(schema, "{}")).toBe(false);
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

  // Each is at most 60 KB, and took the engine up to 27 s.
  const names = Array.from({ length: 3_000 }, (_, n) => n.toString(36));
  const properties = Object.fromEntries(names.map((name) => [name, { type: "object" }]));
  test.each([
    ["properties of thousands of parts", { allOf: names.map((name) => ({ properties: { [name]: true } })) }],
    ["names of thousands of parts", { allOf: names.map((name) => ({ required: [name] })) }],
    ["many equal parts", { $defs: { a: { enum: names } }, allOf: names.map(() => ({ $ref: "#/$defs/a" })) }],
    [
      "many properties of each alternative",
      { properties, anyOf: names.slice(0, 500).map(() => ({ minLength: 1 })) },
    ],
    ["thousands of optional properties", { properties }],
    [
      "thousands of optional properties with letters of their own",
      {
        properties: Object.fromEntries(
          names.map((_, n) => [String.fromCodePoint(0x4e00 + n), { type: "object" }]),
        ),
      },
    ],
  ])("one whose cost grows with the square of its length is refused on the way: %s", (_, schema) => {
    expect(() => jsonGrammar(schema)).toThrow(/makes the schema too large|too many optional properties/);
  });

  test("one that would be enormous is refused", () => {
    const schema = { enum: Array.from({ length: 50_000 }, (_, n) => `option ${n}`) };
    expect(() => jsonGrammar(schema)).toThrow("is too large");
  });
});

/** `levels` of `anyOf`, each with these arrays of the next level. */
function nested(levels: number, arrays: readonly { minItems: number; maxItems?: number }[]): object {
  const level = (at: number) => ({
    anyOf: arrays.map((array) => ({
      type: "array",
      items: at + 1 < levels ? { $ref: `#/$defs/${at + 1}` } : { type: "null" },
      ...array,
    })),
  });
  return {
    $ref: "#/$defs/0",
    $defs: Object.fromEntries(Array.from({ length: levels }, (_, at) => [at, level(at)])),
  };
}

const tree = (own: string, key: string) => ({
  type: "object",
  required: ["kids", key],
  properties: { kids: { type: "array", items: { $ref: `#/$defs/${own}` } }, [key]: { type: "integer" } },
});

/** The most stacks while the text is followed, and whether it is allowed. */
function follow(schema: object, text: string): { most: number; isAllowed: boolean } {
  const stacks = new GbnfStacks(jsonGrammar(schema as never));
  let most = 0;
  for (const char of text) {
    stacks.accept(char);
    most = Math.max(most, stacks.stacks.length);
  }
  return { most, isAllowed: stacks.isComplete };
}

/** Combinations that zod, pydantic, TypeBox, quicktype and people write. */
describe("keywords that stand beside each other hold together", () => {
  const named = { A: { type: "object", properties: { a: { type: "string" } }, required: ["a"] } };
  test.each<[string, object, string[], string[]]>([
    ["values and a type", { type: "string", enum: ["a", 1, null] }, ['"a"'], ["1", "null"]],
    ["values and whole numbers", { type: "integer", enum: [1, 1.5, "1"] }, ["1"], ["1.5", '"1"']],
    ["values and types", { type: ["null", "object"], enum: [{}, null, []] }, ["{}", "null"], ["[]"]],
    ["values and a const", { enum: ["a", "b"], const: "b" }, ['"b"'], ['"a"']],
    [
      "values in two parts of allOf",
      { allOf: [{ enum: ["a", "b"] }, { enum: ["b", "c"] }] },
      ['"b"'],
      ['"a"', '"c"'],
    ],
    [
      "a union and a type",
      { type: "string", anyOf: [{ minLength: 2 }, { enum: ["a", 1] }] },
      ['"a"', '"bb"'],
      ["1", "{}"],
    ],
    [
      "a union and whole numbers",
      { type: "integer", anyOf: [{ minimum: 5 }, { maximum: -5 }] },
      ["5", "-6"],
      ["0", "5.5", "{}"],
    ],
    [
      "a union and a required property",
      {
        type: "object",
        required: ["a"],
        anyOf: [{ properties: { a: { const: 1 } } }, { properties: { a: { const: 2 } } }],
      },
      ['{"a":1}', '{"a":2}'],
      ["{}", '{"a":3}'],
    ],
    [
      "a union whose alternative has another type",
      {
        type: "object",
        properties: { a: { const: 1 } },
        required: ["a"],
        anyOf: [{ type: "object" }, { type: "null" }],
      },
      ['{"a":1}'],
      ["null"],
    ],
    [
      "a union with an alternative that allows nothing",
      { anyOf: [{ type: "null" }, false] },
      ["null"],
      ["1"],
    ],
    [
      "a union and the items of a list",
      { type: "array", items: { type: "string" }, anyOf: [{ minItems: 1 }, { maxItems: 0 }] },
      ["[]", '["a"]'],
      ["[1]"],
    ],
    [
      "types in two parts of allOf",
      { allOf: [{ type: ["number", "null"] }, { type: ["integer", "string"] }] },
      ["1"],
      ["1.5", "null", '"a"'],
    ],
    [
      "a property in two parts of allOf",
      {
        type: "object",
        required: ["a"],
        allOf: [{ properties: { a: { type: "string" } } }, { properties: { a: { maxLength: 1 } } }],
      },
      ['{"a":"x"}'],
      ['{"a":1}', '{"a":"xx"}'],
    ],
    [
      "a property and a note on it",
      {
        type: "object",
        properties: { a: { type: "string" } },
        required: ["a"],
        allOf: [{ properties: { a: { title: "A" } } }],
      },
      ['{"a":"x"}'],
      ['{"a":1}'],
    ],
    [
      "a reference and more in one part of allOf",
      { $defs: named, allOf: [{ $ref: "#/$defs/A", properties: { b: { const: 1 } }, required: ["b"] }] },
      ['{"a":"x","b":1}'],
      ['{"a":"x"}', '{"b":1}'],
    ],
    [
      "members that one part of allOf forbids",
      {
        allOf: [
          { type: "object", properties: { a: { const: 1 } }, additionalProperties: false },
          { type: "object", additionalProperties: true },
        ],
      },
      ['{"a":1}'],
      ['{"b":1}'],
    ],
    ["a required member without a type", { required: ["a"] }, ['{"a":1}'], ["{}", "1"]],
    ["members without a type", { additionalProperties: { const: 1 } }, ["{}", '{"a":1}'], ["1", '{"a":2}']],
    [
      "fixed items and fewer at most",
      { type: "array", prefixItems: [{ const: 1 }, { const: 2 }], maxItems: 1 },
      ["[1]"],
      ["[1,2]"],
    ],
    [
      "OpenAPI's nullable and a reference",
      { $defs: named, nullable: true, $ref: "#/$defs/A" },
      ["null", '{"a":"x"}'],
      ["1"],
    ],
    [
      "required as draft 3 writes it",
      { type: "object", properties: { a: { const: 1, required: true } } },
      ['{"a":1}'],
      ["{}"],
    ],
  ])("%s", (_, schema, good, bad) => {
    expect(good.filter((text) => !accepts(schema, text))).toEqual([]);
    expect(bad.filter((text) => accepts(schema, text))).toEqual([]);
  });

  test.each<[string, object, string]>([
    ["a const of another type", { type: "integer", const: "a" }, "#"],
    [
      "values of another type",
      { type: "object", properties: { a: { type: "integer", enum: ["x"] } } },
      "#/properties/a/enum",
    ],
    ["a union of other types", { type: "string", anyOf: [{ type: "null" }, { type: "integer" }] }, "#/anyOf"],
    [
      "a required member that is forbidden",
      { type: "object", properties: {}, required: ["b"], additionalProperties: false },
      "#/required",
    ],
    [
      "a required member that can be nothing",
      { type: "object", properties: { a: false }, required: ["a"] },
      "#/properties/a",
    ],
  ])("%s: no value fits, and the message says where", (_, schema, at) => {
    expect(() => jsonGrammar(schema as never)).toThrow(`The schema at ${at} `);
  });

  test("what the grammar does not look at is checked when the answer is there", () => {
    const shape = { properties: { a: { type: "string" } } };
    expect(saysMore({ enum: [{ a: 1 }, { a: "x" }], ...shape })).toBe(true);
    expect(saysMore({ enum: ["a", 1], anyOf: [{ type: "string" }] })).toBe(true);
    expect(saysMore({ type: "string", enum: ["a", "b"] })).toBe(false);
  });
});

describe("a schema whose alternatives begin alike", () => {
  test.each([
    ["10 equal arrays, 7 levels deep", nested(7, Array(10).fill({ minItems: 1, maxItems: 1 })), 7],
    ["3 equal arrays, 11 levels deep", nested(11, Array(3).fill({ minItems: 1, maxItems: 1 })), 11],
    [
      "10 different arrays, 7 levels deep",
      nested(
        7,
        [...Array(10).keys()].map((at) => ({ minItems: 1, maxItems: 1 + at })),
      ),
      7,
    ],
    ["arrays without an upper limit", nested(9, [{ minItems: 0 }, { minItems: 1 }, { minItems: 2 }]), 9],
  ])("%s: costs as much as one", (_, schema, levels) => {
    const text = `${"[".repeat(levels)}null${"]".repeat(levels)}`;
    const { most, isAllowed } = follow(schema, text);
    expect(isAllowed || levels === 9).toBe(true);
    expect(most).toBeLessThan(10);
  });

  test.each<[string, object, string[]]>([
    [
      "a union that a field tells apart",
      {
        anyOf: ["cat", "car", "dog"].map((kind) => ({
          type: "object",
          properties: { kind: { const: kind }, [`${kind}s`]: { type: "integer" } },
          required: ["kind", `${kind}s`],
        })),
      },
      ['{"kind":"cat","cats":1}', '{"kind": "car", "cars": 2}', '{"kind":"dog","dogs":3}'],
    ],
    [
      "objects that begin with the same key",
      {
        anyOf: ["a", "b"].map((key) => ({
          type: "object",
          properties: { id: { type: "string" }, at: { type: "number" }, [key]: { type: "boolean" } },
          required: ["id", key],
        })),
      },
      ['{"id":"x","at":1.5,"a":true}', '{"id":"x","b":false}'],
    ],
    ["a string or null", { anyOf: [{ type: "string", format: "date" }, { type: "null" }] }, ['"x"', "null"]],
    ["whole numbers and numbers", { anyOf: [{ type: "integer" }, { type: "number" }] }, ["1", "1.5", "-1e9"]],
    [
      "known words or any short string",
      { anyOf: [{ enum: ["auto", "none", 'a"b'] }, { type: "string", maxLength: 3 }] },
      ['"auto"', '"abc"', '""', String.raw`"a\"b"`],
    ],
    [
      "strings of several lengths",
      {
        anyOf: [{ maxLength: 0 }, { minLength: 3, maxLength: 4 }].map((one) => ({ type: "string", ...one })),
      },
      ['""', '"abc"'],
    ],
    [
      "expressions, which contain themselves",
      {
        $ref: "#/$defs/e",
        $defs: {
          e: { anyOf: [{ type: "number" }, { $ref: "#/$defs/sum" }, { $ref: "#/$defs/minus" }] },
          sum: {
            type: "object",
            properties: { left: { $ref: "#/$defs/e" }, right: { $ref: "#/$defs/e" } },
            required: ["left", "right"],
          },
          minus: { type: "object", properties: { left: { $ref: "#/$defs/e" } }, required: ["left"] },
        },
      },
      ['{"left":{"left":{"left":1}},"right":2}'],
    ],
    [
      "two equal trees",
      {
        anyOf: [{ $ref: "#/$defs/a" }, { $ref: "#/$defs/b" }],
        $defs: { a: tree("a", "v"), b: tree("b", "v") },
      },
      ['{"kids":[{"kids":[],"v":1}],"v":2}'],
    ],
    [
      "a list of trees that are equal but for their names",
      {
        type: "array",
        items: { anyOf: ["a", "b", "c"].map((name) => ({ $ref: `#/$defs/${name}` })) },
        $defs: Object.fromEntries(["a", "b", "c"].map((name) => [name, tree(name, "v")])),
      },
      ['[{"kids":[{"kids":[],"v":1}],"v":2},{"kids":[],"v":1}]'],
    ],
    [
      "two trees that differ late",
      {
        anyOf: [{ $ref: "#/$defs/a" }, { $ref: "#/$defs/b" }],
        $defs: { a: tree("a", "v"), b: tree("b", "w") },
      },
      ['{"kids":[{"kids":[],"v":1}],"v":2}', '{"kids":[],"w":2}'],
    ],
    [
      "an object or any other",
      { anyOf: [{ type: "object", properties: { a: { const: 1 } } }, { type: "object" }] },
      ['{"a":1}', '{"b":[]}'],
    ],
    [
      "200 optional members",
      {
        type: "object",
        properties: Object.fromEntries(Array.from({ length: 200 }, (_, at) => [`key ${at}`, { const: at }])),
      },
      ["{}", '{"key 7":7,"key 150":150}'],
    ],
    ["1,000 words", { enum: Array.from({ length: 1_000 }, (_, at) => `word ${at}`) }, ['"word 999"']],
  ])("%s: is followed as it is", (_, schema, texts) => {
    for (const text of texts) {
      const { most, isAllowed } = follow(schema, text);
      expect([text, isAllowed]).toEqual([text, true]);
      expect(most).toBeLessThan(60);
    }
  });

  test("one whose alternatives cannot be told apart is refused; the message says where and what to do", () => {
    const kids = (key: string) => ({
      type: "object",
      properties: { kids: { type: "array", items: { $ref: "#/$defs/node" } }, [key]: { type: "integer" } },
      required: ["kids", key],
    });
    const lists = { type: "array", items: { anyOf: [{ $ref: "#/$defs/a" }, { $ref: "#/$defs/b" }] } };
    const schema = { ...lists, $defs: { a: tree("a", "v"), b: tree("b", "w"), node: kids("x") } };
    expect(() => jsonGrammar(schema)).toThrow(
      expect.objectContaining({
        code: "invalid_input",
        message: expect.stringMatching(/^The schema at #\/.* is ambiguous: .*Let alternatives differ/),
      }),
    );
  });

  test("values of which too many begin differently are refused", () => {
    const values = Array.from({ length: 600 }, (_, at) => String.fromCodePoint(0x4e00 + at));
    const schema = { enum: values.map((value, at) => `${value}${at}`) };
    expect(() => jsonGrammar(schema)).toThrow(
      "The schema at #/enum has too many values that differ in the same character",
    );
  });

  test("any number of values may begin differently when they go on in the same way", () => {
    const values = Array.from({ length: 600 }, (_, at) => String.fromCodePoint(0x4e00 + at));
    for (const after of ["", "月"]) {
      const schema = { enum: values.map((value) => value + after) };
      for (const value of schema.enum) expect(accepts(schema, JSON.stringify(value))).toBe(true);
      expect(accepts(schema, '"犬"'.replace("犬", "犬犬"))).toBe(false);
    }
  });

  test("whatever the schema, it is refused or has few stacks along every input", () => {
    const { schema } = fc.letrec<{ schema: object }>((tie) => ({
      schema: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom<object>(
          { type: "null" },
          { type: "string" },
          { type: "string", maxLength: 3 },
          { type: "integer" },
          { type: "number" },
        ),
        fc.constantFrom("#/$defs/0", "#/$defs/1", "#/$defs/2").map(($ref) => ({ $ref })),
        fc
          .uniqueArray(fc.constantFrom("a", "ab", "b", 1, null), { minLength: 1 })
          .map((values) => ({ enum: values })),
        fc
          .tuple(tie("schema"), fc.nat({ max: 3 }), fc.nat({ max: 3 }))
          .map(([items, minItems, more]) => ({ type: "array", items, minItems, maxItems: minItems + more })),
        fc
          .tuple(tie("schema"), fc.nat({ max: 4 }))
          .map(([schema, more]) => ({ anyOf: Array(2 + more).fill(schema) })),
        fc.array(tie("schema"), { minLength: 1, maxLength: 4 }).map((anyOf) => ({ anyOf })),
        fc.record({
          type: fc.constant("object"),
          properties: fc.dictionary(fc.constantFrom("a", "ab", "b"), tie("schema")),
          required: fc.subarray(["a", "b"]),
        }),
      ),
    }));
    const root = fc
      .tuple(schema, fc.tuple(schema, schema, schema))
      .map(([root, defs]) => ({ anyOf: [root], $defs: { ...defs } }));
    let followed = 0;
    fc.assert(
      fc.property(root, fc.infiniteStream(fc.nat()), (schema, dice) => {
        let grammar: string;
        try {
          grammar = jsonGrammar(schema);
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: "invalid_input" });
          return;
        }
        followed++;
        const stacks = new GbnfStacks(grammar);
        for (const char of randomInput(new GbnfStacks(grammar), dice)) {
          stacks.accept(char);
          expect(stacks.stacks.length).toBeLessThanOrEqual(MAX_STACKS);
        }
      }),
      { numRuns: 300 },
    );
    expect(followed).toBeGreaterThan(50);
  });
});
