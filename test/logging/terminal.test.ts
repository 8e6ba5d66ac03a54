// Tables and cut texts on a terminal.
import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import {
  LiveBlock,
  localTime,
  paint,
  prose,
  shorten,
  table,
  widthOf,
} from "../../worker/logging/terminal.ts";
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

  test("shows what a terminal would act on as text", () => {
    const [, row] = table([{ title: "t" }], [["a\u001b[2J\u009b1m\u202e\nb"]]).split("\n");
    expect(row).toBe("a\\u001b[2J\\u009b1m\\u202e\\nb");
  });

  test("gives a cell the style that it names, whole and around what is shown of it", () => {
    const styled = { text: "\u001b[2Jabcdefgh", style: "green" as const };
    const [, row = ""] = onTerminal(() => table([{ title: "t", max: 13 }], [[styled]])).split("\n");
    expect(row).toBe("\u001b[32m\\u001b[2Jabc…\u001b[39m");
    expect(stripVTControlCharacters(row)).toBe("\\u001b[2Jabc…");
  });

  test("gives one column what the others leave of the terminal", () => {
    const columns = [{ title: "id" }, { title: "what", max: "rest" as const }, { title: "n" }];
    const wide = table(columns, [["01J", "x".repeat(200), "7"]]).split("\n");
    expect(wide.map(widthOf)).toEqual([80, 80]);
    const short = table(columns, [["01J", "done", "7"]]).split("\n")[1];
    expect(short).toBe("01J  done  7");
  });

  test("cuts texts that are too long", () =>
    expect(table([{ title: "t", max: 5 }], [["abcdefgh"]])).toContain("abcd…"));
});

test("a line of a live block keeps its style, and is cut to the terminal without it", () => {
  let shown = "";
  const stream = Object.assign(Object.create(process.stdout), {
    isTTY: true,
    columns: 10,
    getColorDepth: () => 8,
    write: (text: string) => {
      shown += text;
      return true;
    },
  }) as NodeJS.WriteStream;
  new LiveBlock(stream).draw([{ text: "◆ todo-1 matched", style: "green" }, "plain"]);
  expect(shown).toBe("\u001b[32m◆ todo-1…\u001b[39m\nplain\n");
});

/** What it returns while standard output counts as a terminal with colours. */
function onTerminal(shows: () => string): string {
  const own = { isTTY: process.stdout.isTTY, getColorDepth: process.stdout.getColorDepth };
  Object.assign(process.stdout, { isTTY: true, getColorDepth: () => 8 });
  try {
    return shows();
  } finally {
    Object.assign(process.stdout, own);
  }
}

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

test("sentences break between words at a terminal, a path stays whole, and a pipe gets the line as it is", () => {
  const stream = (isTTY: boolean) => ({ isTTY, columns: 20 }) as unknown as NodeJS.WriteStream;
  const path = "/Users/anna/a-long-folder/kamado.toml";
  const text = `\u001b[31mkamado: code\u001b[39m: it is ${path}.\n  a step that has two lines`;
  expect(prose(text, stream(false))).toBe(text);
  expect(prose(text, stream(true)).split("\n")).toEqual([
    "\u001b[31mkamado: code\u001b[39m: it is",
    `${path}.`,
    "  a step that has",
    "  two lines",
  ]);
});

test("a time for people is that of their clock, and of the day that they have", () => {
  const zone = process.env.TZ;
  process.env.TZ = "Asia/Tokyo";
  try {
    expect(localTime("2026-11-29T16:04:15.123Z")).toBe("2026-11-30 01:04:15");
    expect(localTime(Date.UTC(2026, 0, 2, 3, 4, 5))).toBe("2026-01-02 12:04:05");
  } finally {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  }
});
