import OpenAI from "openai";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { collect, post, until, user } from "../running.ts";
import { start } from "./start.ts";

const picture = async () => {
  const { data } = await sharp({ create: { width: 8, height: 8, channels: 3, background: "red" } })
    .png()
    .toBuffer({ resolveWithObject: true });
  return `data:image/png;base64,${data.toString("base64")}`;
};

describe("an OpenAI client works unchanged", () => {
  test("a chat is answered and its tokens are counted", async () => {
    const { client } = await start({ rules: [{ answer: "It is locked." }] });
    const answer = await client.chat.completions.create({ model: "scripted", messages: user("Is it?") });
    expect(answer.choices[0]).toMatchObject({
      message: { role: "assistant", content: "It is locked." },
      finish_reason: "stop",
    });
    expect(answer.usage).toEqual({
      prompt_tokens: 2,
      completion_tokens: 3,
      total_tokens: 5,
      prompt_tokens_details: { cached_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 0 },
    });
  });

  test("a stream carries the same text, a reason and, when asked, the usage", async () => {
    const { client } = await start({ rules: [{ answer: "one two three" }] });
    const stream = await client.chat.completions.create({
      model: "default",
      messages: user("count"),
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await collect(stream);
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("")).toBe("one two three");
    expect(chunks.at(-2)!.choices[0]!.finish_reason).toBe("stop");
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 3 } });
  });

  test("an answer fits the JSON schema", async () => {
    const { client } = await start();
    const schema = {
      type: "object",
      properties: {
        facts: { type: "array", minItems: 2, items: { enum: ["a", "b"] } },
        n: { type: "integer" },
      },
      required: ["facts", "n"],
    };
    const answer = await client.chat.completions.create({
      model: "scripted",
      messages: user("facts"),
      response_format: { type: "json_schema", json_schema: { name: "facts", schema } },
    });
    expect(JSON.parse(answer.choices[0]!.message.content!)).toEqual({ facts: ["a", "a"], n: 0 });
  });

  test("logprobs say how sure the model was of each option", async () => {
    const { client } = await start({ logprobs: { y: 0.75, n: 0.2 } });
    const answer = await client.chat.completions.create({
      model: "scripted",
      messages: user("Is it?"),
      logprobs: true,
      top_logprobs: 20,
    });
    const [token] = answer.choices[0]!.logprobs!.content!;
    expect(token!.token).toBe("y");
    expect(token!.top_logprobs.map(({ token, logprob }) => [token, Math.exp(logprob).toFixed(2)])).toEqual([
      ["y", "0.75"],
      ["n", "0.20"],
    ]);
  });

  test("max_tokens and stop end an answer, each with its reason", async () => {
    const { client } = await start({ rules: [{ answer: "one two STOP three" }] });
    const ask = (more: object) =>
      client.chat.completions.create({ model: "scripted", messages: user("count"), ...more });
    const [short, stopped] = [await ask({ max_completion_tokens: 1 }), await ask({ stop: " STOP" })];
    expect(short.choices[0]).toMatchObject({ message: { content: "one" }, finish_reason: "length" });
    expect(stopped.choices[0]).toMatchObject({ message: { content: "one two" }, finish_reason: "stop" });
  });

  test("plain completions and the list of models", async () => {
    const { client } = await start({ rules: [{ when: "Once", answer: " upon a time" }] });
    const answer = await client.completions.create({ model: "scripted", prompt: "Once" });
    expect(answer.choices[0]!.text).toBe(" upon a time");
    expect((await client.models.list()).data).toMatchObject([{ id: "scripted", context_length: 8192 }]);
    expect(await client.models.retrieve("scripted")).toMatchObject({ id: "scripted", context_length: 8192 });
    await expect(client.models.retrieve("another")).rejects.toMatchObject({
      status: 404,
      code: "model_not_found",
    });
  });

  test("a model is found by the names that its owner gave it, and by no other", async () => {
    const { client } = await start({}, { names: ["qwen3-vl-4b", "/models/q.gguf"] });
    const ask = (model: string) => client.chat.completions.create({ model, messages: user("x") });
    for (const name of ["qwen3-vl-4b", "/models/q.gguf", "scripted"])
      expect((await ask(name)).model).toBe("scripted");
    expect(await client.models.retrieve("qwen3-vl-4b")).toMatchObject({ id: "scripted" });
    await expect(ask("qwen3-vl-8b")).rejects.toMatchObject({ status: 404 });
  });

  test.each([
    ["functions", [{ name: "f" }]],
    ["tool_choice", "required"],
    ["modalities", ["text", "audio"]],
    ["audio", { voice: "a" }],
    ["web_search_options", {}],
  ])("what OpenAI knows and this engine cannot honour is refused: %s", async (field, value) => {
    const { url } = await start();
    const { status, body } = await post(url, JSON.stringify({ messages: user("x"), [field]: value }));
    expect([status, body.error.code]).toEqual([400, "invalid_value"]);
    expect(body.error.param).toMatch(new RegExp(`^${field}`));
  });

  test("a picture in a message reaches the model", async () => {
    const { client } = await start({ rules: [{ when: "<image ", answer: "seen" }] });
    const content = [
      { type: "image_url" as const, image_url: { url: await picture() } },
      { type: "text" as const, text: "<input>Q</input>" },
    ];
    const answer = await client.chat.completions.create({
      model: "scripted",
      messages: [{ role: "user", content }],
    });
    expect(answer.choices[0]!.message.content).toBe("seen");
  });
});

