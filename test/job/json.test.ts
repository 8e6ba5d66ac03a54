// JSON as others write it: numbers that a double cannot hold, byte order marks, UTF-16.
import { describe, expect, test } from "vitest";
import { jsonText, numberIn, parseJson, wellFormed, withoutHalves } from "../../worker/job/json.ts";
import fc from "../properties.ts";

describe("a number that a double would turn into another one becomes the string of its digits", () => {
  test.each([
    ["9007199254740993", "9007199254740993"],
    ["-9007199254740993", "-9007199254740993"],
    ["12345678901234567890", "12345678901234567890"],
    // A double holds it, but would be written as 36028797018963970.
    ["36028797018963968", "36028797018963968"],
    ["9007199254740993.0", "9007199254740993"],
    ["9.007199254740993e15", "9007199254740993"],
    ["9007199254740993E0", "9007199254740993"],
    ["9007199254740993.5", "9007199254740993.5"],
    ["1e400", "1e400"],
    ["-1e400", "-1e400"],
    ["1e-400", "1e-400"],
  ])("%s", (written, read) => {
    expect(parseJson(written)).toBe(read);
    expect(parseJson(`{"a":[${written},{"id":${written}}]}`)).toEqual({ a: [read, { id: read }] });
  });

  test("even if it has a million digits", () => {
    const long = `1${"0".repeat(1_000_000)}1`;
    expect(parseJson(`[${long}]`)).toEqual([long]);
  });
});

describe("any other number stays one", () => {
  test.each([
    ["9007199254740992", 2 ** 53],
    ["9007199254740991", 2 ** 53 - 1],
    ["1.0", 1],
    ["-0", -0],
    ["0e5", 0],
    ["0.0000000000000000000", 0],
    ["1e3", 1_000],
    ["1e23", 1e23],
    ["1.7976931348623157e308", Number.MAX_VALUE],
    // As Java's BigDecimal writes 0.1.
    ["0.1000000000000000055511151231257827021181583404541015625", 0.1],
    ["0.30000000000000000000001", 0.3],
  ])("%s", (written, read) => {
    expect(parseJson(`[${written}]`)).toEqual([read]);
  });

  test("every double and every safe integer that JavaScript writes comes back as it was", () => {
    const number = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.maxSafeInteger());
    fc.assert(
      fc.property(fc.array(number), (numbers) => {
        expect(JSON.stringify(parseJson(JSON.stringify(numbers)))).toBe(JSON.stringify(numbers));
      }),
    );
  });

  test("no two integers are read as one", () => {
    const integer = fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n });
    fc.assert(
      fc.property(integer, (value) => {
        expect(String(parseJson(String(value)))).toBe(String(value));
      }),
    );
  });

  test("digits in a string are left alone, and so is __proto__", () => {
    expect(parseJson('{"a":"9007199254740993","__proto__":9007199254740993}')).toEqual(
      JSON.parse('{"a":"9007199254740993","__proto__":"9007199254740993"}'),
    );
  });
});

test.each([
  ["a byte order mark", '\ufeff{"a":1}'],
  ["two of them, as a file that was joined has", '\ufeff\ufeff{"a":1}'],
  ["the NUL of a C string", '{"a":1}\0'],
  ["line ends", '\r\n{"a":1}\n\n'],
  ["a mark after a line end", '\n\ufeff{"a":1}\ufeff\0\n'],
])("what stands around JSON is not in the way: %s", (_, text) => {
  expect(parseJson(text)).toEqual({ a: 1 });
});

test.each(["", "\ufeff", "{}{}", "{'a':1}", "NaN", "01", "[1,]", '{"a":"\ufeff}'])(
  "%j is not JSON",
  (text) => {
    expect(() => parseJson(text)).toThrow(SyntaxError);
  },
);

describe("bytes", () => {
  const utf16 = (text: string) => Buffer.from(text, "utf16le");
  test.each([
    ["UTF-8", Buffer.from('{"a":"牛乳"}')],
    ["UTF-8 with a mark", Buffer.from('\ufeff{"a":"牛乳"}')],
    ["UTF-16, as PowerShell's > writes it", utf16('\ufeff{"a":"牛乳"}')],
    ["UTF-16 without a mark", utf16('{"a":"牛乳"}')],
    ["UTF-16, big end first", utf16('\ufeff{"a":"牛乳"}').swap16()],
    ["UTF-16, big end first, without a mark", utf16('{"a":"牛乳"}').swap16()],
  ])("in %s", (_, bytes) => {
    expect(parseJson(jsonText(bytes))).toEqual({ a: "牛乳" });
  });

  test("in another encoding are refused, never read with a replacement character", () => {
    expect(() => jsonText(Buffer.from([0x22, 0x8b, 0x8d, 0x22]))).toThrow(TypeError);
  });

  test("of one character or none", () => {
    expect([jsonText(Buffer.from("7")), jsonText(new Uint8Array())]).toEqual(["7", ""]);
  });
});

test.each([
  ["5", 5],
  ["-1.5e2", -150],
  ["9007199254740993", null],
  ["1e400", null],
  ["", null],
  [" 5", null],
  ["0x10", null],
  ["Infinity", null],
  ["007", null],
])("the number in the string %j is %j", (text, number) => {
  expect(numberIn(text)).toBe(number);
});

describe("half of a UTF-16 pair", () => {
  test.each([
    ["the first half alone", '"a\\ud83d"', "a\ufffd"],
    ["the second half alone", '"\\uDE00b"', "\ufffdb"],
    ["the wrong way round", '"\\ude00\\ud83d"', "\ufffd\ufffd"],
    ["two first halves before a second one", '"\\ud83d\\ud83d\\ude00"', "\ufffd😀"],
    ["as it is", '"a\ud83d"', "a\ufffd"],
    ["a whole pair", '"\\ud83d\\ude00"', "😀"],
    ["a backslash before the letters of one", '"\\\\ud83d"', "\\ud83d"],
    ["a backslash before one", '"\\\\\\ud83d"', "\\\ufffd"],
  ])("%s", (_, json, expected) => {
    expect(JSON.parse(withoutHalves(json))).toBe(expected);
  });

  test("any value is as JSON would be after it went through UTF-8, and never another one", () => {
    const anything = fc.jsonValue({ stringUnit: "binary" });
    fc.assert(
      fc.property(anything, fc.string({ unit: "binary" }), (value, more) => {
        for (const one of [value, { [more]: value }]) {
          const clean = wellFormed(one);
          expect(JSON.stringify(clean).isWellFormed()).toBe(true);
          expect(clean).toEqual(JSON.parse(Buffer.from(JSON.stringify(clean)).toString()));
          expect(wellFormed(clean)).toEqual(clean);
        }
      }),
    );
    expect(wellFormed(undefined)).toBeUndefined();
  });
});
