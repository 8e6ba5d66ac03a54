// Which llama-server the bench runs.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findProgram } from "../../bench/llama-server-process.ts";
import { loadConfig } from "../../worker/config/config.ts";

test("without a llama-server the error says how to get one", () => {
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
