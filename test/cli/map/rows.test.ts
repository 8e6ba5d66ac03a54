// Tables and lines of JSON as people and spreadsheets write them: every row is read, or named with its line.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { csvRows, jsonLines, plainLines, type Row, textOf } from "../../../worker/cli/map/rows.ts";
import { ENCODED, TEXTS } from "../../fakes/encoded-texts.ts";

const folder = mkdtempSync(join(tmpdir(), "kamado-rows-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function* parts(text: string, size = text.length || 1) {
  for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size);
}
async function all(rows: AsyncIterable<Row>): Promise<[number, unknown][]> {
  const found: [number, unknown][] = [];
  for await (const row of rows) found.push([row.at, "error" in row ? row.error.message : row.value]);
  return found;
}
const csv = (text: string, size?: number) => all(csvRows(parts(text, size), () => {}));

test.each([
  ["commas", "a,b\n1,2\n", [[2, { a: "1", b: "2" }]]],
  ["a mark, CRLF and no end", "\ufeffa,b\r\n1,2", [[2, { a: "1", b: "2" }]]],
  [
    "line ends of an old Mac",
    "a,b\r1,2\r3,4\r",
    [
      [2, { a: "1", b: "2" }],
      [3, { a: "3", b: "4" }],
    ],
  ],
  ["semicolons", 'a;b\n"1;x";"2,5"\n', [[2, { a: "1;x", b: "2,5" }]]],
  ["tabs", "a\tb\n1\t2\n", [[2, { a: "1", b: "2" }]]],
  ["one column with a comma in quotation marks", '"a"\n"1, 2"\n', [[2, { a: "1, 2" }]]],
  [
    "quotation marks and lines in a cell",
    'a,b\n"say ""hi""\nthere",2\nx,y\n',
    [
      [2, { a: 'say "hi"\nthere', b: "2" }],
      [4, { a: "x", b: "y" }],
    ],
  ],
  ["a quotation mark in the middle", 'a,b\n5" pipe,2\n', [[2, { a: '5" pipe', b: "2" }]]],
  [
    "empty lines and empty cells",
    "a,b\n\n1,\n\n,2\n",
    [
      [3, { a: "1" }],
      [5, { b: "2" }],
    ],
  ],
  ["cells without a name that are empty", "a,b,\n1,2,\n", [[2, { a: "1", b: "2" }]]],
  ["Japanese", "質問,答え\n猫は?,はい\n", [[2, { 質問: "猫は?", 答え: "はい" }]]],
  ["nothing", "", []],
  ["names alone", "a,b\n", []],
])("a table with %s", async (_, text, rows) => {
  expect(await csv(text)).toEqual(rows);
  expect(await csv(text, text.includes(";") || text.includes("\t") ? 20 : 3)).toEqual(rows);
});

test("a row with too many cells, or too few, is named by its line, and the others are read", async () => {
  expect(await csv("a,b\n1,2,3\n4\n5,6\n")).toEqual([
    [2, "this row has 3 cells, and the first row names 2."],
    [3, "this row has 1 cells, and the first row names 2."],
    [4, { a: "5", b: "6" }],
  ]);
});

test("a quotation mark that is never closed is said, after the rows before it", async () => {
  const rows = await csv('a,b\n1,2\n"open,3\n4,5\n');
  expect(rows).toEqual([
    [2, { a: "1", b: "2" }],
    [3, expect.stringContaining("never closed")],
  ]);
});

test("lines of JSON: one that is none is named, empty ones are left out, and U+2028 ends none", async () => {
  const text = '{"a":1}\r\n\n{"a":\n{"a":"x\u2028y"}';
  for (const size of [1, 5, 100])
    expect(await all(jsonLines(parts(text, size)))).toEqual([
      [1, { a: 1 }],
      [3, expect.stringContaining("this line is not JSON")],
      [4, { a: "x\u2028y" }],
    ]);
});

test("lines of text", async () => {
  expect(await all(plainLines(parts("one\r\n \ntwo\n", 2)))).toEqual([
    [1, "one"],
    [3, "two"],
  ]);
});

const FILES: (readonly [string, string, Uint8Array])[] = [
  ["UTF-8", TEXTS.ja, Buffer.from(TEXTS.ja)],
  ["UTF-16 with a mark", TEXTS.ja, Buffer.from(`\ufeff${TEXTS.ja}`, "utf16le")],
  ...ENCODED.slice(0, 3).map(([text, name, bytes]) => [name, text, bytes] as const),
];
test.each(FILES)("a table in %s", async (_, text, bytes) => {
  const path = join(folder, "table.csv");
  writeFileSync(path, bytes);
  expect(await all(csvRows(textOf(path), (names) => expect(names).toEqual([text])))).toEqual([]);
});

test("a file that is no text is said so", async () => {
  const path = join(folder, "x.csv");
  writeFileSync(path, Buffer.from([0, 1, 2, 255, 254, 0, 1]));
  await expect(all(csvRows(textOf(path), () => {}))).rejects.toMatchObject({ code: "invalid_input" });
});
