// What only the official client and several answers at once show; the plain cases are in http.test.ts.
import OpenAI from "openai";
import { afterEach, describe, expect, test } from "vitest";
import type { Backend, Generation } from "../../../worker/engine/generation/backend.ts";
import { collect, post, type Running, running, scripted, until, user } from "../running.ts";

let engine: Running | undefined;
const start = async (...args: Parameters<typeof scripted>) => {
  engine = await scripted(...args);
  return engine;
};
afterEach(async () => {
  await engine?.close();
  engine = undefined;
});

/** A backend that answers "ok" and shows what it was asked for. */
async function listening() {
  const seen: Generation[] = [];
  const backend: Backend = {
    info: {
      backend: "scripted",
      model: "ears",
      contextSize: 100,
      slots: 4,
      images: false,
      thinks: false,
      unsupported: [],
    },
    prepare: async (generation) => {
      seen.push(generation);
      return {
        promptTokens: 1,
        run: async (emit) => {
          emit({ text: "ok" });
          return { finish: "stop", promptTokens: 1, cachedTokens: 0, completionTokens: 1 };
        },
      };
    },
    close: async () => {},
  };
  engine = await running(async () => backend);
  return { ...engine, seen };
}

describe("several answers", () => {
  const script = { rules: [{ answer: ["one", "two words", "three words now"] }] };

  test("come with an index each, and their prompt is counted once", async () => {
    const { client } = await start(script);
    const answer = await client.chat.completions.create({ model: "scripted", messages: user("a b"), n: 3 });
    const texts = answer.choices.map(({ index, message }) => [index, message.content]);
    expect(texts).toEqual([
      [0, "one"],
      [1, "two words"],
      [2, "three words now"],
    ]);
    expect(answer.usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 6, total_tokens: 8 });
  });

  test("stream side by side, each told apart by its index", async () => {
    const { client } = await start({ ...script, tokenMs: 1 });
    const stream = await client.chat.completions.create({
      model: "scripted",
      messages: user("a b"),
      n: 3,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await collect(stream);
    const choices = chunks.flatMap(({ choices }) => choices);
    const of = (wanted: number) => choices.filter(({ index }) => index === wanted);
    const text = (wanted: number) =>
      of(wanted)
        .map(({ delta }) => delta.content ?? "")
        .join("");
    expect([text(0), text(1), text(2)]).toEqual(["one", "two words", "three words now"]);
    expect([0, 1, 2].map((at) => of(at).at(-1)!.finish_reason)).toEqual(["stop", "stop", "stop"]);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 2, completion_tokens: 6 } });
  });

  test("of a plain text, too", async () => {
    const { client } = await start(script);
    const answer = await client.completions.create({ model: "scripted", prompt: "Once", n: 2 });
    expect(answer.choices.map(({ index, text }) => [index, text])).toEqual([
      [0, "one"],
      [1, "two words"],
    ]);
  });

  test("are drawn with a seed each", async () => {
    const { client, seen } = await listening();
    await client.chat.completions.create({ model: "ears", messages: user("x"), n: 3, seed: 7 });
    expect(seen.map(({ sampling }) => sampling.seed)).toEqual([7, 8, 9]);
  });

  test("run one after another where there are fewer slots", async () => {
    const { client } = await start(script, { slots: 1 });
    const answer = await client.chat.completions.create({ model: "scripted", messages: user("x"), n: 3 });
    expect(answer.choices).toHaveLength(3);
  });

  test("find room in the line together or are refused together", async () => {
    const { client, scheduler, url } = await start({ rules: [{ do: "hang" }] }, { slots: 1, maxQueue: 2 });
    const gone = new AbortController();
    const ask = { model: "scripted", messages: user("x") };
    const hung = client.chat.completions.create(ask, { signal: gone.signal }).catch(() => "gone");
    await until(() => scheduler.queue.busy === 1);
    const refused = await post(url, JSON.stringify({ ...ask, n: 3 }));
    expect([refused.status, scheduler.queue.waiting]).toEqual([429, 0]);
    const never = await post(url, JSON.stringify({ ...ask, n: 4 }));
    expect([never.status, never.body.error.param]).toEqual([400, "n"]);
    gone.abort();
    expect(await hung).toBe("gone");
  });

  test.each([{ stream: false }, { stream: true }])("all end when their client goes away %o", async (more) => {
    const { client, scheduler } = await start({ rules: [{ when: "hang", do: "hang" }] }, { slots: 2 });
    const gone = new AbortController();
    const ask = { model: "scripted", messages: user("hang"), n: 4, ...more };
    const lost = client.chat.completions
      .create(ask, { signal: gone.signal })
      .then((answer) => collect(answer as unknown as AsyncIterable<unknown>))
      .catch(() => "gone");
    await until(() => scheduler.queue.busy === 2 && scheduler.queue.waiting === 2);
    gone.abort();
    await lost;
    await until(() => scheduler.queue.busy === 0 && scheduler.queue.waiting === 0);
    const next = await client.chat.completions.create({ model: "scripted", messages: user("next") });
    expect(next.choices[0]!.message.content).toBe("next");
  });

  test("all fail when one does, and leave their slots", async () => {
    const rules = [
      { answer: "fine", times: 1 },
      { do: "fail", times: 1 },
      { when: "x", do: "hang" },
    ];
    const { url, scheduler } = await start({ rules }, { slots: 3 });
    const { status } = await post(url, JSON.stringify({ messages: user("x"), n: 3 }));
    expect(status).toBe(500);
    expect([scheduler.queue.busy, scheduler.queue.waiting]).toEqual([0, 0]);
  });
});

