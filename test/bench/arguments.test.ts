// The bench's command line: what it takes, and what a wrong flag sounds like.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { addressOf, fileOf, flagsOf, oneOf, whole, wholes } from "../../bench/arguments.ts";
import { findProgram } from "../../bench/llama-server-process.ts";
import { loadConfig } from "../../worker/config/config.ts";

const table = { options: { rounds: { type: "string", default: "3" }, wide: { type: "boolean" } } } as const;

test("a table takes its own flags, and --json with each", () => {
  expect({ ...flagsOf(table, ["--wide", "--json"]) }).toEqual({ rounds: "3", wide: true, json: true });
});

test("a flag the table does not know is refused by name", () => {
  expect(() => flagsOf(table, ["--round", "3"])).toThrow(/--round/);
});

test.each(["0", "-1", "1.5", "many", ""])("%j is no number of rounds", (rounds) => {
  expect(() => whole({ rounds }, "rounds")).toThrow(/^--rounds: must be a whole number/);
});

test("a list is given with commas, and each of its parts is checked", () => {
  expect(wholes({ concurrency: "1, 8,16" }, "concurrency")).toEqual([1, 8, 16]);
  expect(() => wholes({ concurrency: "1,,8" }, "concurrency")).toThrow(/^--concurrency/);
});

test("a word that is none of the choices is refused with the choices", () => {
  expect(oneOf({ format: "Q4_0" }, "format", ["Q8_0", "Q4_0"])).toBe("Q4_0");
  expect(() => oneOf({ format: "Q5" }, "format", ["Q8_0", "Q4_0"])).toThrow("Q8_0, Q4_0, not Q5");
});

test("a file that is not there is named", () => {
  expect(fileOf({ model: import.meta.filename }, "model")).toBe(import.meta.filename);
  expect(fileOf({}, "model")).toBeUndefined();
  expect(() => fileOf({ model: "/nope" }, "model")).toThrow("--model: there is no file /nope.");
  expect(() => fileOf({ model: tmpdir() }, "model")).toThrow("--model: there is no file");
});

test.each(["foo", "localhost:8080", "ftp://here"])("%s is no server's address", (url) => {
  expect(addressOf({ url: "http://127.0.0.1:8080/v1" }, "url")).toBe("http://127.0.0.1:8080/v1");
  expect(() => addressOf({ url }, "url")).toThrow(`--url: must be like http://127.0.0.1:8080, not ${url}.`);
});

test("without a llama-server one is told how to get it", () => {
  const folder = mkdtempSync(join(tmpdir(), "kamado-"));
  const config = (variables: Record<string, string>) =>
    loadConfig({ KAMADO_DATA_DIR: folder, ...variables }, {});
  expect(() => findProgram(config({}))).toThrow(/install-llama-server.*KAMADO_LLAMA_SERVER/);
  expect(() => findProgram(config({ KAMADO_LLAMA_SERVER: "/no/such" }))).toThrow(
    /KAMADO_LLAMA_SERVER.*\/no\/such/,
  );
  expect(findProgram(config({ KAMADO_LLAMA_SERVER: process.execPath }))).toBe(process.execPath);
  rmSync(folder, { recursive: true });
});
