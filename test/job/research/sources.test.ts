// Which pages are one source, and which of those that searches found are read.
import { describe, expect, test } from "vitest";
import { addressKey, choosePages, isSameText, shinglesOf } from "../../../worker/job/research/sources.ts";

describe("addresses of one page are one", () => {
  test.each([
    "http://example.org/a",
    "https://www.example.org/a/",
    "https://EXAMPLE.org/a#part",
    "https://example.org:443/a?utm_source=x&utm_medium=mail&fbclid=1&gclid=2&msclkid=3",
    "https://example.org/a/index.html",
  ])("%s", (address) => {
    expect(addressKey(address)).toBe(addressKey("https://example.org/a"));
  });

  test.each([
    ["https://example.org/a?id=1", "https://example.org/a?id=2"],
    ["https://example.org/a", "https://example.org/A"],
    ["https://example.org/a", "https://news.example.org/a"],
    ["https://example.org:8443/a", "https://example.org/a"],
    ["not an address", "another"],
  ])("%s and %s are two", (one, other) => {
    expect(addressKey(one)).not.toBe(addressKey(other));
  });

  test("the order of parameters does not matter", () => {
    expect(addressKey("https://e.org/?a=1&b=2")).toBe(addressKey("https://e.org/?b=2&a=1"));
  });
});

describe("texts of one article are one", () => {
  const sentence = (at: number) =>
    `Sentence ${at} says that ${at * 7} visitors saw the ${at + 3} old houses of town ${at * 2}.`;
  const text = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, at) => sentence(from + at)).join(" ");

  test.each([
    ["with another headline and menu", text(0, 40), `Home News Sport. ${text(0, 40)} Share this.`, true],
    [
      "with a sentence changed",
      text(0, 40),
      `${text(0, 20)} Something else stands here. ${text(21, 40)}`,
      true,
    ],
    ["a long page that quotes it", text(0, 10), text(0, 40), false],
    ["another article", text(0, 40), text(40, 80), false],
    [
      "Japanese, with another headline",
      "この町の祭りには五千人が来た。天気は晴れで、市長は喜んだ。",
      "速報 この町の祭りには五千人が来た。天気は晴れで、市長は喜んだ。",
      true,
    ],
    [
      "Japanese, another one",
      "この町の祭りには五千人が来た。天気は晴れで、市長は喜んだ。",
      "となり村の店は冬のあいだ休む。春になればまた開くという。",
      false,
    ],
  ])("%s", (_, one, other, same) => {
    expect(isSameText(shinglesOf(one), shinglesOf(other))).toBe(same);
    expect(isSameText(shinglesOf(other), shinglesOf(one))).toBe(same);
  });
});

describe("of what was found", () => {
  const of = (site: string, ...names: string[]) => names.map((name) => `https://${site}.example/${name}`);
  const choose = (found: string[][], more: object = {}) =>
    choosePages({ found, given: [], perSearch: 3, most: 9, ...more });

  test("the best of every search are read, and the rest is for pages that fail", () => {
    const [a, b] = [of("a", "1"), of("b", "1")];
    const found = [
      [...a, ...of("c", "1"), ...of("d", "1")],
      [...b, ...of("e", "1")],
    ];
    expect(choose(found, { perSearch: 2, most: 4 })).toEqual({
      chosen: [...a, ...b, ...of("c", "1"), ...of("e", "1")],
      spare: of("d", "1"),
    });
  });

  test("a page that several searches find is read once, and the search that found it too has its next one", () => {
    const again = "http://www.a.example/1/?utm_source=x";
    expect(choose([of("a", "1"), [again, ...of("b", "1")]]).chosen).toEqual([
      ...of("a", "1"),
      ...of("b", "1"),
    ]);
  });

  test("no site is most of what is read, unless there is no other", () => {
    const many = of("a", "1", "2", "3", "4", "5", "6");
    expect(choose([[...many, ...of("b", "1"), ...of("c", "1")]], { perSearch: 4, most: 4 }).chosen).toEqual([
      ...of("a", "1", "2"),
      ...of("b", "1"),
      ...of("c", "1"),
    ]);
    expect(choose([many], { perSearch: 4, most: 4 }).chosen).toEqual(of("a", "1", "2", "3", "4").slice(0, 4));
  });

  test("given pages come first, and count", () => {
    const given = [...of("g", "1", "1", "2")];
    expect(choose([of("a", "1", "2")], { given, most: 3 })).toEqual({
      chosen: [...of("g", "1", "2"), ...of("a", "1")],
      spare: of("a", "2"),
    });
  });
});
