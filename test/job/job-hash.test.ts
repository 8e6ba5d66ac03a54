// What makes two messages the same job.
import { expect, test } from "vitest";
import { jobHash } from "../../worker/job/job-hash.ts";
import { MAX_NESTING } from "../../worker/job/structure.ts";
import fc from "../properties.ts";

const hashOf = (input: unknown, more: { kind?: string; source?: string } = {}) =>
  jobHash({ kind: "work", input, ...more });

/** The same value with the fields of every object in the opposite order. */
const reversed = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([name, one]) => [name, reversed(one)])
      .reverse(),
  );
};

test("the order of fields does not matter, in whatever input", () => {
  fc.assert(fc.property(fc.jsonValue(), (input) => hashOf(reversed(input)) === hashOf(input)));
});

test("two inputs have the same hash only if they are the same", () => {
  const same = (a: unknown, b: unknown) => JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
  fc.assert(fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => (hashOf(a) === hashOf(b)) === same(a, b)));
});

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, one]) => ({ name, one: sorted(one) }));
}

test.each([
  ["an array and its text", [1], "[1]"],
  ["an object and an array of its parts", { a: 1 }, ["a", 1]],
  ["an empty object and an empty array", {}, []],
  ["one array of two and two arrays of one", [["a", "b"]], [["a"], ["b"]]],
  ["a quotation mark that ends a string early", ['a","b'], ["a", "b"]],
  ["null and nothing", null, undefined],
  ["null and a number without end", [null], [Infinity]],
  ["two numbers without end", [Infinity], [-Infinity]],
  ["a field that is called __proto__ and none", JSON.parse('{"__proto__":{"a":1}}'), {}],
  ["a number and its digits", 1, "1"],
  ["halves of a pair that mean no character", "\ud800", "\udc00"],
])("%s differ", (_, a, b) => {
  expect(hashOf(a)).not.toBe(hashOf(b));
});

test("kind and source count", () => {
  const hashes = [{}, { kind: "other" }, { source: "/a" }, { source: "/b" }].map((more) => hashOf("x", more));
  expect(new Set(hashes).size).toBe(4);
});

test("an input may be nested as deep as a job may be", () => {
  const deep = JSON.parse("[".repeat(MAX_NESTING) + "]".repeat(MAX_NESTING));
  expect(hashOf(deep)).toMatch(/^[0-9a-f]{64}$/);
});
