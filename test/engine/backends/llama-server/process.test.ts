import { describe, expect, test } from "vitest";
import {
  argumentsFor,
  isSafe,
  levelOf,
  reasonIn,
  textOf,
} from "../../../../worker/engine/backends/llama-server/process.ts";

describe("what llama-server prints", () => {
  test("is passed on without its clock", () => {
    expect(textOf("0.00.013.017 E srv    load_model: failed to load model")).toBe(
      "load_model: failed to load model",
    );
    expect(textOf("error: invalid argument: --x")).toBe("error: invalid argument: --x");
  });

  test("is an error, or mostly not worth a warning", () => {
    expect(levelOf("0.00.013.017 E srv    load_model: failed")).toBe("error");
    expect(levelOf("0.00.013.017 W srv    load_model: swa_full is not supported")).toBe("debug");
    expect(levelOf("dyld: Library not loaded")).toBe("warn");
  });

  test("tells why it ended by its last lines that say so", () => {
    const lines = [
      "0.00.1 W srv    a warning",
      "0.00.2 E srv    load_model: failed to load model, 'm.gguf'",
      "",
    ];
    expect(reasonIn(lines)).toBe("load_model: failed to load model, 'm.gguf'");
    expect(reasonIn(["something", "else"])).toBe("something\nelse");
  });

  test.each([
    ["GGML_ASSERT(n > 0) failed", true],
    ["ggml_metal_init: error: out of memory", true],
    ["parse: error parsing grammar: my secret", false],
    ["common_chat_peg_parse: unparsed output: my secret", false],
    ["operator(): need to evaluate at least 1 token", false],
  ])("while it serves, %s may be logged: %s", (words, may) => expect(isSafe(words)).toBe(may));
});

test("llama-server is started on loopback, with a key in a file, and with room for every slot", () => {
  const options = { model: "m.gguf", mmproj: "eyes.gguf", slots: 4, contextSize: 1_000, threads: 2 };
  const line = argumentsFor(options, { port: 7_000, keyFile: "/private/key", folder: "/private" }).join(" ");
  for (const part of [
    "--host 127.0.0.1 --port 7000",
    "--api-key-file /private/key",
    "--parallel 4 --ctx-size 4000",
    "--mmproj eyes.gguf",
    "--threads 2",
    "--slot-save-path /private/",
    "--no-webui",
  ])
    expect(line).toContain(part);
});
