// Configuration: flags before the environment, defaults for the rest, and clear words for what is wrong.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../worker/config.ts";

const load = (environment: Record<string, string>, flags: Record<string, string> = {}) =>
  loadConfig(flags, environment);

test("without a variable everything has its default, and the model is the toy", () => {
  const config = load({});
  expect(config).toMatchObject({
    slots: 8,
    prefetch: 8,
    bucket: "kamado",
    webPort: 4780,
    localPort: 4566,
    queueUrl: undefined,
  });
  expect(config.engine).toMatchObject({ isDemo: true, port: 4781 });
  expect(config.engine.mmproj).toMatch(/kamado-demo-mmproj\.gguf$/);
});

test("a model of one's own is not given the toy's projector", () => {
  expect(load({ KAMADO_MODEL: "/models/x.gguf" }).engine).toMatchObject({
    model: "/models/x.gguf",
    mmproj: undefined,
    isDemo: false,
  });
});

test("a flag goes before the environment, an empty variable counts as none", () => {
  expect(load({ KAMADO_SLOTS: "4", KAMADO_BUCKET: "" }, { KAMADO_SLOTS: "2" })).toMatchObject({
    slots: 2,
    bucket: "kamado",
  });
});

test("an engine's address is taken with or without /v1", () => {
  expect(load({ KAMADO_ENGINE_URL: "http://127.0.0.1:8080/v1/" }).engine.url).toBe("http://127.0.0.1:8080");
});

describe("a secret", () => {
  test("may stand in a file", () => {
    const file = join(mkdtempSync(join(tmpdir(), "kamado-config-")), "token");
    writeFileSync(file, "s3cret\n");
    expect(load({ KAMADO_ENGINE_TOKEN_FILE: file }).engine.token?.reveal()).toBe("s3cret");
  });

  test("does not show when the configuration is printed", () => {
    const config = load({ KAMADO_ENGINE_TOKEN: "s3cret" });
    expect(JSON.stringify(config) + inspect(config, { depth: 9 })).not.toContain("s3cret");
  });
});

test.each([
  [{ KAMADO_SLOTS: "many" }, "KAMADO_SLOTS"],
  [{ KAMADO_SLOTS: "0" }, "KAMADO_SLOTS"],
  [{ KAMADO_QUEUE_URL: "kamado-jobs" }, "KAMADO_QUEUE_URL"],
  [{ KAMADO_TOPIC_ARN: "kamado-results" }, "KAMADO_TOPIC_ARN"],
  [{ KAMADO_BACKEND: "cuda" }, "KAMADO_BACKEND"],
  [{ KAMADO_ENGINE_TOKEN_FILE: "/no/such/file" }, "KAMADO_ENGINE_TOKEN_FILE"],
])("what is wrong is named: %j", (environment, name) => {
  expect(() => load(environment as unknown as Record<string, string>)).toThrow(
    expect.objectContaining({ code: "config_invalid", message: expect.stringContaining(name) }),
  );
});

test("nobody can change it later", () => {
  expect(() => Object.assign(load({}).engine, { port: 1 })).toThrow(TypeError);
});
