// A decision through every engine that runs a real model here, in scripts whose characters are several tokens. The demo model
// repeats a short text when it is asked for a title, and spells what it has no word for byte by byte.
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startEngine } from "../../worker/engine/supervisor/supervisor.ts";
import { LLAMA_SERVER, NO_LLAMA_SERVER } from "../engine/backends/llama-server/installed.ts";
import { clientOf, type Running } from "./running-engine.ts";

const file = fileURLToPath(new URL("../../models/demo/kamado-demo.gguf", import.meta.url));
const titleOf = (text: string) => ({ instructions: "Name the task.", content: `Text: ${text}\nTitle:` });

/** Exact engines report every token's probabilities; the others count five answers where one token does not decide. */
const ENGINES = [
  { backend: "node-llama-cpp", isExact: true },
  { backend: "llama-node", isExact: false },
  { backend: "llama-server", isExact: true },
] as const;

describe.each(ENGINES)("a decision on $backend", { timeout: 120_000 }, ({ backend, isExact }) => {
  const isMissing = backend === "llama-server" && LLAMA_SERVER === undefined;
  let running: Running | undefined;
  beforeAll(async () => {
    if (isMissing) return;
    const llamaServer = LLAMA_SERVER === undefined ? {} : { llamaServer: LLAMA_SERVER };
    const shape = { slots: 2, contextSize: 512, threads: 1 };
    const options = { model: file, backend, ...llamaServer, ...shape, port: 0 };
    running = await clientOf(startEngine({ ...options, onLog: () => {} }));
  }, 120_000);
  afterAll(() => running?.close());
  const model = () => running!.model();

  test.for<[string, string, string[], string]>([
    ["Japanese, of halves of characters", "牛乳を買う", ["牛乳", "本"], "牛乳"],
    ["Japanese that begins with the same token", "牛乳を買う", ["牛肉", "牛乳"], "牛乳"],
    ["Japanese, one the beginning of another", "牛乳を買う", ["牛", "牛乳"], "牛乳"],
    ["Chinese that begins alike", "买牛奶", ["买牛肉", "买牛奶"], "买牛奶"],
    ["English that begins alike", "milk", ["mill", "milk"], "milk"],
  ])("%s", async ([, text, options, expected], context) => {
    if (isMissing) return context.skip(NO_LLAMA_SERVER);
    const { best, probabilities } = await model().decide({ ...titleOf(text), options });
    expect(best).toBe(expected);
    expect(probabilities[expected]).toBeGreaterThan(isExact ? 0.9 : 0.55);
    expect(Object.values(probabilities).reduce((sum, one) => sum + one)).toBeCloseTo(1, 9);
  });

  test("emoji whose bytes begin alike: the engine holds the answer to them, and none is certain", async (context) => {
    if (isMissing) return context.skip(NO_LLAMA_SERVER);
    const options = ["🥛", "🥚", "🦷"] as const;
    const { best, probabilities } = await model().decide({ ...titleOf("Buy milk"), options });
    expect(options).toContain(best);
    const all = Object.values(probabilities);
    expect(Math.max(...all)).toBeLessThan(0.96);
    expect(all.reduce((sum, one) => sum + one)).toBeCloseTo(1, 9);
  });

  test("a schema in any script is kept", async (context) => {
    if (isMissing) return context.skip(NO_LLAMA_SERVER);
    const jsonSchema = {
      type: "object",
      properties: { 都市: { enum: ["東京"] }, 絵: { enum: ["🥛", "🥚"] } },
      required: ["都市", "絵"],
      additionalProperties: false,
    };
    const answer = await model().ask({ ...titleOf("牛乳を買う"), jsonSchema });
    expect(answer).toEqual({ 都市: "東京", 絵: expect.stringMatching(/^(🥛|🥚)$/u) });
  });
});
