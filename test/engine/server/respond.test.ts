// How the answers of one request are run and sent together, and what happens when the client goes away.
import OpenAI from "openai";
import { describe, expect, test } from "vitest";
import { MemoryBudget } from "../../../worker/engine/server/memory-budget.ts";
import { collect, post, until, user } from "../running.ts";
import { rawRequest } from "./raw-request.ts";
import { recorder, start } from "./start.ts";

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

  test("stream side by side, each with its index", async () => {
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
    const { client, seen } = await recorder();
    await client.chat.completions.create({ model: "recorder", messages: user("x"), n: 3, seed: 7 });
    expect(seen.map(({ sampling }) => sampling.seed)).toEqual([7, 8, 9]);
  });

  test("run one after another where there are fewer slots", async () => {
    const { client } = await start(script, { slots: 1 });
    const answer = await client.chat.completions.create({ model: "scripted", messages: user("x"), n: 3 });
    expect(answer.choices).toHaveLength(3);
  });

  test("are admitted to the queue together or refused together", async () => {
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

describe("a client", () => {
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

describe("a client that does not read", () => {
  /** More than the systems on both sides buffer. */
  const long = { answer: `${"y".repeat(100_000)} `.repeat(200), tokenMs: 1 };

  test("its stream is cut off, and its slot is free", async () => {
    const budget = new MemoryBudget();
    const rules = [{ when: "never", ...long, do: "hang", afterTokens: 199 }];
    const { url, scheduler, client } = await start({ rules }, { slots: 1, budget });
    rawRequest(url, JSON.stringify({ messages: user("never"), stream: true })).pause();
    await until(() => scheduler.queue.busy === 1);
    await until(() => scheduler.queue.busy === 0);
    await until(() => budget.bytes === 0);
    const next = await client.chat.completions.create({ model: "scripted", messages: user("next") });
    expect(next.choices[0]!.message.content).toBe("next");
  });

  test("its whole answer is not kept for ever", async () => {
    const budget = new MemoryBudget();
    const rules = [{ ...long, tokenMs: 0 }];
    const { url, scheduler } = await start({ rules }, { slots: 1, budget, unreadMs: 100 });
    rawRequest(url, JSON.stringify({ messages: user("never") })).pause();
    await until(() => scheduler.queue.busy === 1 || budget.bytes > 20_000_000);
    await until(() => budget.bytes === 0);
    expect(scheduler.queue.busy).toBe(0);
  });
});

test("an answer that needs more memory than is left ends, and the others go on", async () => {
  const budget = new MemoryBudget({ small: 100_000, large: 0 });
  const rules = [{ when: "long", answer: "word ".repeat(5_000), tokenMs: 1 }];
  const { url } = await start({ rules }, { budget });
  const [long, short] = await Promise.all(
    ["long", "short"].map((text) => post(url, JSON.stringify({ messages: user(text) }))),
  );
  expect([long!.status, long!.body.error.code, short!.status]).toEqual([429, "engine_busy", 200]);
  await until(() => budget.bytes === 0);
});

test.each([{ stream: false }, { stream: true }])(
  "an answer that a stop cuts off says so, instead of breaking off %o",
  async (more) => {
    const { url, scheduler } = await start({ rules: [{ do: "hang" }] });
    const answer = fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ messages: user("x"), ...more }),
    });
    await until(() => scheduler.queue.busy === 1);
    scheduler.cut();
    expect(await (await answer).text()).toContain('"code":"stopping"');
  },
);

const metrics = async (url: string) => (await fetch(`${url}/metrics`)).text();
