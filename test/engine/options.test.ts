import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { chooseBackend, type GivenOptions, parseOptions } from "../../worker/engine/options.ts";
import fc from "../properties.ts";

const model = join(mkdtempSync(join(tmpdir(), "kamado-")), "model.gguf");
writeFileSync(model, "a model");
const TOKEN = "0123456789abcdef";

test("the options have defaults", () => {
  expect(parseOptions({ backend: "scripted" })).toEqual({
    backend: "scripted",
    names: [],
    host: "127.0.0.1",
    port: 4781,
    slots: "auto",
    calibrate: "auto",
    maxQueue: 64,
    stallSeconds: 300,
    repetitionStop: true,
    prefixFiles: true,
    logLevel: "info",
  });
});

test.each([
  [{ slots: 0 }, "slots: must be a whole number from 1 to 256, not 0."],
  [{ slots: "many" }, 'slots: must be "auto" or a whole number from 1 to 256, not many.'],
  [{ calibrate: "never" }, "calibrate: must be one of auto, always, not never."],
  [{ port: "x" }, "port: must be a whole number from 0 to 65535, not x."],
  [{ maxQueue: 1.5 }, "maxQueue: must be a whole number from 0 to 100000, not 1.5."],
  [{ contextSize: 15 }, "contextSize: must be a whole number from 16 to 10000000, not 15."],
  [{ threads: 1_025 }, "threads: must be a whole number from 1 to 1024, not 1025."],
  [{ prefixFiles: "no" }, "prefixFiles: must be true or false, not no."],
  [{ stallSeconds: 0 }, "stallSeconds: must be a whole number from 1 to 86400, not 0."],
  [
    { logLevel: "loud" },
    "logLevel: must be one of trace, debug, info, warn, error, fatal, silent, not loud.",
  ],
  [{ backend: "mlx" }, "backend: must be one of auto, node-llama-cpp, "],
  [{ backend: "auto" }, "model: is needed."],
  [{ llamaServer: "/no/file" }, "llamaServer: there is no file /no/file."],
  [{ backend: "node-llama-cpp", model, mmproj: model }, "backend: node-llama-cpp reads no pictures"],
  [
    { backend: "llama-server", model },
    "llamaServer: the program is needed; `kamado engine install-llama-server`",
  ],
  [{ host: "0.0.0.0" }, "host: 0.0.0.0 can be reached from outside this machine: give a token too."],
  [{ token: "abc" }, "token: must have at least 16 characters."],
  [{ unknown: 1 }, "unknown: there is no such option."],
])("%j is refused with the option's name", (more, message) => {
  expect(() => parseOptions({ backend: "scripted", ...more })).toThrow(message);
});

test.each([undefined, null, "text", []])("%j is refused instead of options", (given) => {
  expect(() => parseOptions(given)).toThrow("the options: ");
});

test("a token that is too short is not shown", () => {
  expect(() => parseOptions({ backend: "scripted", token: "hunter2" })).not.toThrow("hunter2");
});

test("with a token the engine may be reached from outside", () => {
  const options = parseOptions({ backend: "scripted", host: "0.0.0.0", token: TOKEN });
  expect(options).toMatchObject({ host: "0.0.0.0", token: TOKEN });
});

describe("which backend a model gets", () => {
  const [mmproj, llamaServer] = ["eyes.gguf", "/there/llama-server"];
  test.each([
    ["auto", {}, "node-llama-cpp"],
    ["auto", { llamaServer }, "node-llama-cpp"],
    ["auto", { mmproj }, "llama-node"],
    ["auto", { mmproj, llamaServer }, "llama-server"],
    ["llama-server", { llamaServer }, "llama-server"],
    ["llama-node", {}, "llama-node"],
    ["llama-node", { mmproj, llamaServer }, "llama-node"],
    ["scripted", { mmproj }, "scripted"],
  ] as const)("%s with %j: %s", (wanted, files, backend) =>
    expect(chooseBackend(wanted, files)).toBe(backend),
  );
});

const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const valid: fc.Arbitrary<GivenOptions> = fc.record({
  backend: fc.constantFrom("auto", "node-llama-cpp", "llama-node", "scripted"),
  model: fc.constant(model),
  script: maybe(fc.string({ unit: "binary" })),
  dataDir: maybe(fc.string({ unit: "grapheme" })),
  token: maybe(fc.string({ minLength: 16 })),
  port: maybe(fc.integer({ min: 0, max: 65_535 })),
  slots: maybe(fc.oneof(fc.constant("auto" as const), fc.integer({ min: 1, max: 256 }))),
  calibrate: maybe(fc.constantFrom("auto", "always")),
  memoryLimit: maybe(fc.nat(1e12)),
  contextSize: maybe(fc.integer({ min: 16, max: 10_000_000 })),
  threads: maybe(fc.integer({ min: 1, max: 1_024 })),
  maxQueue: maybe(fc.nat(100_000)),
  prefixFiles: maybe(fc.boolean()),
});

test("options mean the same after they crossed to another process as JSON", () => {
  fc.assert(
    fc.property(valid, (given) => {
      expect(parseOptions(JSON.parse(JSON.stringify(given)))).toEqual(parseOptions(given));
    }),
  );
});
