// The model's files, without loading them.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadConfig, type Variables } from "../../worker/config/config.ts";
import type { Memory } from "../../worker/doctor/machine.ts";
import { modelFinding } from "../../worker/doctor/model.ts";

const memory = (mostBytes: number): Memory => ({ totalBytes: 16e9, mostBytes, from: "KAMADO_MEMORY_LIMIT" });
const look = (variables: Variables, mostBytes = 10e9) =>
  modelFinding(loadConfig({ KAMADO_DATA_DIR: tmpdir(), ...variables }, {}), memory(mostBytes));

test("the demo model fits and is called a toy; with too little memory the numbers are told", async () => {
  expect(await look({})).toMatchObject({
    status: "warn",
    found: expect.stringMatching(/a toy; .* needs \d+ MB or more of 10\.0 GB/),
  });
  expect(await look({}, 50e6)).toMatchObject({
    status: "fail",
    found: expect.stringMatching(/The model needs .* 48 MiB are available/),
    todo: expect.stringContaining("smaller model"),
  });
}, 60_000);

test("a model that is not there is told with how to get it, and a file that is none with what it is", async () => {
  expect(await look({ KAMADO_MODEL: "qwen3-vl-4b" })).toMatchObject({
    status: "fail",
    todo: expect.stringContaining("kamado model pull qwen3-vl-4b"),
  });
  const path = join(mkdtempSync(join(tmpdir(), "kamado-doctor-")), "m.gguf");
  writeFileSync(path, "<html>404</html>");
  expect(await look({ KAMADO_MODEL: path })).toMatchObject({
    status: "fail",
    found: expect.stringContaining("is not a GGUF file"),
  });
});

test("of another server's model and of a script no file is looked for", async () => {
  expect(await look({ KAMADO_ENGINE_URL: "http://127.0.0.1:1/v1", KAMADO_MODEL: "gemma" })).toEqual({
    check: "model",
    status: "ok",
    found: "gemma, at http://127.0.0.1:1",
  });
  expect(await look({ KAMADO_BACKEND: "scripted" })).toMatchObject({ status: "warn" });
});
