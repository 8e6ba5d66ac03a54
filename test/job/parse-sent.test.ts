// One job as the serializers of several languages write it.
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { parseJson } from "../../worker/job/json.ts";
import { parseSent } from "../../worker/job/parse-sent.ts";

const schema = z.strictObject({
  name: z.string(),
  count: z.int().min(1).max(9).optional(),
  ratio: z.number().default(0.5),
  isOpen: z.boolean().optional(),
  mood: z.enum(["good", "bad"]).optional(),
  id: z.union([z.string(), z.number()]).optional(),
  note: z.string().nullable().optional(),
  more: z.strictObject({ list: z.array(z.string()).default([]), to: z.url().optional() }).optional(),
  all: z.array(z.strictObject({ x: z.number() })).optional(),
  where: z.union([z.strictObject({ sns: z.string() }), z.strictObject({ rest: z.url() })]).optional(),
});
const read = (value: unknown) => {
  const parsed = parseSent(schema, value);
  return parsed.success
    ? parsed.data
    : parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
};

describe("what can only mean one thing is read so", () => {
  test.each([
    ["null for an absent field", { count: null, mood: null, id: null, more: null, isOpen: null }, {}],
    ["null for a field with a default", { ratio: null }, { ratio: 0.5 }],
    ["null deep inside", { more: { list: null, to: null } }, { more: { list: [] } }],
    ["null where null means something", { note: null }, { note: null }],
    ["null for a field that there is not", { colour: null, more: { size: null } }, { more: { list: [] } }],
    [
      "all fields of a union, one of them set",
      { where: { sns: "arn", rest: null } },
      { where: { sns: "arn" } },
    ],
    ["a number as a string", { count: "5", ratio: "0.25" }, { count: 5, ratio: 0.25 }],
    ["a boolean as a string", { isOpen: "true" }, { isOpen: true }],
    ["a boolean as Python's str() writes it", { isOpen: "False" }, { isOpen: false }],
    ["digits where a string may stand", { id: "5" }, { id: "5" }],
    ["a structure as a string", { more: '{"list":["a"]}' }, { more: { list: ["a"] } }],
    ["no fields as a list, as PHP writes them", { more: [] }, { more: { list: [] } }],
    [
      "a list with gaps, as PHP writes it",
      { more: { list: { "0": "a", "2": "b" } } },
      { more: { list: ["a", "b"] } },
    ],
    ["a list of one as its entry", { more: { list: "a" } }, { more: { list: ["a"] } }],
    ["a list of one as its entry, a structure", { all: { x: 1 } }, { all: [{ x: 1 }] }],
    [
      "a list in a structure in a string, with nulls",
      { more: '{"list":"[\\"a\\"]","to":null}' },
      { more: { list: ["a"] } },
    ],
  ])("%s", (_, sent, expected) => {
    const before = structuredClone(sent);
    expect(read({ name: "n", ...sent })).toEqual({ name: "n", ratio: 0.5, ...expected });
    expect(sent).toEqual(before);
  });

  test("an empty string for what may be absent and cannot be empty", () => {
    expect(read({ name: "n", count: "", more: "", extra: "" })).toEqual({ name: "n", ratio: 0.5 });
    expect(read({ name: "", more: { list: "" } })).toMatchObject({ name: "" });
  });

  test("the whole value as a string of JSON", () => {
    expect(read('{"name":"n","count":"5"}')).toEqual({ name: "n", count: 5, ratio: 0.5 });
  });
});

describe("what is wrong stays wrong, and the message names the field", () => {
  test.each([
    ["null for a field that must be there", { name: null }, "name: "],
    ["a word for a number", { count: "five" }, "count: "],
    ["a number out of range, as a string", { count: "12" }, "count: "],
    ["a number for a boolean", { isOpen: "1" }, "isOpen: "],
    ["null in a list", { more: { list: ["a", null] } }, "more.list.1: "],
    ["text for a structure", { more: "many" }, "more: "],
    ["a list for a structure", { more: ["a"] }, "more: "],
    ["a number for a list", { more: { list: 5 } }, "more.list: "],
    ["a fault inside a string", { more: '{"to":"nowhere"}' }, "more.to: "],
    ["an unknown field that says something", { colour: "red" }, ": Unrecognized key"],
    ["a mistyped field", { cuont: 5 }, ': Unrecognized key: "cuont"; did you mean count?'],
    ["a mistyped field inside", { more: { lst: [] } }, 'more: Unrecognized key: "lst"; did you mean list?'],
  ])("%s", (_, sent, words) => {
    expect(read({ name: "n", ...sent })).toEqual([expect.stringContaining(words)]);
  });

  test("null alone", () => {
    expect(read(null)).toEqual([expect.stringContaining("expected object")]);
  });

  test("a number with more digits than a number keeps", () => {
    const sent = parseJson('{"name":"n","ratio":9007199254740993}');
    expect(read(sent)).toEqual([
      expect.stringContaining("ratio: expected number, received one with more digits"),
    ]);
    expect(read({ name: "n", ratio: "1e400" })).toEqual([expect.stringContaining("more digits")]);
  });

  test("a structure as a string of a string of JSON", () => {
    const nest = (depth: number): unknown => (depth === 0 ? { list: [] } : JSON.stringify(nest(depth - 1)));
    expect(read({ name: "n", more: nest(2) })).toHaveLength(1);
  });
});

test("thousands of nulls cost one look at the value, not one each", () => {
  const many = z.record(z.string(), z.strictObject({ a: z.string().optional() }));
  const sent = Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`k${index}`, { a: null }]));
  expect(parseSent(many, sent)).toMatchObject({ success: true });
});
