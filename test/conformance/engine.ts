// What every backend of the engine promises, asked over HTTP as clients ask. Run on the scripted one, node-llama-cpp, llama-node
// and, where it is installed, llama-server. The promises are tested one after the other: some ask how busy the engine is.
import { Ajv2020 } from "ajv/dist/2020.js";
import type OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectSame } from "../engine/backends/distribution.ts";
import { collect, post, type Running, until, user } from "../engine/running.ts";
import type { Exceptions, Promises } from "./suite.ts";

export const SLOTS = 4;
export const CONTEXT = 512;

type Engine = Pick<Running, "url" | "client" | "close">;
type Answer = OpenAI.ChatCompletion;
const ask = ({ client }: Engine, content: string, more: object = {}): Promise<Answer> =>
  client.chat.completions.create({
    model: "default",
    messages: user(content),
    temperature: 0,
    max_tokens: 16,
    ...more,
  }) as Promise<Answer>;
const textOf = ({ choices }: Answer) => choices[0]!.message.content!;
const format = (schema: object) => ({
  response_format: { type: "json_schema", json_schema: { name: "answer", schema } },
});
const isIdle = async ({ url }: Engine) => (await (await fetch(`${url}/health`)).json()).slots.busy === 0;
const SCHEMA = {
  type: "object",
  properties: { locked: { type: "boolean" }, why: { enum: ["x", "y"] } },
  required: ["locked", "why"],
};
/** The distribution after the question, as the engine reports it. */
async function distribution(engine: Engine, more: object = {}) {
  const answer = await ask(engine, "Is it locked?", {
    logprobs: true,
    top_logprobs: 10,
    max_tokens: 1,
    ...more,
  });
  return answer.choices[0]!.logprobs!.content![0]!;
}

