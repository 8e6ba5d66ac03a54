// Schemas of any draft, read as one of 2020-12 with references that begin with #/.
import { expect, test } from "vitest";
import { modernSchema } from "../../worker/json-schema/modern.ts";

const modern = (schema: Record<string, unknown>) => JSON.parse(JSON.stringify(modernSchema(schema)));

test.each([
  [
    "a list of items",
    { items: [{ type: "null" }], additionalItems: { type: "string" } },
    { prefixItems: [{ type: "null" }], items: { type: "string" } },
  ],
  [
    "a list of items that may not go on",
    { items: [true], additionalItems: false },
    { prefixItems: [true], items: false },
  ],
  [
    "additionalItems beside one schema, which say nothing",
    { items: {}, additionalItems: false },
    { items: {} },
  ],
  [
    "dependencies",
    { dependencies: { a: ["b"], c: { required: ["d"] } } },
    { dependentRequired: { a: ["b"] }, dependentSchemas: { c: { required: ["d"] } } },
  ],
  ["limits of draft 4", { minimum: 3, exclusiveMinimum: true }, { exclusiveMinimum: 3 }],
  ["limits of draft 4 that are included", { maximum: 3, exclusiveMaximum: false }, { maximum: 3 }],
  ["OpenAPI's nullable", { type: "string", nullable: true }, { type: ["string", "null"] }],
  [
    "OpenAPI's nullable beside a reference",
    { nullable: true, allOf: [{ $ref: "#/$defs/A" }], $defs: { A: { type: "string" } } },
    { anyOf: [{ allOf: [{ $ref: "#/$defs/A" }] }, { type: "null" }], $defs: { A: { type: "string" } } },
  ],
  [
    "a property that says itself that it is required",
    { properties: { a: { type: "string", required: true }, b: { required: false } }, required: ["c", "c"] },
    { properties: { a: { type: "string" }, b: {} }, required: ["c", "a"] },
  ],
  [
    "names and drafts",
    { $schema: "http://json-schema.org/draft-07/schema#", $id: "https://a/b", type: "null" },
    { type: "null" },
  ],
])("%s", (_, older, newer) => {
  expect(modern(older)).toEqual(newer);
});

const refOf = (schema: Record<string, unknown>, $defs: Record<string, unknown>) =>
  modern({ ...schema, $defs }).$ref;

test.each([
  ["stays", { $ref: "#/$defs/a" }, { a: {} }, "#/$defs/a"],
  ["percent-encoded", { $ref: "#/%24defs/My%20Type" }, { "My Type": {} }, "#/$defs/My%20Type"],
  ["written as it is", { $ref: "#/$defs/My Type" }, { "My Type": {} }, "#/$defs/My%20Type"],
  ["an anchor", { $ref: "#item" }, { a: { $anchor: "item" } }, "#/$defs/a"],
  ["an anchor of draft 7", { $ref: "#item" }, { a: { $id: "#item" } }, "#/$defs/a"],
  ["an address", { $id: "https://x/root.json", $ref: "item.json" }, { a: { $id: "item.json" } }, "#/$defs/a"],
  [
    "a whole address",
    { $id: "https://x/root.json", $ref: "https://x/root.json#/$defs/a" },
    { a: {} },
    "#/$defs/a",
  ],
  ["an address without one at the root", { $ref: "item" }, { a: { $id: "item" } }, "#/$defs/a"],
  [
    "within an address",
    { $ref: "item#/$defs/b" },
    { a: { $id: "item", $defs: { b: {} } } },
    "#/$defs/a/$defs/b",
  ],
  [
    "an item of a tuple",
    { $ref: "#/$defs/a/items/1" },
    { a: { items: [{}, {}] } },
    "#/$defs/a/prefixItems/1",
  ],
  ["a dynamic one", { $dynamicRef: "#node" }, { a: { $dynamicAnchor: "node" } }, "#/$defs/a"],
  ["to another document, which others refuse", { $ref: "https://elsewhere/a" }, {}, "https://elsewhere/a"],
  ["to nowhere", { $ref: "#/$defs/b" }, { a: {} }, "#/$defs/b"],
])("a reference: %s", (_, schema, $defs, expected) => {
  expect(refOf(schema, $defs)).toBe(expected);
});

test("a reference inside a part with an address begins at that part", () => {
  const part = { $id: "part", properties: { a: { $ref: "#/$defs/x" } }, $defs: { x: {} } };
  expect(modern({ $defs: { part } }).$defs.part.properties.a.$ref).toBe("#/$defs/part/$defs/x");
});

test("what only looks like a keyword stays as it is", () => {
  const schema = {
    properties: {
      $ref: { const: { $ref: "x", items: [1] } },
      items: { enum: [{ nullable: true }] },
      id: { type: "string" },
    },
    default: { $id: "x" },
    components: { schemas: { a: { type: "null" } } },
  };
  expect(modern(schema)).toEqual(schema);
});

test("one that is nested without end is refused", () => {
  const deep = JSON.parse(`${'{"not":'.repeat(500)}{}${"}".repeat(500)}`);
  expect(() => modernSchema(deep)).toThrow("nested too deeply");
});