describe("a wrong request is refused with the reason, and the engine goes on", () => {
  const image = (url: string) => [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }];
  const schema = { type: "json_schema", json_schema: {} };
  test.each([
    ["malformed JSON", "{", 400, "malformed_json", null],
    ["no messages", {}, 400, "invalid_value", "messages"],
    ["an empty conversation", { messages: [] }, 400, "invalid_value", "messages"],
    [
      "an unknown role",
      { messages: [{ role: "robot", content: "x" }] },
      400,
      "invalid_value",
      "messages.0.role",
    ],
    [
      "a temperature out of range",
      { messages: user("x"), temperature: 3 },
      400,
      "invalid_value",
      "temperature",
    ],
    [
      "21 alternatives",
      { messages: user("x"), logprobs: true, top_logprobs: 21 },
      400,
      "invalid_value",
      "top_logprobs",
    ],
    ["tools", { messages: user("x"), tools: [{}] }, 400, "invalid_value", "tools.0.function"],
    [
      "no schema",
      { messages: user("x"), response_format: schema },
      400,
      "invalid_value",
      "response_format.json_schema.schema",
    ],
    ["another model", { messages: user("x"), model: "gpt-9" }, 404, "model_not_found", "model"],
    [
      "a prompt longer than the context",
      { messages: user("a ".repeat(9_000)) },
      400,
      "context_length_exceeded",
      "messages",
    ],
    [
      "a picture that is none",
      { messages: image("data:image/png;base64,aGVsbG8=") },
      400,
      "image_undecodable",
      "messages.0.content.0.image_url",
    ],
    [
      "a picture by path",
      { messages: image("/etc/passwd") },
      400,
      "invalid_value",
      "messages.0.content.0.image_url",
    ],
    [
      "a picture by address",
      { messages: image("http://10.0.0.1/x.png") },
      400,
      "invalid_value",
      "messages.0.content.0.image_url",
    ],
  ])("%s", async (_, body, status, code, param) => {
    const { url, client } = await start();
    const refused = await post(url, typeof body === "string" ? body : JSON.stringify(body));
    expect(refused.status).toBe(status);
    expect(refused.body.error).toMatchObject({ type: "invalid_request_error", code, param });
    const answer = await client.chat.completions.create({ model: "scripted", messages: user("still here") });
    expect(answer.choices[0]!.message.content).toBe("still here");
  });

  test("a huge body is refused without being read to the end", async () => {
    const { url } = await start();
    const body = JSON.stringify({ messages: user("x".repeat(52_000_000)) });
    const refused = await post(url, body).catch(() => ({ status: 413 }));
    expect(refused.status).toBe(413);
  });

  test("a form or a plain text is not taken for JSON", async () => {
    const { url } = await start();
    expect((await post(url, "{}", { "content-type": "text/plain" })).status).toBe(400);
  });

  test("an error inside the model is a 500 without its details", async () => {
    const { url } = await start({ rules: [{ do: "fail" }] });
    const { status, body } = await post(url, JSON.stringify({ messages: user("x") }));
    expect([status, body.error.message]).toEqual([500, "The engine failed; its log says why."]);
  });

  test("an error in the middle of a stream reaches the client", async () => {
    const { client } = await start({ rules: [{ answer: "one two", do: "fail", afterTokens: 1 }] });
    const stream = await client.chat.completions.create({
      model: "scripted",
      messages: user("x"),
      stream: true,
    });
    await expect(collect(stream)).rejects.toThrow("The engine failed");
  });
});

