// /v1/responses with OpenAI's own client: texts, schemas, calls, streams, and what is refused.
import type OpenAI from "openai";
import { describe, expect, test } from "vitest";
import { collect, until } from "../running.ts";
import { recorder, start } from "./start.ts";

const WEATHER = {
  type: "function" as const,
  name: "weather",
  description: "Of a city.",
  strict: true,
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
const ROME = { name: "weather", arguments: { city: "Rome" } };

describe("a response", () => {
  test("is a text with its usage, and says that it is not stored", async () => {
    const { client } = await start();
    const response = await client.responses.create({
      model: "scripted",
      input: "hello you",
      instructions: "Echo.",
    });
    expect(response).toMatchObject({
      object: "response",
      status: "completed",
      store: false,
      instructions: "Echo.",
    });
    expect(response.output_text).toBe("hello you");
    expect(response.usage).toMatchObject({ input_tokens: 3, output_tokens: 2, total_tokens: 5 });
  });

  test("is incomplete where it is cut off", async () => {
    const { client } = await start();
    const response = await client.responses.create({
      model: "scripted",
      input: "a b c",
      max_output_tokens: 2,
    });
    expect(response).toMatchObject({
      status: "incomplete",
      incomplete_details: { reason: "max_output_tokens" },
    });
    expect(response.output_text).toBe("a b");
  });

  test("fits a schema", async () => {
    const { client } = await start();
    const schema = { type: "object", properties: { dry: { type: "boolean" } }, required: ["dry"] };
    const text = { format: { type: "json_schema" as const, name: "a", schema, strict: true } };
    const { output_text } = await client.responses.create({ model: "scripted", input: "x", text });
    expect(JSON.parse(output_text)).toEqual({ dry: false });
  });

  test("has calls as items of their own", async () => {
    const { client } = await start({ rules: [{ answer: "Let me see.", calls: [ROME, ROME] }] });
    const { output } = await client.responses.create({ model: "scripted", input: "x", tools: [WEATHER] });
    const call = {
      type: "function_call",
      name: "weather",
      arguments: '{"city":"Rome"}',
      status: "completed",
    };
    expect(output).toMatchObject([{ type: "message" }, call, call]);
    expect(output[1]).toMatchObject({
      id: expect.stringMatching(/^fc_/),
      call_id: expect.stringMatching(/^call_/),
    });
  });

  test("has the thought before the text", async () => {
    const { client } = await start({ thought: "let me see" });
    const reasoning = { effort: "low" as const };
    const { output, usage } = await client.responses.create({ model: "scripted", input: "x", reasoning });
    expect(output.map(({ type }) => type)).toEqual(["reasoning", "message"]);
    expect(usage?.output_tokens_details.reasoning_tokens).toBe(3);
  });
});

describe("a stream of one", () => {
  async function events(script: object, fields: object = {}) {
    const { client } = await start(script as Record<string, unknown>);
    const request = { model: "scripted", input: "x", stream: true as const, tools: [WEATHER], ...fields };
    return collect(await client.responses.create(request as OpenAI.Responses.ResponseCreateParamsStreaming));
  }

  test("announces, fills and closes every item in turn, and ends with the whole response", async () => {
    const all = await events({ rules: [{ answer: "Let me", calls: [ROME] }] });
    expect(all.map(({ sequence_number }) => sequence_number)).toEqual(all.map((_, at) => at));
    const types = all.map(({ type }) => type).filter((type, at, list) => type !== list[at - 1]);
    expect(types).toEqual([
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.output_item.added",
      "response.function_call_arguments.delta",
      "response.function_call_arguments.done",
      "response.output_item.done",
      "response.completed",
    ]);
    const last = all.at(-1) as OpenAI.Responses.ResponseCompletedEvent;
    const closed = all.flatMap((event) => (event.type === "response.output_item.done" ? [event.item] : []));
    expect(last.response.output).toEqual(closed);
    const deltas = all.flatMap((event) =>
      event.type === "response.function_call_arguments.delta" ? [event.delta] : [],
    );
    expect(JSON.parse(deltas.join(""))).toEqual(ROME.arguments);
  });

  test("carries the names of its events on the wire", async () => {
    const { url } = await start();
    const answer = await fetch(`${url}/v1/responses`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ input: "x", stream: true }),
    });
    const text = await answer.text();
    expect(text).toMatch(/^event: response\.created\ndata: \{"type":"response\.created"/);
    expect(text.trimEnd().split("\n\n").at(-1)).toMatch(/^event: response\.completed\n/);
  });

  test("ends with an error that comes in its middle", async () => {
    const all = await events({ rules: [{ answer: "a b c", do: "fail", afterTokens: 1 }] });
    expect(all.at(-1)).toMatchObject({ type: "response.failed", response: { status: "failed" } });
  });
});