describe("what shapes an answer reaches the model", () => {
  test("penalties, biases, the seed and the conversation", async () => {
    const { client, seen } = await listening();
    await client.chat.completions.create({
      model: "ears",
      messages: user("x"),
      presence_penalty: 0.5,
      frequency_penalty: -1.5,
      logit_bias: { 11: -100, 7: 2.5 },
      seed: 3,
      ...{ top_k: 40, repetition_penalty: 1.1, conversation: "kitchen" },
    });
    expect(seen[0]!.conversation).toBe("kitchen");
    expect(seen[0]!.sampling).toEqual({
      temperature: 1,
      topP: 1,
      topK: 40,
      seed: 3,
      repetitionPenalty: 1.1,
      presencePenalty: 0.5,
      frequencyPenalty: -1.5,
      logitBias: new Map([
        [7, 2.5],
        [11, -100],
      ]),
    });
  });

  test("a conversation may be named by a header that the client sends with everything", async () => {
    const { url, seen } = await listening();
    const client = new OpenAI({
      baseURL: `${url}/v1`,
      apiKey: "none",
      defaultHeaders: { "x-conversation-id": "hall" },
    });
    await client.chat.completions.create({ model: "ears", messages: user("x") });
    await client.completions.create({ model: "ears", prompt: "x" });
    expect(seen.map(({ conversation }) => conversation)).toEqual(["hall", "hall"]);
  });

  test.each([
    ["n", 17, "n"],
    ["presence_penalty", 2.1, "presence_penalty"],
    ["frequency_penalty", "much", "frequency_penalty"],
    ["logit_bias", { 5: 101 }, "logit_bias.5"],
    ["logit_bias", { door: 1 }, "logit_bias"],
    ["logit_bias", Object.fromEntries(Array.from({ length: 513 }, (_, id) => [id, 1])), "logit_bias"],
    ["logit_bias", { 40000: 1 }, "logit_bias"],
    ["priority", 10, "priority"],
    ["priority", "high", "priority"],
    ["conversation", "x".repeat(129), "conversation"],
    ["reasoning_effort", "endless", "reasoning_effort"],
    ["thinking_budget", -1, "thinking_budget"],
    ["stop", 5, "stop"],
  ])("%s: %j is refused, and named", async (field, value, param) => {
    const { url } = await start();
    const { status, body } = await post(url, JSON.stringify({ messages: user("x"), [field]: value }));
    expect([status, body.error.code, body.error.param]).toEqual([400, "invalid_value", param]);
    expect(body.error.message).toMatch(new RegExp(`^${field}`));
  });

  test.each([
    ["best_of", 2],
    ["suffix", "end"],
    ["echo", true],
    ["n", 0],
  ])("a plain completion's %s: %j is refused, and named", async (field, value) => {
    const { client } = await start();
    const ask = { model: "scripted", prompt: "x", [field]: value };
    await expect(client.completions.create(ask)).rejects.toMatchObject({ status: 400, param: field });
  });

  test("fields nobody knows are tolerated", async () => {
    const { client } = await start();
    const ask = { model: "scripted", messages: user("x"), ...{ user: "me", store: false, flavour: "salt" } };
    expect((await client.chat.completions.create(ask)).choices[0]!.message.content).toBe("x");
  });
});

describe("a client that is told to wait, or that has enough", () => {
  test("comes back by itself after a 429, as Retry-After says", async () => {
    const script = { rules: [{ do: "hang", times: 1 }] };
    const { url, client, scheduler } = await start(script, { slots: 1, maxQueue: 0 });
    const gone = new AbortController();
    const ask = { model: "scripted", messages: user("x") };
    const hung = client.chat.completions.create(ask, { signal: gone.signal }).catch(() => "gone");
    await until(() => scheduler.queue.busy === 1);
    const patient = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 3 });
    const answer = patient.chat.completions.create(ask);
    await until(async () => /requests_total{outcome="engine_busy"}/.test(await metrics(url)));
    gone.abort();
    expect((await answer).choices[0]!.message.content).toBe("x");
    expect(await hung).toBe("gone");
  });

  test("ends a stream in the middle, and its slot is free", async () => {
    const { client, scheduler } = await start({ rules: [{ answer: "one two", do: "hang", afterTokens: 1 }] });
    const stream = await client.chat.completions.create({
      model: "scripted",
      messages: user("x"),
      stream: true,
    });
    for await (const { choices } of stream) if (choices[0]!.delta.content) break;
    await until(() => scheduler.queue.busy === 0);
  });
});

const metrics = async (url: string) => (await fetch(`${url}/metrics`)).text();
