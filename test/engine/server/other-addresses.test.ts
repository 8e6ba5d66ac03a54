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
    ["a page in a browser", "OPTIONS", "/v1/chat/completions", "browser"],
    ["anything else", "GET", "/nothing", "This engine answers POST /v1/chat/completions"],
  ])("%s", async (_, method, path, words) => {
    const { url } = await start();
    const answer = await fetch(`${url}${path}`, { method, ...(method === "POST" && { body: "{}" }) });
    const { error } = (await answer.json()) as { error: { code: string; message: string } };
    expect([answer.status, error.code]).toEqual([404, "unknown_url"]);
    expect(error.message).toContain(words);
  });
});
