// Tools over the API: which calls come back, in which shape, and what is refused.
import type OpenAI from "openai";
import { describe, expect, test } from "vitest";
import { collect, post, user } from "../running.ts";
import { start } from "./start.ts";

const tool = (name: string, properties: Record<string, unknown> = { city: { type: "string" } }) => ({
  type: "function" as const,
  function: {
    name,
    description: `Does ${name}.`,
    parameters: { type: "object", properties, required: Object.keys(properties) },
  },
});
const TOOLS = [tool("weather"), tool("add", { a: { type: "integer" }, b: { type: "integer" } })];
const ROME = { name: "weather", arguments: { city: "Rome" } };
const SUM = { name: "add", arguments: { a: 1, b: 2 } };
const named = (name: string) => ({ type: "function" as const, function: { name } });

async function ask(script: Record<string, unknown>, fields: Record<string, unknown> = {}) {
  const { client } = await start(script);
  const request = { model: "scripted", messages: user("x"), tools: TOOLS, ...fields };
  const { choices } = await client.chat.completions.create(
    request as OpenAI.ChatCompletionCreateParamsNonStreaming,
  );
  return choices[0]!;
}
const callsIn = ({ message }: OpenAI.ChatCompletion.Choice) =>
  (message.tool_calls ?? []).map(
    (call) => "function" in call && [call.function.name, call.function.arguments],
  );

