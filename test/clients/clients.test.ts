// The clients that people use, unchanged, with tools: on SmolLM2 where calls are forced, because its file has no tool template; loops in
// which the model chooses by itself run on a script. What is not installed is skipped, with the reason.
import { execFile } from "node:child_process";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { zodResponsesFunction } from "openai/helpers/zod";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, type TestContext, test } from "vitest";
import { z } from "zod";
import { openNodeLlamaCpp } from "../../worker/engine/backends/node-llama-cpp/open.ts";
import { CLIENTS, pythonOf, whyNot } from "../emulators/emulators.ts";
import { type Running, running, scripted } from "../engine/running.ts";
import { NO_REAL_MODEL, SMOLLM2 } from "../models/real-models.ts";
import { JAVASCRIPT, whyNoJavascript } from "./installed.ts";

const run = promisify(execFile);
const env = {
  PATH: process.env.PATH,
  HOME: process.env.HOME,
  NO_PROXY: "127.0.0.1",
  LANGCHAIN_TRACING_V2: "false",
  AI_SDK_LOG_WARNINGS: "false",
};
const TIMEOUT = 600_000;

async function python(context: TestContext, client: string, engine: Running | undefined) {
  const missing = whyNot(CLIENTS);
  if (missing !== null) return context.skip(missing);
  if (engine === undefined) return context.skip(`SmolLM2 is ${NO_REAL_MODEL}`);
  const script = join(import.meta.dirname, "clients.py");
  return parsed(await run(pythonOf(CLIENTS), [script, client, `${engine.url}/v1`], { env }));
}

async function javascript(context: TestContext, what: string, engine: Running | undefined) {
  const missing = whyNoJavascript();
  if (missing !== null) return context.skip(missing);
  if (engine === undefined) return context.skip(`SmolLM2 is ${NO_REAL_MODEL}`);
  const script = join(JAVASCRIPT, "vercel.js");
  // Packages are looked for beside the script.
  copyFileSync(join(import.meta.dirname, "vercel.js"), script);
  return parsed(await run(process.execPath, [script, what, `${engine.url}/v1`], { env }));
}

const parsed = ({ stdout }: { stdout: string }) => JSON.parse(stdout.trim().split("\n").at(-1)!);

describe("on SmolLM2, with forced calls", { timeout: TIMEOUT }, () => {
  let engine: Running | undefined;
  beforeAll(async () => {
    if (SMOLLM2 === undefined) return;
    const model = SMOLLM2;
    const log = pino({ level: "silent" });
    // On a machine that does other things too, one thread is faster than several that wait for each other.
    const options = { model, slots: 2, contextSize: 2_048, gpu: false as const, threads: 1 };
    engine = await running(() => openNodeLlamaCpp(options, log), { slots: 2 });
  }, TIMEOUT);
  afterAll(() => engine?.close());

  test("OpenAI's client for Python", async (context) => {
    expect(await python(context, "openai", engine)).toEqual({
      finish: "tool_calls",
      called: true,
      parsed: true,
      streamed: true,
      told: true,
      responses: true,
    });
  });

  test("OpenAI's client for Node, with both APIs", async (context) => {
    if (engine === undefined) return context.skip(`SmolLM2 is ${NO_REAL_MODEL}`);
    const { client } = engine;
    const parameters = z.object({ city: z.string().max(40), unit: z.enum(["celsius", "fahrenheit"]) });
    const tool = zodResponsesFunction({ name: "get_weather", parameters });
    const [input, model] = ["What is the weather in Paris in celsius?", "default"];
    const asked = { model, input, tools: [tool], tool_choice: "required" as const, temperature: 0 };
    const [item] = (await client.responses.parse(asked)).output;
    expect(item).toMatchObject({ type: "function_call", name: "get_weather" });
    expect(parameters.safeParse(item && "parsed_arguments" in item && item.parsed_arguments).success).toBe(
      true,
    );
    const streamed = await client.responses.stream(asked).finalResponse();
    expect(streamed.output[0]).toMatchObject({ type: "function_call", status: "completed" });
    const { type, ...definition } = tool;
    const runner = client.chat.completions.stream({
      ...{ model, temperature: 0, messages: [{ role: "user", content: input }], tool_choice: "required" },
      tools: [{ type, function: { ...definition, parameters: definition.parameters ?? {} } }],
    } as Parameters<typeof client.chat.completions.stream>[0]);
    const call = await runner.finalFunctionToolCall();
    expect(parameters.safeParse(JSON.parse(call!.arguments)).success).toBe(true);
  });

  test("LangChain", async (context) => {
    expect(await python(context, "langchain", engine)).toEqual({
      called: true,
      streamed: true,
      told: true,
      by_call: true,
      by_schema: true,
      responses: true,
    });
  });

  test("instructor", async (context) => {
    expect(await python(context, "instructor", engine)).toEqual({ called: true, streamed: true });
  });

  test("LlamaIndex", async (context) => {
    expect(await python(context, "llamaindex", engine)).toEqual({
      called: true,
      streamed: true,
      told: true,
      shaped: true,
    });
  });

  test("the Vercel AI SDK, with both APIs", async (context) => {
    const right = { finish: "tool-calls", called: true, streamed: true, told: true, object: true };
    expect(await javascript(context, "forced", engine)).toEqual({ responses: right, chat: right });
  });
});

describe("agents whose model chooses by itself", { timeout: TIMEOUT }, () => {
  let engine: Running;
  beforeAll(async () => {
    const calls = [{ name: "get_weather", arguments: { city: "Paris", unit: "celsius" } }];
    engine = await scripted({
      model: "default",
      rules: [
        { when: "sunny", answer: "It is dry." },
        { answer: "Let me see.", calls },
      ],
    });
  });
  afterAll(() => engine.close());

  test("LangChain and LlamaIndex call the tool and use its result", async (context) => {
    const answers = await python(context, "agents", engine);
    expect(answers).toEqual({ langchain: "It is dry.", llamaindex: "It is dry." });
  });

  test("the Vercel AI SDK does too, whole and streamed, with both APIs", async (context) => {
    const right = { text: "It is dry.", steps: 2, streamed: "It is dry." };
    expect(await javascript(context, "agents", engine)).toEqual({ responses: right, chat: right });
  });
});
