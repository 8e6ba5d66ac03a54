import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { chooseBackend, parseFlags } from "../../worker/engine/options.ts";

const folder = mkdtempSync(join(tmpdir(), "kamado-"));
const file = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const token = file("token", "0123456789abcdef\n");

describe("the flags", () => {
  test("have defaults", () => {
    expect(parseFlags(["--backend", "scripted"])).toEqual({
      backend: "scripted",
      host: "127.0.0.1",
      port: 4781,
      slots: "auto",
      calibrate: "auto",
      maxQueue: 64,
      stallSeconds: 300,
      logLevel: "info",
    });
  });

  test.each([
    [["--slots", "0"], "--slots: must be a whole number from 1 to 256, not 0."],
    [["--slots", "many"], "--slots: must be a whole number from 1 to 256, not many."],
    [["--calibrate", "never"], "--calibrate: never is not one of auto, always."],
    [["--memory-limit", "6 GB"], "--memory-limit: must be like 500M or 6G, not 6 GB."],
    [["--port", "x"], "--port: must be a whole number from 0 to 65535, not x."],
    [["--backend", "mlx"], "--backend: mlx is not one of"],
    [["--backend", "auto"], "--model: is needed."],
    [["--mmproj", "/no/file"], "--mmproj: there is no file /no/file."],
    [["--host", "0.0.0.0"], "--host: 0.0.0.0 can be reached from outside: give a --token-file too."],
    [["--token-file", file("short", "abc")], "--token-file: the token must have at least 16 characters."],
    [["--unknown"], "--unknown"],
  ])("%j is refused", (more, message) => {
    expect(() => parseFlags(["--backend", "scripted", ...more])).toThrow(message);
  });

  test("with a token the engine may be reached from outside", () => {
    const flags = parseFlags(["--backend", "scripted", "--host", "0.0.0.0", "--token-file", token]);
    expect(flags).toMatchObject({ host: "0.0.0.0", token: "0123456789abcdef" });
  });

  test.each([
    ["500M", 500 * 2 ** 20],
    ["1.5G", 1.5 * 2 ** 30],
  ])("a memory limit of %s is %i bytes", (text, memoryLimit) => {
    expect(parseFlags(["--backend", "scripted", "--memory-limit", text])).toMatchObject({ memoryLimit });
  });

  test.each([
    ["auto", undefined, "node-llama-cpp"],
    ["auto", "eyes.gguf", "llama-node"],
    ["llama-node", undefined, "llama-node"],
    ["scripted", "eyes.gguf", "scripted"],
  ])("%s with projector %s is %s", (wanted, mmproj, backend) => {
    expect(chooseBackend(wanted, { mmproj })).toBe(backend);
  });
});

describe("which backend a model gets", () => {
  const [mmproj, llamaServer] = ["eyes.gguf", "/there/llama-server"];
  test.each([
    ["auto", { llamaServer }, "node-llama-cpp"],
    ["auto", { mmproj }, "llama-node"],
    ["auto", { mmproj, llamaServer }, "llama-server"],
    ["llama-server", { llamaServer }, "llama-server"],
    ["llama-node", { mmproj, llamaServer }, "llama-node"],
  ])("%s with %j: %s", (wanted, files, backend) => expect(chooseBackend(wanted, files)).toBe(backend));

  test("llama-server is refused where there is none, with how to get it", () => {
    expect(() => chooseBackend("llama-server", {})).toThrow("kamado engine install-llama-server");
  });
});