describe("what goes in", () => {
  test("items become the messages of a conversation", async () => {
    const { client, seen } = await recorder();
    await client.responses.create({
      model: "recorder",
      instructions: "Be brief.",
      input: [
        { role: "user", content: [{ type: "input_text", text: "Rome?" }] },
        { type: "reasoning", id: "rs_1", summary: [] },
        { type: "function_call", call_id: "c1", name: "weather", arguments: "{}" },
        { type: "function_call", call_id: "c2", name: "weather", arguments: "{}" },
        { type: "function_call_output", call_id: "c1", output: "sunny" },
        { type: "function_call_output", call_id: "c2", output: [{ type: "input_text", text: "wet" }] },
      ],
    });
    const { prompt } = seen[0]!;
    const messages = "messages" in prompt ? prompt.messages : [];
    // This backend has no place for calls, so they are text.
    expect(
      messages.map(({ role, parts }) => [role, parts.map((part) => "text" in part && part.text)]),
    ).toEqual([
      ["system", ["Be brief."]],
      ["user", ["Rome?"]],
      ["assistant", ['{"name":"weather", "arguments": {}}', '{"name":"weather", "arguments": {}}']],
      ["user", ["Result of weather:", "sunny", "Result of weather:", "wet"]],
    ]);
  });

  test("an item that was answered may be named by its id, streamed or not", async () => {
    const { client } = await start({ rules: [{ when: "blue\nAnd", answer: "yes" }, { answer: "blue" }] });
    const whole = await client.responses.create({ model: "scripted", input: "x" });
    const stream = await client.responses.create({ model: "scripted", input: "x", stream: true });
    const last = (await collect(stream)).at(-1) as OpenAI.Responses.ResponseCompletedEvent;
    for (const { output } of [whole, last.response]) {
      const reference = { type: "item_reference" as const, id: output[0]!.id! };
      const next = { role: "user" as const, content: "And?" };
      const again = await client.responses.create({ model: "scripted", input: [reference, next] });
      expect(again.output_text).toBe("yes");
    }
  });

  test.each([
    ["previous_response_id", { previous_response_id: "resp_1" }, "whole conversation"],
    ["conversation", { conversation: "conv_1" }, "whole conversation"],
    ["background", { background: true }, "not supported"],
    ["prompt", { prompt: { id: "p" } }, "instructions"],
    ["truncation", { truncation: "auto" }, "disabled"],
    ["tools.0.type", { tools: [{ type: "web_search" }] }, "only functions"],
    ["tool_choice", { tools: [WEATHER], tool_choice: { type: "function", name: "sing" } }, "sing"],
    ["input.0.id", { input: [{ type: "item_reference", id: "msg_1" }] }, "store: false"],
    ["input.0.type", { input: [{ type: "computer_call" }] }, "computer_call"],
    ["input.0.role", { input: [{ content: "x" }] }, "role"],
    ["input.0.call_id", { input: [{ type: "function_call_output", output: "x" }] }, "call_id"],
    ["input.0.content.0", { input: [{ role: "user", content: [{ type: "input_file" }] }] }, "input_file"],
    ["text.format.type", { text: { format: { type: "grammar" } } }, "text.format"],
    ["max_tokens", { max_tokens: 5 }, "/v1/chat/completions"],
    ["response_format", { response_format: { type: "json_schema" } }, "/v1/chat/completions"],
    ["stop", { stop: ["a"] }, "/v1/chat/completions"],
    ["n", { n: 3 }, "/v1/chat/completions"],
    ["grammar", { grammar: "root ::= x" }, "JSON schema"],
    ["temprature", { temprature: 0 }, "no such field"],
    ["text.verbosity", { text: { verbosity: "high" } }, "medium"],
  ])("%s is refused by name", async (param, fields, why) => {
    const { client } = await start();
    const ask = client.responses.create({ model: "scripted", input: "x", ...fields } as never);
    await expect(ask).rejects.toMatchObject({ status: 400, param, message: expect.stringContaining(why) });
  });

  test("what its clients send by default changes nothing", async () => {
    const { client } = await start();
    const defaults = {
      store: true,
      include: ["reasoning.encrypted_content"],
      reasoning: { summary: "auto" },
    };
    const notes = { user: "u", metadata: { a: "b" }, service_tier: "auto", prompt_cache_key: "k" };
    const ask = { model: "scripted", input: "x", ...defaults, ...notes };
    expect(await client.responses.create(ask as never)).toMatchObject({ output_text: "x", store: false });
  });

  test("stored responses and embeddings do not exist, and the answer says what to do", async () => {
    const { client } = await start();
    await expect(client.responses.retrieve("resp_1")).rejects.toMatchObject({
      status: 404,
      message: expect.stringContaining("keeps no responses"),
    });
    await expect(client.embeddings.create({ model: "scripted", input: "x" })).rejects.toMatchObject({
      status: 404,
      message: expect.stringContaining("llama-server --embeddings"),
    });
  });

  test("a client that goes away ends the answer", async () => {
    const { url, scheduler } = await start({ tokenMs: 20, tokens: 1_000 });
    const client = new AbortController();
    const answer = fetch(`${url}/v1/responses`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ input: "x", stream: true }),
      signal: client.signal,
    });
    await answer;
    await until(() => scheduler.health().slots.busy === 1);
    client.abort();
    await until(() => scheduler.health().slots.busy === 0);
  });
});

test("items whose values are written as values, and tools in the form of chats, are read", async () => {
  const { url } = await start({ rules: [{ when: "sunny", answer: "Nice." }, { calls: [ROME] }] });
  const ask = async (body: object) => {
    const headers = { "content-type": "application/json" };
    const response = await fetch(`${url}/v1/responses`, {
      method: "POST",
      headers,
      body: JSON.stringify(body),
    });
    return (await response.json()) as OpenAI.Responses.Response;
  };
  const { type, ...fields } = WEATHER;
  const { output } = await ask({ input: "x", tools: [{ type, function: fields }], max_tool_calls: 3 });
  expect(output).toMatchObject([{ type: "function_call", name: "weather" }]);
  const call = { type: "function_call", call_id: "1", name: "weather", arguments: { city: "Rome" } };
  const result = { type: "function_call_output", call_id: "1", output: { sky: "sunny" } };
  expect((await ask({ input: [{ role: "user", content: "x" }, call, result] })).output).toMatchObject([
    { content: [{ text: "Nice." }] },
  ]);
  expect(await ask({ input: "x", include: ["everything"] })).toMatchObject({ error: { param: "include.0" } });
});
