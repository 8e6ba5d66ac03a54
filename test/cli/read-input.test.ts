// The file that holds a job's input, as editors and shells of several systems write it.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { readInput } from "../../worker/cli/read-input.ts";

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
  });
});