export const enginePromises = {
  "a greedy answer is the same every time": async (engine) => {
    const first = textOf(await ask(engine, "Say something."));
    expect(first).not.toBe("");
    for (let again = 0; again < 3; again++) expect(textOf(await ask(engine, "Say something."))).toBe(first);
  },

  "many at once are answered as each is alone": async (engine) => {
    const questions = Array.from({ length: SLOTS * 2 }, (_, n) => `Question ${n}: ${"why ".repeat(n)}?`);
    const alone: string[] = [];
    for (const question of questions) alone.push(textOf(await ask(engine, question)));
    const together = await Promise.all(questions.map((question) => ask(engine, question)));
    expect(together.map(textOf)).toEqual(alone);
  },

  "a seed decides what is drawn": async (engine) => {
    const draw = async (seed: number) => textOf(await ask(engine, "Draw.", { temperature: 1, seed }));
    const [one, again, two] = [await draw(1), await draw(1), await draw(2)];
    expect(again).toBe(one);
    expect(two).not.toBe(one);
  },

  "a stream says what a whole answer says": async (engine) => {
    const stream = (await ask(engine, "stream", {
      stream: true,
    })) as unknown as AsyncIterable<OpenAI.ChatCompletionChunk>;
    const chunks = await collect(stream);
    const whole = await ask(engine, "stream");
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("")).toBe(textOf(whole));
    expect(chunks.at(-1)!.choices[0]!.finish_reason).toBe(whole.choices[0]!.finish_reason);
  },

  "a schema is followed": async (engine) => {
    const validate = new Ajv2020({ strict: false }).compile(SCHEMA);
    for (const seed of [1, 2, 3]) {
      const answer = await ask(engine, "Answer.", {
        temperature: 1,
        seed,
        max_tokens: 64,
        ...format(SCHEMA),
      });
      expect([textOf(answer), validate(JSON.parse(textOf(answer)))]).toEqual([textOf(answer), true]);
      expect(answer.choices[0]!.finish_reason).toBe("stop");
    }
  },

  "what schemas of older drafts and limits say is followed": async (engine) => {
    const xy = [{ enum: ["x"] }, { enum: ["y"] }];
    const followed: [object, (value: never) => boolean][] = [
      [{ type: "array", items: xy, minItems: 2, maxItems: 2 }, (value) => String(value) === "x,y"],
      [{ $ref: "#/$defs/My%20Type", $defs: { "My Type": { enum: ["x"] } } }, (value) => value === "x"],
      [{ type: "integer", minimum: 3, maximum: 5 }, (value) => value >= 3 && value <= 5],
      [{ type: "integer", minimum: 1_990, maximum: 2_026 }, (value) => value >= 1_990 && value <= 2_026],
      [{ type: "number", minimum: 0, maximum: 1 }, (value) => value >= 0 && value <= 1],
    ];
    for (const [schema, fits] of followed) {
      // An object, because the end of a number cannot be seen.
      const whole = {
        type: "object",
        properties: { it: schema },
        required: ["it"],
        $defs: Object(schema).$defs,
      };
      const text = textOf(await ask(engine, "Answer.", { max_tokens: 100, ...format(whole) }));
      expect([text, fits(JSON.parse(text).it as never)]).toEqual([text, true]);
    }
  },

  "a string ends at its greatest length, up to 1,000 characters": async (engine) => {
    const text = { type: "string", minLength: 1, maxLength: 1_000 };
    const schema = { type: "object", properties: { a: text, b: { ...text, maxLength: 2 } }, required: ["b"] };
    const answer = textOf(await ask(engine, "Answer.", { max_tokens: 60, ...format(schema) }));
    // It may be cut off within the long one.
    expect(answer).toMatch(/^ ?\{/);
  },

  "a schema with ten million equal ways through it delays nobody": async (engine) => {
    const level = (at: number) => ({
      type: "array",
      items: at < 6 ? { $ref: `#/$defs/${at + 1}` } : { type: "null" },
      minItems: 1,
      maxItems: 1,
    });
    const levels = Array.from({ length: 7 }, (_, at) => [at, { anyOf: Array(10).fill(level(at)) }]);
    const schema = { $ref: "#/$defs/0", $defs: Object.fromEntries(levels) };
    const [answer, other] = await Promise.all([
      ask(engine, "Answer.", { max_tokens: 64, ...format(schema) }),
      ask(engine, "Say something."),
    ]);
    expect(JSON.parse(textOf(answer))).toEqual([[[[[[[null]]]]]]]);
    expect(textOf(other)).not.toBe("");
  },

  "an answer ends before a stop string": async (engine) => {
    const whole = textOf(await ask(engine, "Once upon a time"));
    const stop = whole.slice(-2);
    const stopped = await ask(engine, "Once upon a time", { stop });
    expect(textOf(stopped)).toBe(whole.slice(0, whole.indexOf(stop)));
    expect(stopped.choices[0]!.finish_reason).toBe("stop");
  },

  "an over-long prompt is refused as such, and the engine goes on": async (engine) => {
    const long = JSON.stringify({ messages: user("word ".repeat(20_000)) });
    const { status, body } = await post(engine.url, long);
    expect([status, body.error.code]).toEqual([400, "context_length_exceeded"]);
    // With random weights an answer may be empty: half a character is left out.
    expect((await ask(engine, "next")).usage!.completion_tokens).toBeGreaterThan(0);
  },

  "a special token's spelling in a text is text": async (engine) => {
    const count = async (text: string) => (await ask(engine, text)).usage!.prompt_tokens;
    // Every letter is a token here: read as special, ten letters would be one.
    expect(await count("a<|im_end|>b")).toBeGreaterThanOrEqual(await count("a1234567890b"));
  },

  "the slot of a client that goes away is free": async (engine) => {
    const gone = new AbortController();
    const streams = await Promise.all(
      Array.from({ length: SLOTS }, (_, n) =>
        engine.client.chat.completions.create(
          { model: "default", messages: user(`long ${n}`), max_tokens: 400, stream: true },
          { signal: gone.signal },
        ),
      ),
    );
    for await (const _ of streams[0]!) gone.abort();
    await until(() => isIdle(engine));
    const next = await Promise.all(Array.from({ length: SLOTS }, () => ask(engine, "next")));
    expect(new Set(next.map(textOf)).size).toBe(1);
  },

  "probabilities are the model's own, however the answer is drawn": async (engine) => {
    const greedy = await distribution(engine);
    expect(greedy.top_logprobs.map(({ logprob }) => logprob)).toEqual(
      greedy.top_logprobs.map(({ logprob }) => logprob).toSorted((a, b) => b - a),
    );
    expect(greedy.token).toBe(greedy.top_logprobs[0]!.token);
    expect(greedy.logprob).toBeCloseTo(greedy.top_logprobs[0]!.logprob, 5);
    const sum = greedy.top_logprobs.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0);
    expect(sum).toBeGreaterThan(0);
    expect(sum).toBeLessThanOrEqual(1);
    for (const seed of [1, 2, 3])
      expectSame(await distribution(engine, { temperature: 1.4, top_k: 3, seed }), greedy, 2);
  },

  "probabilities are the model's own under a schema too": async (engine) => {
    const [free, bound] = [await distribution(engine), await distribution(engine, format({ enum: [7] }))];
    expectSame(bound, free, 2);
    expect(["7", " "]).toContain(bound.token);
  },

  "a bias forbids a token and forces one": async (engine) => {
    // The tiny model's own vocabulary: the word "no".
    const NO = 258;
    const forced = await ask(engine, "Is it?", { logit_bias: { [NO]: 100 }, max_tokens: 3 });
    expect(textOf(forced)).toBe("nonono");
    const schema = format({ type: "string", enum: ["no", "yes"] });
    const free = textOf(await ask(engine, "Is it?", { ...schema, logit_bias: { [NO]: 100 } }));
    const forbidden = await ask(engine, "Is it?", { logit_bias: { [NO]: -100 }, temperature: 1, seed: 5 });
    expect([JSON.parse(free), textOf(forbidden).includes("no")]).toEqual(["no", false]);
  },

  "penalties keep an answer from repeating itself": async (engine) => {
    const text = async (more: object) => textOf(await ask(engine, "Once", { max_tokens: 24, ...more }));
    const free = await text({});
    expect(await text({ frequency_penalty: 2, presence_penalty: 2 })).not.toBe(free);
    expect(await text({ repetition_penalty: 1.8 })).not.toBe(free);
  },

  "the usage it tells is true": async (engine) => {
    const one = await ask(engine, "Count with me.", { max_tokens: 5 });
    const { prompt_tokens, completion_tokens, total_tokens } = one.usage!;
    expect(completion_tokens).toBeLessThanOrEqual(5);
    expect(one.choices[0]!.finish_reason).toBe(completion_tokens === 5 ? "length" : "stop");
    expect(total_tokens).toBe(prompt_tokens + completion_tokens);
    const again = (await ask(engine, "Count with me.", { max_tokens: 5 })).usage!;
    expect(again.prompt_tokens).toBe(prompt_tokens);
    expect(again.prompt_tokens_details!.cached_tokens).toBeLessThan(prompt_tokens);
    const longer = await ask(engine, "Count with me. And more.", { max_tokens: 5 });
    expect(longer.usage!.prompt_tokens).toBeGreaterThan(prompt_tokens);
  },
} satisfies Promises<Engine>;

export function runEngineSuite(
  title: string,
  open: () => Promise<Engine>,
  exceptions: Exceptions<typeof enginePromises> = {},
): void {
  describe(title, { timeout: 120_000 }, () => {
    let engine: Engine;
    beforeAll(async () => {
      engine = await open();
    }, 120_000);
    afterAll(() => engine.close());
    for (const [name, keep] of Object.entries(enginePromises)) {
      const reason = exceptions[name as keyof typeof enginePromises];
      if (reason === undefined) test(name, () => keep(engine));
      else test(`${name} [not shown here: ${reason}]`, (context) => context.skip(reason));
    }
  });
}
