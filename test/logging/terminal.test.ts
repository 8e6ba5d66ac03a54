// Tables and cut texts on a terminal.
import { describe, expect, test } from "vitest";
import { shorten, table, widthOf } from "../../worker/logging/terminal.ts";

describe("a table", () => {
  test("has columns as wide as their contents; a Japanese character counts as two", () => {
    const lines = table(
      [{ title: "job" }, { title: "got", align: "right" }],
      [
        ["家賃", "y"],
        ["a", "uncertain"],
      ],
    ).split("\n");
    expect(lines.slice(1)).toEqual(["家賃          y", "a     uncertain"]);
    expect(new Set(lines.map(widthOf))).toEqual(new Set([15]));
  });

  test("cuts texts that are too long", () =>
    expect(table([{ title: "t", max: 5 }], [["abcdefgh"]])).toContain("abcd…"));
});

test("a text is cut to a width, not to a number of characters", () => {
  expect(shorten("ドアの鍵", 8)).toBe("ドアの鍵");
  expect(shorten("ドアの鍵", 6)).toBe("ドア…");
});
