// Tables and cut texts on a terminal.
import { describe, expect, test } from "vitest";
import { paint, shorten, table, widthOf } from "../../worker/logging/terminal.ts";
import { stepsOf } from "../steps.ts";

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

  test("shows what a terminal would act on as text, except the styles of a column that is styled", () => {
    const cells = [["a\u001b[2J\u009b1m\u202e\nb", "\u001b[32mok\u001b[39m"]];
    const [, row] = table([{ title: "t" }, { title: "", styled: true }], cells).split("\n");
    expect(row).toBe("a\\u001b[2J\\u009b1m\\u202e\\nb  \u001b[32mok\u001b[39m");
  });

  test("cuts texts that are too long", () =>
    expect(table([{ title: "t", max: 5 }], [["abcdefgh"]])).toContain("abcd…"));
});

test("a styled text cannot bring styles of its own", () => {
  expect(paint("red", "a\u001b[0mb")).toContain("a\\u001b[0mb");
});

test("a long text is cut in steps that grow in proportion to it", () => {
  const steps = (length: number) => stepsOf(() => shorten("x".repeat(length), length - 1));
  expect(steps(4_000) / steps(1_000)).toBeLessThan(5);
});

test("a text is cut to a width, not to a number of characters", () => {
  expect(shorten("ドアの鍵", 8)).toBe("ドアの鍵");
  expect(shorten("ドアの鍵", 6)).toBe("ドア…");
});
