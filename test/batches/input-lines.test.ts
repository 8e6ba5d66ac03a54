// What is said of the lines of an input file, and where each of them is.
import { mkdtempSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { linesOf, readRequest } from "../../worker/batches/input-lines.ts";
import { all, chat } from "./rig.ts";

const URL = "/v1/chat/completions";
const bytesOf = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
const good = chat("a");

test("a line asks for what its body says", () => {
  expect(readRequest(bytesOf(good), URL)).toEqual({ customId: "a", model: "small", body: good.body });
  // As Windows ends lines, and with the mark that some editors put first.
  const marked = Buffer.from(`\ufeff${JSON.stringify(good)}\r`);
  expect(readRequest(marked, URL)).toMatchObject({ customId: "a" });
  expect(readRequest(bytesOf({ ...good, priority: "high" }), URL)).toMatchObject({ customId: "a" });
});

test.each([
  ["invalid_json_line", null, "{"],
  ["invalid_json_line", null, Buffer.from([0x7b, 0xff, 0x7d])],
  ["invalid_request", null, "[1]"],
  ["invalid_request", null, `${"[".repeat(200)}${"]".repeat(200)}`],
  ["invalid_request", null, undefined],
  ["missing_required_parameter", "custom_id", { ...good, custom_id: null }],
  ["invalid_request", "custom_id", { ...good, custom_id: 7 }],
  ["invalid_request", "custom_id", { ...good, custom_id: "x".repeat(513) }],
  ["invalid_request", "custom_id", { ...good, custom_id: "\ud800" }],
  ["missing_required_parameter", "method", { ...good, method: undefined }],
  ["invalid_request", "method", { ...good, method: "GET" }],
  ["missing_required_parameter", "url", { ...good, url: undefined }],
  ["url_mismatch", "url", { ...good, url: "/v1/completions" }],
  ["missing_required_parameter", "body", { ...good, body: undefined }],
  ["invalid_request", "body", { ...good, body: "hi" }],
  ["missing_required_parameter", "body.messages", { ...good, body: { prompt: "hi" } }],
  ["invalid_request", "body.model", chat("a", { model: 4 })],
  ["invalid_request", "body.stream", chat("a", { stream: true })],
] as const)("%s, %s: %j", (code, param, line) => {
  const bytes = line === undefined || line instanceof Uint8Array ? line : bytesOf(line);
  expect(readRequest(bytes, URL)).toMatchObject({ code, param, message: expect.any(String) });
});

test("a file in UTF-16, as some programs save it, is told as that", () => {
  const bytes = Buffer.from(`\ufeff${JSON.stringify(good)}`, "utf16le");
  for (const one of [bytes, Buffer.from(bytes).swap16()])
    expect(readRequest(one, URL)).toMatchObject({
      code: "invalid_json_line",
      message: expect.stringContaining("UTF-8"),
    });
});

test("every line is found where it is, whatever ends it, and blank ones are none", async () => {
  const path = join(mkdtempSync(join(tmpdir(), "kamado-lines-")), "in.jsonl");
  const line = fc.oneof(
    fc.string({ maxLength: 20 }),
    fc.constantFrom("", " \t\r", "é\u2028", "x".repeat(70_000), "y".repeat(65_535)),
  );
  const lines = fc.array(
    line.map((text) => text.replaceAll("\n", "")),
    { maxLength: 8 },
  );
  await fc.assert(
    fc.asyncProperty(lines, fc.boolean(), async (texts, endsWithLine) => {
      writeFileSync(path, texts.join("\n") + (endsWithLine ? "\n" : ""));
      const file = await readFile(path);
      const found = await all(linesOf(path));
      const wanted = texts
        .map((text, at) => ({ text, number: at + 1 }))
        .filter(({ text }) => !/^[ \t\r\v\f]*$/.test(text));
      expect(found.map(({ bytes, number }) => ({ text: Buffer.from(bytes!).toString(), number }))).toEqual(
        wanted,
      );
      for (const { start, length, bytes } of found)
        expect(file.subarray(start, start + length).equals(bytes!)).toBe(true);
    }),
    { numRuns: 50 },
  );
});

test("a line that is too long is told of without being held", async () => {
  const path = join(mkdtempSync(join(tmpdir(), "kamado-lines-")), "in.jsonl");
  writeFileSync(path, `a\n${"b".repeat(200_000)}\nc`);
  const found = await all(linesOf(path, 100_000));
  expect(found.map(({ number, start, length, bytes }) => [number, start, length, bytes?.length])).toEqual([
    [1, 0, 1, 1],
    [2, 2, 200_000, undefined],
    [3, 200_003, 1, 1],
  ]);
});
