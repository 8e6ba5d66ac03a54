import { describe, expect, test } from "vitest";
import { JsonEnd, StopScanner } from "../../../worker/engine/generation/stopping-criteria.ts";
import fc from "../../properties.ts";

const scan = (stops: string[], pieces: string[]) => {
  const scanner = new StopScanner(stops);
  const text = pieces.map((piece) => scanner.push(piece)).join("");
  return { text: text + scanner.flush(), stopped: scanner.stopped };
};

describe("stop strings", () => {
  test.each([
    ["none", [], ["a", "b"], "ab", false],
    ["one, over several tokens", ["END"], ["a E", "N", "D b"], "a ", true],
    ["a beginning that goes on otherwise", ["END"], ["a EN", "ough"], "a ENough", false],
    ["a beginning at the very end", ["END"], ["a EN"], "a EN", false],
    ["the earliest of two", ["xx", "b"], ["a b xx"], "a ", true],
    ["an empty one is none", [""], ["abc"], "abc", false],
    ["an emoji that begins as another", ["😀"], ["a 😁", "b😀c"], "a 😁b", true],
    ["half a surrogate pair is none", ["\ude01", "\ud83d"], ["a 😁", "b"], "a 😁b", false],
  ])("%s", (_, stops, pieces, text, stopped) => {
    expect(scan(stops, pieces)).toEqual({ text, stopped });
  });

  test("never shows a stop string, however the text is cut into tokens", () => {
    const piece = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 4 });
    fc.assert(
      fc.property(fc.array(piece), fc.array(piece, { maxLength: 3 }), (pieces, stops) => {
        const whole = pieces.join("");
        const { text, stopped } = scan(stops, pieces);
        const found = stops.filter((stop) => stop !== "" && whole.includes(stop));
        expect(stopped).toBe(found.length > 0);
        expect(stopped ? whole.startsWith(text) : whole === text).toBe(true);
        expect(found.some((stop) => text.includes(stop))).toBe(false);
      }),
    );
  });
});

describe("a JSON answer ends where its value closes", () => {
  const read = (pieces: string[]) => {
    const end = new JsonEnd();
    return { text: pieces.map((piece) => (end.closed ? "" : end.push(piece))).join(""), closed: end.closed };
  };
  test.each([
    ["an object", ['{"a"', ": {", "}", "}\n\n"], '{"a": {}}', true],
    ["marks inside strings", ['{"a":"}\\"', '}"}', " x"], '{"a":"}\\"}"}', true],
    ["a list", ["[1, [2]", "] "], "[1, [2]]", true],
    ["a string", [' "a', 'b" c'], ' "ab"', true],
    ["a number may go on", ["12", "3"], "123", false],
  ])("%s", (_, pieces, text, closed) => {
    expect(read(pieces)).toEqual({ text, closed });
  });

  test("whatever the value and however it is cut", () => {
    const value = fc.oneof(fc.object(), fc.array(fc.jsonValue()), fc.string());
    fc.assert(
      fc.property(value, fc.nat(5), (value, size) => {
        const json = JSON.stringify(value);
        const pieces = `${json} more`.match(new RegExp(`[\\s\\S]{1,${size + 1}}`, "g"))!;
        expect(read(pieces)).toEqual({ text: json, closed: true });
      }),
    );
  });
});
