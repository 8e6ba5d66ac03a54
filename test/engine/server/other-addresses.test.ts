// What clients are told that ask at the address of another server.
import { describe, expect, test } from "vitest";
import { start } from "./start.ts";

describe("an address of another server is refused with the one that does the same", () => {
  test.each([
    ["Ollama's chat", "POST", "/api/chat", "POST /v1/chat/completions"],
    ["Ollama's completion", "POST", "/api/generate", "POST /v1/completions"],
    ["Ollama's list", "GET", "/api/tags", "GET /v1/models"],
    ["Ollama's download", "POST", "/api/pull", "no request changes it"],
    ["Anthropic's messages", "POST", "/v1/messages", "POST /v1/chat/completions"],
    ["Anthropic's count", "POST", "/v1/messages/count_tokens", "POST /v1/chat/completions"],
    ["llama.cpp's completion", "POST", "/completion", "POST /v1/completions"],
    ["llama.cpp's tokenizer", "POST", "/tokenize", "GET /v1/models"],
    ["a base URL without /v1", "POST", "/chat/completions", "must end in /v1"],
    ["a base URL with /v1 twice", "POST", "/v1/v1/chat/completions", "leave one out"],
    [
      "a base URL with a path for chat",
      "POST",
      "/v1/chat/completions/chat/completions",
      "This engine answers",
    ],
    ["pictures", "POST", "/v1/images/generations", "writes text"],
    ["the right address with the wrong method", "GET", "/v1/chat/completions", "Use POST."],
    ["the list with the wrong method", "POST", "/v1/models", "Use GET."],
    ["anything else", "GET", "/nothing", "This engine answers POST /v1/chat/completions"],
  ])("%s", async (_, method, path, words) => {
    const { url } = await start();
    const answer = await fetch(`${url}${path}`, { method, ...(method === "POST" && { body: "{}" }) });
    const { error } = (await answer.json()) as { error: { code: string; message: string } };
    expect([answer.status, error.code]).toEqual([404, "unknown_url"]);
    expect(error.message).toMatch(new RegExp(`^There is no ${method} ${path}\\.`));
    expect(error.message).toContain(words);
  });
});

describe("a tool in another API's form is refused with the form that is read", () => {
  const ask = async (path: string, fields: object) => {
    const { url } = await start();
    const answer = await fetch(`${url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(fields),
    });
    return { status: answer.status, ...((await answer.json()) as { error: Record<string, string> }) };
  };
  const messages = [{ role: "user", content: "x" }];
  const named = { name: "f", description: "d" };
  const schema = { type: "object", properties: {} };

  test.each([
    ["Anthropic's", { ...named, input_schema: schema }, "Anthropic's form"],
    ["Anthropic's with its type", { type: "custom", ...named, input_schema: schema }, "Anthropic's form"],
    ["that of /v1/responses", { type: "function", ...named, parameters: schema }, "another API's form"],
    ["one of OpenAI's own tools", { type: "web_search" }, "only functions"],
  ])("to /v1/chat/completions: %s", async (_, tool, words) => {
    const { status, error } = await ask("/v1/chat/completions", { messages, tools: [tool] });
    expect([status, error.param]).toEqual([400, expect.stringMatching(/^tools\.0/)]);
    expect(error.message).toContain(words);
  });

  test.each([
    ["Anthropic's", { ...named, input_schema: schema }, '"name": …'],
    ["that of /v1/chat/completions", { type: "function", function: named }, '"name": …'],
  ])("to /v1/responses: %s", async (_, tool, words) => {
    const { status, error } = await ask("/v1/responses", { input: "x", tools: [tool] });
    expect([status, error.param]).toEqual([400, "tools.0"]);
    expect(error.message).toContain(words);
  });
});
