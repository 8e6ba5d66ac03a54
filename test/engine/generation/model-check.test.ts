// A wrong file is refused by its header, and the error names the setting.
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TINY, TINY_EYES, writeEyes, writeTextModel } from "../../../models/random/models.ts";
import { checkFiles } from "../../../worker/engine/generation/model-check.ts";
import { GEMMA3, NO_REAL_MODEL, SMOLLM2 } from "../../models/real-models.ts";

const folder = mkdtempSync(join(tmpdir(), "kamado-"));
const at = (name: string) => join(folder, name);
const [model, eyes, others] = [at("model.gguf"), at("eyes.gguf"), at("other-eyes.gguf")];
beforeAll(() => {
  writeTextModel(model, TINY);
  writeEyes(eyes, TINY_EYES);
  writeEyes(others, { ...TINY_EYES, textWidth: 128 });
  mkdirSync(at("folder"));
  writeFileSync(at("empty.gguf"), "");
  writeFileSync(at("page.gguf"), "<!doctype html><title>404</title>");
  const whole = readFileSync(model);
  writeFileSync(at("header.gguf"), whole.subarray(0, 400));
  writeFileSync(at("half.gguf"), whole.subarray(0, whole.length / 2));
  writeFileSync(at("nearly.gguf"), whole.subarray(0, whole.length - 64));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("files that can never work are refused, with the name of their setting:", () => {
  test.each([
    ["a model that does not exist", { model: at("none.gguf") }, "KAMADO_MODEL", "does not exist"],
    ["a path that no file can have", { model: "a\0b" }, "KAMADO_MODEL", "does not exist"],
    ["a folder", { model: at("folder") }, "KAMADO_MODEL", "is a folder"],
    ["an empty file", { model: at("empty.gguf") }, "KAMADO_MODEL", "is empty"],
    [
      "a page that was stored in place of a model",
      { model: at("page.gguf") },
      "KAMADO_MODEL",
      "is not a GGUF file",
    ],
    [
      "a download that broke off within the header",
      { model: at("header.gguf") },
      "KAMADO_MODEL",
      "is cut off",
    ],
    ["a download that broke off half-way", { model: at("half.gguf") }, "KAMADO_MODEL", "is cut off"],
    ["a download that lacks its last bytes", { model: at("nearly.gguf") }, "KAMADO_MODEL", "is cut off"],
    ["a projector in place of the model", { model: eyes }, "KAMADO_MODEL", "may be swapped"],
    ["a model in place of the projector", { model, mmproj: model }, "KAMADO_MMPROJ", "may be swapped"],
    [
      "a projector of another model",
      { model, mmproj: others },
      "KAMADO_MMPROJ",
      "projector of another model",
    ],
    ["a projector that does not exist", { model, mmproj: at("none") }, "KAMADO_MMPROJ", "does not exist"],
  ])("%s", async (_, files, name, what) => {
    const thrown = await checkFiles(files).catch((thrown) => thrown);
    expect(thrown).toMatchObject({ code: "config_invalid" });
    expect(thrown.message).toContain(`${name}: `);
    expect(`${thrown.message} ${thrown.hint}`).toContain(what);
  });

  test.each([
    ["gemma3:4b", /GGUF file.*KAMADO_ENGINE_URL=http:\/\/127\.0\.0\.1:11434/],
    ["llama3.2", /KAMADO_ENGINE_URL/],
    ["hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M", /KAMADO_ENGINE_URL/],
    ["https://huggingface.co/a/b/resolve/main/c.gguf", /Download the file/],
    ["~/models/c.gguf", /Write ~ out/],
    [" /models/c.gguf", /begins or ends with a space/],
  ])("%j, where there is no such file, gets a hint of what was meant", async (model, hint) => {
    await expect(checkFiles({ model })).rejects.toMatchObject({
      message: `KAMADO_MODEL: ${model} does not exist.`,
      hint: expect.stringMatching(hint),
    });
  });

  test.each([
    "/models/gemma3.gguf",
    "gemma3.gguf",
    "./gemma3:4b",
    "C:\\models\\gemma3.gguf",
    "models/gemma3",
  ])("%j is a path, and no name of Ollama's is guessed", async (model) => {
    const { hint } = await checkFiles({ model }).catch((thrown) => thrown);
    expect(hint).toMatch(/path of a GGUF file/);
    expect(hint).not.toContain("KAMADO_ENGINE_URL");
  });

  test("what goes through a file as if it were a folder is said to be unreadable, not damaged", async () => {
    await expect(checkFiles({ model: join(model, "inside.gguf") })).rejects.toMatchObject({
      message: expect.stringMatching(/cannot be read \(ENOTDIR\)|does not exist/),
    });
  });

  const isRoot = process.getuid?.() === 0;
  test.skipIf(isRoot)(
    `one that this user may not read${isRoot ? ": root may read every file" : ""}`,
    async () => {
      chmodSync(at("half.gguf"), 0);
      await expect(checkFiles({ model: at("half.gguf") })).rejects.toMatchObject({
        message: expect.stringContaining("cannot be read (EACCES)"),
        hint: expect.stringContaining("Let the user that runs Kamado read the file"),
      });
    },
  );

  test("a model with its projector is not", async () => {
    await expect(checkFiles({ model, mmproj: eyes })).resolves.toBeUndefined();
  });
  for (const [name, path] of Object.entries({ SmolLM2: SMOLLM2, "Gemma 3": GEMMA3 })) {
    const title = path === undefined ? `${name}: ${NO_REAL_MODEL}` : `${name} is not`;
    test.skipIf(path === undefined)(title, async () => {
      await expect(checkFiles({ model: path! })).resolves.toBeUndefined();
    });
  }
});
