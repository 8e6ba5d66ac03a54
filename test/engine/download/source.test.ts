// What may be written for a model: names, hf:…, addresses; and what is said of anything else.
import { describe, expect, test } from "vitest";
import { type Asked, sourceOf } from "../../../worker/engine/download/source.ts";
import type { KamadoError } from "../../../worker/errors.ts";

const HUB = "https://huggingface.co";
const of = (source: string, more: Partial<Asked> = {}, endpoint = HUB) =>
  sourceOf({ source, ...more }, endpoint);
const errorOf = (source: string, more: Partial<Asked> = {}): KamadoError => {
  try {
    of(source, more);
  } catch (thrown) {
    return thrown as KamadoError;
  }
  throw new Error("it was taken");
};

test.each(["qwen3-vl-4b", "Qwen3-VL-4B", "qwen3vl:4b"])(
  "%s is a name of the catalogue, with its projector",
  (name) => {
    const { files, reportedLicence, ...source } = of(name);
    expect(source).toMatchObject({ name: "qwen3-vl-4b", from: expect.stringMatching(/^hf:Qwen\//) });
    expect(reportedLicence).toBe("Apache-2.0");
    expect(
      files.map(({ role, url }) => [
        role,
        url.startsWith(`${HUB}/Qwen/Qwen3-VL-4B-Instruct-GGUF/resolve/main/`),
      ]),
    ).toEqual([
      ["model", true],
      ["mmproj", true],
    ]);
    expect(of(name, { mmproj: "none" }).files.length).toBe(1);
  },
);

test.each([
  ["hf:o/r/m.gguf", "m", `${HUB}/o/r/resolve/main/m.gguf`],
  ["hf://o/r/sub/m.Q4_K_M.gguf#v1.0", "m.Q4_K_M", `${HUB}/o/r/resolve/v1.0/sub/m.Q4_K_M.gguf`],
  ["hf.co/o/r/m.gguf", "m", `${HUB}/o/r/resolve/main/m.gguf`],
  ["https://huggingface.co/o/r/blob/main/m.gguf", "m", `${HUB}/o/r/resolve/main/m.gguf`],
  ["https://huggingface.co/o/r/resolve/main/m.gguf?download=true", "m", `${HUB}/o/r/resolve/main/m.gguf`],
  ["https://hf.co/o/r/blob/main/m.gguf", "m", `${HUB}/o/r/resolve/main/m.gguf`],
  ["http://nas.home/my%20model%20(1).gguf", "my-model-1-", "http://nas.home/my%20model%20(1).gguf"],
  ["http://nas.home/50%25%E0%A4.gguf", "50-25-E0-A4", "http://nas.home/50%25%E0%A4.gguf"],
  ["http://nas.home:8000/models/m.gguf", "m", "http://nas.home:8000/models/m.gguf"],
  ["hf:o/r/m-00001-of-00003.gguf", "m", `${HUB}/o/r/resolve/main/m-00001-of-00003.gguf`],
])("%s is %s at %s", (source, name, url) => {
  const found = of(source);
  expect([found.name, found.files[0]!.url]).toEqual([name, url]);
});

test("a mirror is asked in place of Hugging Face, also for an address of Hugging Face", () => {
  const mirror = "https://mirror.home/hf";
  expect(of("https://huggingface.co/o/r/blob/main/m.gguf", {}, mirror).files[0]!.url).toBe(
    "https://mirror.home/hf/o/r/resolve/main/m.gguf",
  );
});

test("a name that no file can have here is replaced by --name", () => {
  const url = `http://nas.home/${encodeURIComponent("模型")}.gguf`;
  expect(errorOf(url).message).toBe("模型.gguf is no name for a file here; give --name.");
  expect(of(url, { name: "mine" })).toMatchObject({ name: "mine", files: [{ file: "mine.gguf", url }] });
  const projector = errorOf("hf:o/r/m.gguf", { mmproj: "hf:o/r/模型.gguf" });
  expect(projector.message).toContain("name another projector with --mmproj, or none");
});

test("a checksum is taken for a model of the catalogue too, and refused where it cannot be right for all files", () => {
  const sha256 = "AB".repeat(32);
  const sums = of("qwen3-vl-4b", { sha256 }).files.map((file) => file.sha256);
  expect(sums).toEqual([sha256.toLowerCase(), undefined]);
  expect(errorOf("hf:o/r/m-00001-of-00002.gguf", { sha256 }).message).toContain("2 files");
});

test("what an address may hold as a secret is not kept", () => {
  expect(of("https://store.home/m.gguf?X-Amz-Signature=abc").from).toBe("https://store.home/m.gguf");
});

test("a projector is a file of the same repository, or has an address of its own", () => {
  const urlOf = (mmproj: string) => of("hf:o/r/m.gguf", { mmproj }).files[1]!.url;
  expect(urlOf("p.gguf")).toBe(`${HUB}/o/r/resolve/main/p.gguf`);
  expect(urlOf("https://nas.home/p.gguf")).toBe("https://nas.home/p.gguf");
});

describe("what cannot be meant is refused with what to do", () => {
  test.each([
    ["qwen3-vl-4", {}, "unknown_model", /did you mean qwen3-vl-4b\?/],
    ["gemma3:4b", {}, "unknown_model", /did you mean gemma-4-e4b\? Names of Ollama/],
    ["nothing-like-it", {}, "unknown_model", /There is no model nothing-like-it in the catalogue\.$/],
    ["hf:owner/repo", {}, "invalid_input", /names no file\. Write hf:owner\/repo\/file\.gguf/],
    ["hf:owner/repo:Q4_K_M", {}, "invalid_input", /names no file/],
    ["hf:o/r/../../x.gguf", {}, "invalid_input", /names no file/],
    ["hf:o/r/m-00002-of-00003.gguf", {}, "invalid_input", /name the first part/],
    ["https://me:pw@nas.home/m.gguf", {}, "invalid_input", /must not hold a name or a password/],
    ["https://nas.home/download", {}, "invalid_input", /does not end with \.gguf; give --name/],
    ["https://nas.home/..%2fm.gguf", { name: "../m" }, "invalid_input", /must begin with a letter/],
    ["hf:o/r/m.gguf", { sha256: "abc" }, "invalid_input", /64 hexadecimal digits/],
    ["https://nas.home/m.gguf", { mmproj: "p.gguf" }, "invalid_input", /--mmproj p\.gguf: give hf:/],
  ] as const)("%s %o", (source, more, code, said) => {
    const error = errorOf(source, more);
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(said)]);
  });
});
