// What the bench's command line accepts, and how it refuses the rest.
import { tmpdir } from "node:os";
import { expect, test } from "vitest";
import { addressOf, fileOf, flagsOf, oneOf, whole, wholes } from "../../bench/arguments.ts";

const table = { options: { rounds: { type: "string", default: "3" }, wide: { type: "boolean" } } } as const;

test("a table accepts its own flags and --json", () => {
  expect({ ...flagsOf(table, ["--wide", "--json"]) }).toEqual({ rounds: "3", wide: true, json: true });
});

test("a flag that the table does not have is refused by name", () => {
  expect(() => flagsOf(table, ["--round", "3"])).toThrow(/--round/);
});

test.each(["0", "-1", "1.5", "many", ""])("%j is not a number of rounds", (rounds) => {
  expect(() => whole({ rounds }, "rounds")).toThrow(/^--rounds: must be a whole number/);
});

test("a list is separated by commas, and each part is checked", () => {
  expect(wholes({ concurrency: "1, 8,16" }, "concurrency")).toEqual([1, 8, 16]);
  expect(() => wholes({ concurrency: "1,,8" }, "concurrency")).toThrow(/^--concurrency/);
});

test("a word that is not a choice is refused with the choices", () => {
  expect(oneOf({ format: "Q4_0" }, "format", ["Q8_0", "Q4_0"])).toBe("Q4_0");
  expect(() => oneOf({ format: "Q5" }, "format", ["Q8_0", "Q4_0"])).toThrow("Q8_0, Q4_0, not Q5");
});

test("a file that does not exist is named", () => {
  expect(fileOf({ model: import.meta.filename }, "model")).toBe(import.meta.filename);
  expect(fileOf({}, "model")).toBeUndefined();
  expect(() => fileOf({ model: "/nope" }, "model")).toThrow("--model: there is no file /nope.");
  expect(() => fileOf({ model: tmpdir() }, "model")).toThrow("--model: there is no file");
});

test.each(["foo", "localhost:8080", "ftp://here"])("%s is not a server's URL", (url) => {
  expect(addressOf({ url: "http://127.0.0.1:8080/v1" }, "url")).toBe("http://127.0.0.1:8080/v1");
  expect(() => addressOf({ url }, "url")).toThrow(`--url: must be like http://127.0.0.1:8080, not ${url}.`);
});
