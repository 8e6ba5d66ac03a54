// The file of results after every kind of end: it holds what was written, and in the end each input once and in order.
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { type ResultLine, ResultsFile } from "../../../worker/cli/map/results-file.ts";

const folder = mkdtempSync(join(tmpdir(), "kamado-results-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let serial = 0;
const newPath = () => join(folder, `${++serial}.jsonl`);

const line = (index: number, source: string, more: Partial<ResultLine> = {}): ResultLine => ({
  ...{
    index,
    source,
    id: `map-${source}`,
    status: "succeeded",
    output: { text: `of ${source} 猫` },
    inputHash: source,
  },
  ...more,
});
const read = (path: string) =>
  readFileSync(path, "utf8")
    .split("\n")
    .slice(0, -1)
    .map((text) => JSON.parse(text) as ResultLine);

async function written(...lines: ResultLine[]): Promise<string> {
  const path = newPath();
  const file = await ResultsFile.open(path, { resume: false });
  for (const one of lines) await file.write(one);
  await file.close();
  return path;
}

test("each line is in the file when it was written, and nothing has to be moved in the end", async () => {
  const path = newPath();
  const file = await ResultsFile.open(path, { resume: false });
  await file.write(line(0, "a"));
  expect(read(path)).toEqual([line(0, "a")]);
  await file.write(line(1, "b"));
  expect(await file.finish()).toBe(0);
  expect(read(path).map(({ source }) => source)).toEqual(["a", "b"]);
});

test("a second command does not write the same file, and changes nothing in it", async () => {
  const path = await written(line(0, "a"));
  const first = await ResultsFile.open(path, { resume: true });
  await expect(ResultsFile.open(path, { resume: true })).rejects.toMatchObject({
    code: "invalid_input",
    message: expect.stringContaining("another `kamado map` is writing"),
  });
  await first.write(line(1, "b"));
  await first.close();
  expect(read(path).map(({ source }) => source)).toEqual(["a", "b"]);
  await (await ResultsFile.open(path, { resume: true })).close();
  expect(readdirSync(folder).filter((name) => name.startsWith("."))).toEqual([]);
});

test("the zeros that a power cut leaves are cut away", async () => {
  const path = await written(line(0, "a"));
  const whole = readFileSync(path);
  appendFileSync(path, "\0".repeat(4_096));
  await (await ResultsFile.open(path, { resume: true })).close();
  expect(readFileSync(path)).toEqual(whole);
});

test("whatever a kill tore off is cut away, at every byte", async () => {
  const path = await written(line(0, "a"), line(1, "b"));
  const whole = readFileSync(path);
  const first = whole.indexOf(10) + 1;
  for (let length = first; length < whole.length; length++) {
    writeFileSync(path, whole.subarray(0, length));
    const file = await ResultsFile.open(path, { resume: true });
    expect([file.take(0, "a", "a"), file.take(1, "b", "b")]).toEqual(["kept", "none"]);
    await file.write(line(1, "b"));
    await file.finish();
    expect(readFileSync(path)).toEqual(whole);
  }
});

test("what failed or changed is done again, and its new line takes the place of the old one", async () => {
  const path = await written(line(0, "a"), line(1, "b", { status: "failed" }), line(2, "c"), line(3, "d"));
  const file = await ResultsFile.open(path, { resume: true });
  const taken = [
    file.take(0, "a", "a"),
    file.take(1, "b", "b"),
    file.take(2, "c", "other"),
    file.take(3, "d", "d"),
  ];
  expect(taken).toEqual(["kept", "failed", "changed", "kept"]);
  await file.write(line(1, "b"));
  await file.write(line(2, "c", { inputHash: "other" }));
  // A kill here: the later lines count.
  await file.close();
  const again = await ResultsFile.open(path, { resume: true });
  expect([
    again.take(0, "a", "a"),
    again.take(1, "b", "b"),
    again.take(2, "c", "other"),
    again.take(3, "d", "d"),
  ]).toEqual(Array(4).fill("kept"));
  await again.finish();
  expect(
    read(path).map(({ index, source, status, inputHash }) => [index, source, status, inputHash]),
  ).toEqual([
    [0, "a", "succeeded", "a"],
    [1, "b", "succeeded", "b"],
    [2, "c", "succeeded", "other"],
    [3, "d", "succeeded", "d"],
  ]);
});

test("inputs that came in between get their places, and lines of inputs that are gone stay behind them", async () => {
  const path = await written(line(0, "gone"), line(1, "b"));
  const link = newPath();
  symlinkSync(path, link);
  const file = await ResultsFile.open(link, { resume: true });
  expect([file.take(0, "a", "a"), file.take(1, "b", "b")]).toEqual(["none", "kept"]);
  await file.write(line(0, "a"));
  expect(await file.finish()).toBe(1);
  // The file behind the link is the one that was replaced.
  expect(read(path)).toEqual([line(0, "a"), line(1, "b"), line(2, "gone")]);
});

test.each([
  ["a text", "my notes\n"],
  ["a text without an end", "my notes"],
  ["other JSON", '{"index":0}\n'],
  [
    "a damaged line among others",
    `${JSON.stringify(line(0, "a"))}\n{"index":1,"sou\n${JSON.stringify(line(2, "c"))}\n`,
  ],
])("a file with %s is refused, and stays as it was", async (_, content) => {
  const path = newPath();
  writeFileSync(path, content);
  await expect(ResultsFile.open(path, { resume: true })).rejects.toMatchObject({ code: "invalid_input" });
  expect(readFileSync(path, "utf8")).toBe(content);
});

test("a file that is there is refused without --resume; one that is not there can be resumed", async () => {
  const path = await written(line(0, "a"));
  await expect(ResultsFile.open(path, { resume: false })).rejects.toMatchObject({
    message: expect.stringContaining("is there already"),
  });
  await (await ResultsFile.open(newPath(), { resume: true })).finish();
});

test("a file without a line is removed, so that the same command can be given again", async () => {
  const path = newPath();
  await (await ResultsFile.open(path, { resume: false })).close();
  expect(existsSync(path)).toBe(false);
});

test("a line as long as a megabyte is read over several pieces", async () => {
  const long = line(0, "a", { output: { text: "猫".repeat(700_000) } });
  const path = await written(long, line(1, "b"));
  appendFileSync(path, '{"ind');
  const file = await ResultsFile.open(path, { resume: true });
  expect([file.take(0, "a", "a"), file.take(1, "b", "b")]).toEqual(["kept", "kept"]);
  await file.finish();
  expect(read(path)).toEqual([long, line(1, "b")]);
});
