// Tools on every backend that runs a model: one with random weights, whose template writes calls as Hermes does, with a special token
// as their mark. What such a model says means nothing, but every call must fit its function.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TINY, writeTextModel } from "../../../models/random/models.ts";
import { START_TOKEN } from "../../../models/random/tokenizer.ts";
import { openLlamaServer } from "../../../worker/engine/backends/llama-server/open.ts";
import { openNodeLlamaCpp } from "../../../worker/engine/backends/node-llama-cpp/open.ts";
import type { BackendName } from "../../../worker/engine/generation/backend.ts";
import { startEngine } from "../../../worker/engine/supervisor/supervisor.ts";
import { collect, running, user } from "../running.ts";
import { HERMES } from "../tool-templates.ts";
import { LLAMA_SERVER, NO_LLAMA_SERVER } from "./llama-server/installed.ts";

const TEMPLATE = HERMES.replaceAll("<tool_call>", "<|im_start|>");
const SIZES = { slots: 2, contextSize: 1_024, threads: 1 };
const log = pino({ level: "silent" });

type Engine = { client: OpenAI; close(): Promise<unknown> };
const OPEN: Record<Exclude<BackendName, "scripted">, (model: string) => Promise<Engine>> = {
  "node-llama-cpp": (model) => running(() => openNodeLlamaCpp({ model, ...SIZES, gpu: false }, log), SIZES),
  "llama-server": (model) =>
    running(() => openLlamaServer({ command: LLAMA_SERVER!, model, ...SIZES }, log), SIZES),
  "llama-node": async (model) => {
    // In a process of its own: its native code may end the process, and prints.
    const engine = startEngine({ model, backend: "llama-node", ...SIZES, port: 0, onLog: () => {} });
    await engine.ready();
    const client = new OpenAI({ baseURL: `${engine.url}/v1`, apiKey: "none", maxRetries: 0 });
    return { client, close: () => engine.stop() };
  },
};

const TOOLS = [
  { name: "lamp", parameters: { on: { type: "boolean" }, room: { enum: ["hall", "attic"] } } },
  { name: "door", parameters: { open: { type: "boolean" } } },
  // A pattern that llama.cpp makes no grammar from.
  { name: "note", parameters: { text: { type: "string", pattern: "abc", maxLength: 3 } } },
].map(({ name, parameters }) => ({
  type: "function" as const,
  function: {
    name,
    parameters: { type: "object", properties: parameters, required: Object.keys(parameters) },
  },
}));
const FITS: Record<string, RegExp> = {
  lamp: /^\{ ?"on": ?(true|false), ?"room": ?"(hall|attic)" ?\}$/,
  note: /^\{.*\}$/s,
  door: /^\{ ?"open": ?(true|false) ?\}$/,
};

function callsIn(calls: readonly OpenAI.ChatCompletionMessageToolCall[] = []) {
  for (const call of calls) {
    if (call.type !== "function") throw new Error("no function");
    expect(call.function.arguments).toMatch(FITS[call.function.name]!);
  }
  return calls.map((call) => ("function" in call ? call.function.name : ""));
}

for (const backend of ["node-llama-cpp", "llama-server", "llama-node"] as const) {
  describe(`on ${backend}`, () => {
    const isMissing = backend === "llama-server" && LLAMA_SERVER === undefined;
    const folder = mkdtempSync(join(tmpdir(), "kamado-"));
    let engine: Engine | undefined;
    beforeAll(async () => {
      const model = join(folder, "tiny.gguf");
      writeTextModel(model, { ...TINY, template: TEMPLATE });
      engine = isMissing ? undefined : await OPEN[backend](model);
    }, 120_000);
    afterAll(async () => {
      await engine?.close();
      rmSync(folder, { recursive: true });
    });
    const promise = (title: string, keep: (client: OpenAI) => Promise<void>) =>
      test(title, { timeout: 120_000 }, async (context) => {
        if (engine === undefined) return context.skip(NO_LLAMA_SERVER);
        await keep(engine.client);
      });
    const request = (fields: object) => ({
      ...{ model: "default", messages: user("hi"), tools: TOOLS, seed: 1, max_tokens: 200 },
      ...fields,
    });

    promise("the template's form of a call is found", async (client) => {
      expect((await client.models.list()).data[0]).toMatchObject({ tools: true });
    });

    promise("a forced call fits its function", async (client) => {
      for (const seed of [1, 2, 3]) {
        const any = request({ seed, tool_choice: "required", parallel_tool_calls: false });
        const { choices } = await client.chat.completions.create(any);
        expect(callsIn(choices[0]!.message.tool_calls)).toHaveLength(1);
        expect(choices[0]!.finish_reason).toBe("tool_calls");
        const tool_choice = { type: "function" as const, function: { name: "door" } };
        const named = await client.chat.completions.create(request({ seed, tool_choice }));
        expect(callsIn(named.choices[0]!.message.tool_calls)[0]).toBe("door");
      }
    });

    promise("its usage counts what was generated, and a stream carries the same call", async (client) => {
      const fields = request({ tool_choice: "required", parallel_tool_calls: false, temperature: 0 });
      const whole = await client.chat.completions.create(fields);
      expect(whole.usage!.completion_tokens).toBeGreaterThan(1);
      const chunks = await collect(await client.chat.completions.create({ ...fields, stream: true }));
      const calls = chunks.flatMap(({ choices }) => choices[0]?.delta.tool_calls ?? []);
      const json = calls.map((call) => call.function?.arguments ?? "").join("");
      const [call] = whole.choices[0]!.message.tool_calls!;
      expect({
        type: "function",
        function: { name: calls[0]!.function!.name, arguments: json },
      }).toMatchObject({
        type: call!.type,
        function: "function" in call! ? call.function : {},
      });
    });

    promise("a conversation goes on behind calls and their results", async (client) => {
      const messages = [
        ...user("hi"),
        {
          role: "assistant" as const,
          content: null,
          tool_calls: [
            {
              id: "call_1",
              type: "function" as const,
              function: { name: "door", arguments: '{"open": true}' },
            },
          ],
        },
        { role: "tool" as const, tool_call_id: "call_1", content: "done <|im_end|>" },
      ];
      const { choices, usage } = await client.chat.completions.create(
        request({ messages, max_tokens: 5, tool_choice: "none" }),
      );
      expect(choices[0]!.message.tool_calls).toBeUndefined();
      expect(usage!.prompt_tokens).toBeGreaterThan(50);
    });

    // This backend refuses a bias, so nothing can make a model with random weights begin a call by itself.
    if (backend !== "llama-node")
      promise("a special token that is the mark of a call begins one", async (client) => {
        const logit_bias = { [START_TOKEN]: 100 };
        const { choices } = await client.chat.completions.create(
          request({ logit_bias, parallel_tool_calls: false }),
        );
        expect(callsIn(choices[0]!.message.tool_calls)).toHaveLength(1);
        const many = await client.chat.completions.create(request({ logit_bias, max_tokens: 300 }));
        expect(callsIn(many.choices[0]!.message.tool_calls?.slice(0, -1)).length).toBeGreaterThan(1);
      });
  });
}
