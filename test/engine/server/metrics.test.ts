import { describe, expect, test } from "vitest";
import { collect, post, until, user } from "../running.ts";
import { start } from "./start.ts";

/** Every sample by its name and labels; fails on a line that is neither a sample nor a comment. */
async function metrics(url: string, headers: Record<string, string> = {}): Promise<Map<string, number>> {
  const response = await fetch(`${url}/metrics`, { headers });
  expect([response.status, response.headers.get("content-type")]).toEqual([
    200,
    "text/plain; version=0.0.4; charset=utf-8",
  ]);
  const lines = (await response.text()).trimEnd().split("\n");
  const samples = lines.filter((line) => !/^# (HELP \w+ .+|TYPE \w+ (counter|gauge|histogram))$/.test(line));
  return new Map(
    samples.map((line) => {
      const [, name, value] = /^(\w+(?:\{(?:\w+="[^"]*",?)+\})?) ([\d.e+-]+)$/.exec(line)!;
      return [name!, Number(value)];
    }),
  );
}
const CHAT = 'gen_ai_operation_name="chat",gen_ai_provider_name="kamado"';

describe("/metrics", () => {
  test("counts tokens, times and how requests ended", async () => {
    const { url, client } = await start({
      thought: "let me see",
      rules: [
        { when: "fail", do: "fail" },
        { answer: "one two three", cachedTokens: 2 },
      ],
    });
    const ask = { model: "scripted", messages: user("what is it now") };
    await client.chat.completions.create(ask);
    await client.chat.completions.create({ ...ask, n: 2, reasoning_effort: "low" });
    await collect(await client.completions.create({ model: "scripted", prompt: "Once", stream: true }));
    await post(url, JSON.stringify({ messages: user("x"), n: 99 }));
    await post(url, JSON.stringify({ messages: user("fail") }));
    await until(async () => (await metrics(url)).get('kamado_engine_requests_total{outcome="ok"}') === 3);
    expect(Object.fromEntries(await metrics(url))).toMatchObject({
      'kamado_engine_requests_total{outcome="invalid_value"}': 1,
      'kamado_engine_requests_total{outcome="handler_failed"}': 1,
      [`gen_ai_client_token_usage_sum{${CHAT},gen_ai_token_type="input"}`]: 12,
      [`gen_ai_client_token_usage_sum{${CHAT},gen_ai_token_type="cached"}`]: 6,
      [`gen_ai_client_token_usage_sum{${CHAT},gen_ai_token_type="output"}`]: 15,
      [`gen_ai_client_token_usage_count{${CHAT},gen_ai_token_type="output"}`]: 3,
      [`gen_ai_server_time_to_first_token_seconds_count{${CHAT}}`]: 3,
      [`gen_ai_server_time_per_output_token_seconds_count{${CHAT}}`]: 3,
      [`gen_ai_server_request_duration_seconds_count{${CHAT}}`]: 2,
      'gen_ai_server_request_duration_seconds_count{gen_ai_operation_name="text_completion",gen_ai_provider_name="kamado"}': 1,
      'kamado_engine_prompt_tokens_total{source="cached"}': 6,
      'kamado_engine_prompt_tokens_total{source="evaluated"}': 7,
      'kamado_engine_generated_tokens_total{phase="thinking"}': 6,
      'kamado_engine_generated_tokens_total{phase="answer"}': 12,
      'kamado_engine_wait_seconds_count{class="interactive"}': 4,
      kamado_engine_decode_steps_total: 18,
      'kamado_engine_info{model="scripted",backend="scripted"}': 1,
      'kamado_engine_state{state="READY"}': 1,
      'kamado_engine_state{state="BUSY"}': 0,
      'kamado_engine_slots{state="idle"}': 4,
      kamado_engine_waiting: 0,
      process_resident_memory_bytes: expect.any(Number),
      kamado_engine_uptime_seconds: expect.any(Number),
    });
  });

  test("shows a model that could not be loaded", async () => {
    const { url } = await start({ loadFails: "no such model" });
    expect((await metrics(url)).get('kamado_engine_state{state="SETUP_FAILED"}')).toBe(1);
  });
});

describe("while requests run and wait", () => {
  const SECRET = "the safe is behind the stove";
  async function busy() {
    const script = {
      rules: [{ when: "think", answer: "one two", do: "hang", afterTokens: 2 }, { do: "hang" }],
    };
    const running = await start(script, { slots: 2, maxQueue: 10 });
    const gone = new AbortController();
    const ask = (content: string, more = {}) =>
      running.client.chat.completions
        .create(
          { model: "scripted", messages: user(`${content} ${SECRET}`), ...more },
          { signal: gone.signal },
        )
        .catch(() => {});
    const asked = [ask("think", { priority: 3 })];
    await until(() => running.scheduler.slotStats.list()[0]!.state === "decode");
    asked.push(ask("now"));
    await until(() => running.scheduler.queue.busy === 2);
    asked.push(ask("later", { priority: 7, n: 2 }), ask("person"));
    await until(() => running.scheduler.queue.list().length === 3);
    return {
      ...running,
      end: async () => {
        gone.abort();
        await Promise.all(asked);
      },
    };
  }

  test("/slots shows what each slot does and which requests wait, and no text of them", async () => {
    const { url, end } = await busy();
    const text = await (await fetch(`${url}/slots`)).text();
    const since = expect.stringMatching(/^\d{4}-\d\d-\d\dT/);
    const waitedSeconds = expect.any(Number);
    expect(JSON.parse(text)).toEqual({
      state: "BUSY",
      model: "scripted",
      backend: "scripted",
      slots: [
        { id: 0, state: "decode", since, tokens: 9, class: "job", priority: 3 },
        { id: 1, state: "prefill", since, tokens: 7, class: "interactive", priority: null },
      ],
      waiting: {
        count: 3,
        interactive: [{ class: "interactive", priority: null, waitedSeconds }],
        jobs: [
          { class: "job", priority: 7, waitedSeconds },
          { class: "job", priority: 7, waitedSeconds },
        ],
      },
      tokensPerSecond: expect.any(Number),
      inside: expect.objectContaining({ steps: 2 }),
    });
    expect(text + (await (await fetch(`${url}/metrics`)).text())).not.toContain("stove");
    await end();
  });

  test("/metrics counts the slots by what they do, and clients that went away", async () => {
    const { url, scheduler, end } = await busy();
    expect(Object.fromEntries(await metrics(url))).toMatchObject({
      'kamado_engine_slots{state="idle"}': 0,
      'kamado_engine_slots{state="prefill"}': 1,
      'kamado_engine_slots{state="decode"}': 1,
      kamado_engine_slot_tokens: 16,
      kamado_engine_waiting: 3,
      'kamado_engine_state{state="BUSY"}': 1,
    });
    await end();
    await until(() => scheduler.queue.busy + scheduler.queue.waiting === 0);
    await until(
      async () => (await metrics(url)).get('kamado_engine_requests_total{outcome="client_gone"}') === 4,
    );
  });
});

test("with a token both need it", async () => {
  const token = "a secret of some length";
  const { url } = await start({}, { token });
  for (const path of ["/metrics", "/slots"]) {
    expect((await fetch(url + path)).status).toBe(401);
    const headers = { authorization: `Bearer ${token}` };
    expect((await fetch(url + path, { headers })).status).toBe(200);
  }
});
