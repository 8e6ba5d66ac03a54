// The file that holds a job's input, as editors and shells of several systems write it.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { readInput, replaceFiles } from "../../worker/cli/read-input.ts";

function fileOf(bytes: string | Buffer): string {
  const folder = mkdtempSync(join(tmpdir(), "kamado-input-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "input.json");
  writeFileSync(path, bytes);
  return path;
}

test.each([
  ["UTF-8", '{"text":"牛乳"}'],
  ["UTF-8 after a byte order mark, as Notepad writes it", '\ufeff{"text":"牛乳"}\r\n'],
  ["UTF-16, as PowerShell's > writes it", Buffer.from('\ufeff{"text":"牛乳"}\r\n', "utf16le")],
])("may be %s", async (_, bytes) => {
  expect((await readInput(fileOf(bytes))).value).toEqual({ text: "牛乳" });
});

test("may be the JSON itself, in which files are seen from the current folder", async () => {
  expect(await readInput(' {"prompt": "Text: milk\\nTitle:"}')).toEqual({
    value: { prompt: "Text: milk\nTitle:" },
    folder: process.cwd(),
  });
});

test("keeps the digits of numbers above 2^53", async () => {
  expect((await readInput(fileOf('{"id":9007199254740993}'))).value).toEqual({ id: "9007199254740993" });
});

test.each([
  ["text", "hello"],
  ["nothing", ""],
  ["bytes in no character set", Buffer.from([0x22, 0x01, 0x81, 0xff, 0x22])],
])("is refused if it holds %s", async (_, bytes) => {
  await expect(readInput(fileOf(bytes))).rejects.toMatchObject({
    code: "invalid_input",
    message: expect.stringContaining("not JSON"),
    hint: expect.stringContaining("--input '{"),
  });
});

test.each([
  ["where it is wrong", '{"prompt": "a",}', "line 1 column 16"],
  ["that it is empty", "", "It is empty."],
  ["what a shell's echo made of its \\n", '{"prompt": "a\nb"}', "give the JSON itself"],
  ["that its character set is another one", Buffer.from([0x22, 0x01, 0x81, 0xff, 0x22]), "neither UTF-8"],
])("that is not JSON says %s", async (_, bytes, words) => {
  await expect(readInput(fileOf(bytes))).rejects.toThrow(words);
});

test("that is not JSON on the command line does not name a file", async () => {
  await expect(readInput('{"prompt": a}')).rejects.toThrow(/^--input: this is not JSON\. Unexpected token/);
});

test.each([
  ["/nowhere/input.json", "there is no such file"],
  [tmpdir(), "this is a folder"],
])("%s is refused: %s", async (path, words) => {
  await expect(readInput(path)).rejects.toMatchObject({
    code: "invalid_input",
    message: `--input ${path}: ${words}.`,
  });
});

test("a file that the input names and that is not there is told with the place that was looked at", async () => {
  const read = replaceFiles({ image: "file:door.png" }, "/nowhere", async () => "");
  await expect(read).rejects.toThrow("file:door.png: there is no such file at /nowhere/door.png.");
});