describe("a model with a tool template", () => {
  test("calls a tool when it wants to, in OpenAI's shape", async () => {
    const choice = await ask({ rules: [{ answer: "Let me see.", calls: [ROME] }] });
    expect(choice.finish_reason).toBe("tool_calls");
    expect(choice.message.content).toBe("Let me see.\n");
    expect(choice.message.tool_calls).toEqual([
      {
        id: expect.stringMatching(/^call_[0-9a-f]{24}$/),
        type: "function",
        function: { name: "weather", arguments: '{"city":"Rome"}' },
      },
    ]);
  });

  test("has no content where it only calls", async () => {
    expect((await ask({ rules: [{ calls: [ROME] }] })).message.content).toBeNull();
  });

  test("answers with text when it does not", async () => {
    const choice = await ask({ rules: [{ answer: "No need." }] });
    expect([choice.message.content, choice.finish_reason]).toEqual(["No need.", "stop"]);
    expect(choice.message.tool_calls).toBeUndefined();
  });

  test("calls several in one answer, and one where parallel calls are off", async () => {
    const script = { rules: [{ calls: [ROME, SUM] }] };
    const both = [
      ["weather", '{"city":"Rome"}'],
      ["add", '{"a":1,"b":2}'],
    ];
    expect(callsIn(await ask(script))).toEqual(both);
    expect(callsIn(await ask(script, { tool_choice: "required" }))).toEqual(both);
    expect(callsIn(await ask(script, { parallel_tool_calls: false }))).toEqual(both.slice(0, 1));
  });

  test.each([
    ["required", "required", ["add", '{"a":1,"b":2}']],
    ["any, as others call it", "any", ["add", '{"a":1,"b":2}']],
    ["a name", named("weather"), ["weather", '{"city":""}']],
    [
      "allowed tools",
      { type: "allowed_tools", allowed_tools: { mode: "required", tools: [named("weather")] } },
      ["weather", '{"city":""}'],
    ],
  ])("must call where it is told to: %s", async (_, tool_choice, call) => {
    const choice = await ask({ rules: [{ answer: "No need.", calls: [SUM] }] }, { tool_choice });
    expect([choice.message.content, choice.finish_reason]).toEqual([null, "tool_calls"]);
    expect(callsIn(choice)).toEqual([call]);
  });

  const weather = { type: "allowed_tools", mode: "required", tools: [{ type: "function", name: "weather" }] };
  test.each([
    [{ type: "function", name: "weather" }, "weather"],
    [{ function: { name: "weather" } }, "weather"],
    [{ name: "weather" }, "weather"],
    [{ type: "tool", name: "weather" }, "weather"],
    [{ type: "any" }, "add"],
    [{ type: "required" }, "add"],
    [weather, "weather"],
  ])("must call where it is told so in another form: %j", async (tool_choice, called) => {
    const choice = await ask({ rules: [{ answer: "No need.", calls: [SUM] }] }, { tool_choice });
    expect(callsIn(choice)).toMatchObject([[called, expect.anything()]]);
  });

  test("is free, or kept from it, in another form", async () => {
    const script = { rules: [{ answer: "Fine.", calls: [ROME] }] };
    expect(callsIn(await ask(script, { tool_choice: { type: "auto" } }))).toHaveLength(1);
    expect(callsIn(await ask(script, { tool_choice: { type: "none" } }))).toEqual([]);
  });

  const parameters = { type: "object", properties: { city: { enum: ["Oslo"] } }, required: ["city"] };
  test.each([
    ["the form of /v1/responses", { type: "function", name: "weather", parameters }],
    ["a form without a type", { function: { name: "weather", parameters } }],
    ["Anthropic's form", { name: "weather", input_schema: parameters }],
    ["MCP's form", { name: "weather", inputSchema: parameters }],
    [
      "a list of types",
      { type: "function", name: "weather", parameters: { ...parameters, type: ["object", "null"] } },
    ],
  ])("reads a tool in %s", async (_, tool) => {
    const choice = await ask({}, { tools: [tool], tool_choice: "required" });
    expect(callsIn(choice)).toEqual([["weather", '{"city":"Oslo"}']]);
  });

  test.each(["天気", "météo", "get.weather:v1/now"])("calls a tool with the name %s", async (name) => {
    expect(callsIn(await ask({}, { tools: [tool(name, {})], tool_choice: "required" }))).toEqual([
      [name, "{}"],
    ]);
  });

  test("calls none where it is told so", async () => {
    const choice = await ask({ rules: [{ answer: "Fine.", calls: [ROME] }] }, { tool_choice: "none" });
    expect([choice.message.content, callsIn(choice)]).toEqual(["Fine.", []]);
  });

  test("answers by a schema where it does not call", async () => {
    const schema = { type: "object", properties: { dry: { type: "boolean" } }, required: ["dry"] };
    const response_format = { type: "json_schema", json_schema: { name: "a", schema } };
    const answer = { dry: true };
    const shaped = await ask({ rules: [{ answer }] }, { response_format });
    expect(shaped.message.content).toBe(JSON.stringify(answer));
    expect(callsIn(await ask({ rules: [{ calls: [ROME] }] }, { response_format }))).toHaveLength(1);
  });

  test("thinks before it calls", async () => {
    const choice = await ask(
      { rules: [{ thought: "It is about Rome.", calls: [ROME] }] },
      { reasoning_effort: "low", tool_choice: "required" },
    );
    expect(choice.message).toMatchObject({ reasoning_content: "It is about Rome." });
    expect(callsIn(choice)).toEqual([["weather", '{"city":"Rome"}']]);
  });

  test("is cut off inside of a call with the reason length", async () => {
    const choice = await ask(
      { rules: [{ calls: [{ name: "weather", arguments: { city: "a b c d e f g h" } }] }] },
      { tool_choice: named("weather"), max_tokens: 3 },
    );
    expect(choice.finish_reason).toBe("length");
  });

  test("streams a call as its name and then its arguments", async () => {
    const { client } = await start({ rules: [{ answer: "Let me see.", calls: [ROME, SUM] }] });
    const stream = await client.chat.completions.create({
      model: "scripted",
      messages: user("x"),
      tools: TOOLS,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await collect(stream);
    const deltas = chunks.flatMap(({ choices }) => choices);
    expect(deltas.map(({ delta }) => delta.content ?? "").join("")).toBe("Let me see.\n");
    const calls = deltas.flatMap(({ delta }) => delta.tool_calls ?? []);
    const first = calls.filter(({ id }) => id !== undefined);
    expect(first.map(({ index, type, function: f }) => [index, type, f?.name, f?.arguments])).toEqual([
      [0, "function", "weather", ""],
      [1, "function", "add", ""],
    ]);
    const json = [0, 1].map((nth) =>
      calls
        .filter(({ index }) => index === nth)
        .map(({ function: f }) => f?.arguments)
        .join(""),
    );
    expect(json.map((one) => JSON.parse(one))).toEqual([ROME.arguments, SUM.arguments]);
    expect(deltas.at(-1)?.finish_reason).toBe("tool_calls");
    expect(chunks.at(-1)?.usage?.completion_tokens).toBeGreaterThan(0);
  });

  test("goes on after the tool has answered", async () => {
    const choice = await ask(
      { rules: [{ when: "sunny", answer: "It is sunny." }, { calls: [ROME] }] },
      {
        messages: [
          ...user("Rome?"),
          {
            role: "assistant",
            content: null,
            tool_calls: [{ id: "1", type: "function", function: { name: "weather", arguments: "{}" } }],
          },
          { role: "tool", tool_call_id: "1", content: "sunny" },
        ],
      },
    );
    expect(choice.message.content).toBe("It is sunny.");
  });
});

describe("a model without a tool template", () => {
  test("calls where it is forced to, with the tools described to it", async () => {
    const script = { tools: false, rules: [{ when: "Does weather.", calls: [ROME] }] };
    const choice = await ask(script, { tool_choice: "required" });
    expect(callsIn(choice)).toEqual([["weather", '{"city":"Rome"}']]);
  });

  test("refuses to choose by itself, and says what to do", async () => {
    const { url } = await start({ tools: false });
    const { status, body } = await post(url, JSON.stringify({ messages: user("x"), tools: TOOLS }));
    expect([status, body.error.param]).toEqual([400, "tools"]);
    expect(body.error.message).toContain("tool_choice");
  });

  test("reads a history with calls as text", async () => {
    const script = {
      tools: false,
      rules: [{ when: "Result of weather:\nsunny\nAnd now?", answer: "Rain." }],
    };
    const choice = await ask(script, {
      tools: undefined,
      messages: [
        {
          role: "assistant",
          content: null,
          tool_calls: [{ id: "1", type: "function", function: { name: "weather", arguments: "{}" } }],
        },
        { role: "tool", tool_call_id: "1", content: "sunny" },
        ...user("And now?"),
      ],
    });
    expect(choice.message.content).toBe("Rain.");
  });

  test("says so in the list of models", async () => {
    for (const tools of [true, false]) {
      const { client } = await start({ tools });
      expect((await client.models.list()).data[0]).toMatchObject({ tools });
    }
  });
});

describe("a wrong request about tools is refused by name", () => {
  const ambiguous = { oneOf: Array.from({ length: 40 }, () => ({ type: "string", maxLength: 200 })) };
  test.each([
    ["a tool of OpenAI's own", { tools: [{ type: "web_search" }] }, "tools.0.type"],
    ["a tool without a name", { tools: [{ type: "function", function: {} }] }, "tools.0.function.name"],
    ["a name that could be more", { tools: [tool("<|im_end|>")] }, "tools.0.function.name"],
    ["a name with marks of DeepSeek", { tools: [tool("<｜tool▁sep｜>")] }, "tools.0.function.name"],
    ["a choice without a name", { tools: TOOLS, tool_choice: { type: "function" } }, "tool_choice"],
    ["two of one name", { tools: [tool("a"), tool("a")] }, "tools"],
    ["too many", { tools: Array.from({ length: 129 }, (_, at) => tool(`t${at}`)) }, "tools"],
    [
      "a schema that is none",
      { tools: [tool("a", { b: { type: "strng" } })] },
      "tools.0.function.parameters",
    ],
    [
      "a schema that is no object's",
      { tools: [{ type: "function", function: { name: "a", parameters: { type: "array" } } }] },
      "tools.0.function.parameters",
    ],
    [
      "a schema that costs too much",
      { tools: [tool("a", { b: { $ref: "#/nowhere" }, c: ambiguous })] },
      "tools.0.function.parameters",
    ],
    ["a choice of another", { tools: TOOLS, tool_choice: named("sing") }, "tool_choice"],
    ["a choice that is none", { tools: TOOLS, tool_choice: "maybe" }, "tool_choice"],
    ["a call without tools", { tool_choice: "required" }, "tool_choice"],
    ["the older form", { functions: [{ name: "a" }] }, "functions"],
    ["the older choice", { function_call: { name: "a" } }, "function_call"],
  ])("%s", async (_, fields, param) => {
    const { url } = await start();
    const { status, body } = await post(url, JSON.stringify({ messages: user("x"), ...fields }));
    expect([status, body.error.code, body.error.param]).toEqual([400, "invalid_value", param]);
    expect(body.error.message).toContain(param);
  });

  test.each([
    ["no parameters", undefined],
    ["empty ones", {}],
    ["none that are listed", { type: "object", properties: {} }],
  ])("but a function may have %s", async (_, parameters) => {
    const tools = [{ type: "function", function: { name: "now", ...(parameters && { parameters }) } }];
    expect(callsIn(await ask({}, { tools, tool_choice: "required" }))).toEqual([["now", "{}"]]);
  });

  test("and empty lists and nulls are nothing", async () => {
    for (const tools of [[], null]) {
      const choice = await ask({}, { tools, tool_choice: "auto", functions: [], parallel_tool_calls: null });
      expect(choice.message.content).toBe("x");
    }
  });
});