describe("the queue", () => {
  const hanging = { rules: [{ when: "hang", do: "hang" }] };

  test("when it is full there is a 429 that says when to try again", async () => {
    const { client, scheduler, url } = await start(hanging, { slots: 1, maxQueue: 1 });
    const gone = new AbortController();
    const ask = () =>
      client.chat.completions.create({ model: "scripted", messages: user("hang") }, { signal: gone.signal });
    const waiting = [ask(), ask()].map((answer) => answer.catch(() => "gone"));
    await until(() => scheduler.queue.busy === 1 && scheduler.queue.waiting === 1);
    const refused = await post(url, JSON.stringify({ messages: user("x") }));
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await (await fetch(`${url}/health`)).json()).toMatchObject({ state: "BUSY", waiting: 1 });
    gone.abort();
    expect(await Promise.all(waiting)).toEqual(["gone", "gone"]);
  });

  test.each([{ stream: false }, { stream: true }])(
    "a client that goes away frees its slot %o",
    async (more) => {
      const { client, scheduler } = await start(hanging, { slots: 1 });
      const gone = new AbortController();
      const lost = client.chat.completions
        .create({ model: "scripted", messages: user("hang"), ...more }, { signal: gone.signal })
        .then(async (answer) => (more.stream ? collect(answer as AsyncIterable<unknown>) : answer))
        .catch(() => "gone");
      await until(() => scheduler.queue.busy === 1);
      gone.abort();
      await lost;
      await until(() => scheduler.queue.busy === 0);
      const answer = await client.chat.completions.create({ model: "scripted", messages: user("next") });
      expect(answer.choices[0]!.message.content).toBe("next");
    },
  );
});

describe("health", () => {
  test("shows why a model cannot be loaded, and requests get a 503", async () => {
    const { url } = await start({ loadFails: "no such model" });
    const health = await fetch(`${url}/health`);
    expect([health.status, await health.json()]).toMatchObject([
      503,
      { state: "SETUP_FAILED", reason: "no such model" },
    ]);
    expect((await post(url, JSON.stringify({ messages: user("x") }))).status).toBe(503);
    expect((await fetch(`${url}/v1/models`)).status).toBe(503);
  });

  test("a model that makes no progress is unhealthy", async () => {
    const { url, client } = await start({ rules: [{ do: "hang" }] }, { stallMs: 1 });
    const gone = new AbortController();
    const hung = client.chat.completions
      .create({ model: "scripted", messages: user("x") }, { signal: gone.signal })
      .catch(() => "gone");
    await until(async () => (await fetch(`${url}/health`)).status === 503);
    expect(await (await fetch(`${url}/health`)).json()).toMatchObject({ state: "UNHEALTHY" });
    gone.abort();
    await hung;
  });
});

describe("the token", () => {
  test("is needed for everything once there is one; without it health shows only the state", async () => {
    const token = "a secret of some length";
    const { url, client } = await start({}, { token });
    expect((await client.models.list()).data).toHaveLength(1);
    const stranger = new OpenAI({ baseURL: `${url}/v1`, apiKey: "a guess", maxRetries: 0 });
    await expect(stranger.models.list()).rejects.toMatchObject({ status: 401 });
    expect(await (await fetch(`${url}/health`)).json()).toEqual({ state: "READY" });
  });
});

test("a slash at the end of an address changes nothing", async () => {
  const { url } = await start();
  for (const path of ["/v1/models/", "/health/"]) expect((await fetch(url + path)).status).toBe(200);
  const body = JSON.stringify({ messages: user("x") });
  const headers = { "content-type": "application/json" };
  expect((await fetch(`${url}/v1/chat/completions/`, { method: "POST", headers, body })).status).toBe(200);
});
