// Asking a model, as a handler does it, against an engine over HTTP.
import { afterEach, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { KamadoError } from "../../worker/errors.ts";
import { EngineClient } from "../../worker/model/engine-client.ts";
import { createModel, type ModelOptions } from "../../worker/model/model.ts";
import { Turns } from "../../worker/model/turns.ts";
import { engineServer, logprobs, type Reply, type Seen, says } from "./engine-server.ts";

const QUESTION = { instructions: "Read.", content: "Two eggs." };
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** A model on an engine that gives these replies in turn, the last one again and again. */
async function modelOn(
  replies: Reply[] | ((seen: Seen, count: number) => Reply),
  more: Partial<ModelOptions> = {},
  engine?: string,
) {
  const script = Array.isArray(replies)
    ? (_: Seen, count: number) => replies[Math.min(count, replies.length) - 1]!
    : replies;
  const server = await engineServer(script, engine);
  const client = new EngineClient({ url: server.url });
  cleanups.push(() => client.close(), server.close);
  const signal = new AbortController().signal;
  return { ...createModel({ client, signal, ...more }), seen: server.seen };
}

async function failure(work: Promise<unknown>): Promise<KamadoError> {
  const thrown = await work.catch((error: unknown) => error);
  if (thrown instanceof KamadoError) return thrown;
  throw new Error("it did not fail with a code", { cause: thrown });
}

describe("an answer as text", () => {
  test("comes without the white space and the thoughts around it", async () => {
    const { model, seen } = await modelOn([says("<think>two?</think>\n 2 \n")]);
    expect(await model.ask(QUESTION)).toBe("2");
    expect(seen[0]!.body).toMatchObject({ model: "small-1b", max_tokens: 1024, temperature: 0 });
    expect(seen[0]!.body.messages[1].content).toBe("<input>\nTwo eggs.\n</input>");
  });

  test("a model that only thought has not answered", async () => {
    const { model } = await modelOn([says("<think>well", { finish: "length" })]);
    expect((await failure(model.ask(QUESTION))).code).toBe("answer_invalid");
  });

  test("one that was cut off is what there is, and the receipt and the handler are told", async () => {
    const { model, used } = await modelOn([says("Once upon", { finish: "length" }), says("2")]);
    let cuts = 0;
    const onCutOff = () => cuts++;
    expect(await model.ask({ ...QUESTION, onCutOff })).toBe("Once upon");
    expect([cuts, used().truncated]).toEqual([1, 1]);
    await model.ask({ ...QUESTION, onCutOff });
    expect([cuts, used().truncated]).toEqual([1, 1]);
  });

  test.each([
    ["Kamado's and vLLM's word for it", { finish: "length", stopReason: "repetition" }],
    ["a reason of its own", { finish: "repetition" }],
  ])(
    "one that the engine ended because it only repeats itself is an error of its own: %s",
    async (_, end) => {
      const { model, used } = await modelOn([says("la la la", end)]);
      const error = await failure(model.ask(QUESTION));
      expect([error.code, error.retry, error.detail?.modelAnswer]).toEqual([
        "answer_repetitive",
        false,
        "la la la",
      ]);
      expect(used().truncated).toBeUndefined();
    },
  );

  test("the model a job names is the one that is asked", async () => {
    const { model, seen, used } = await modelOn([says("2")], { model: "big-27b" });
    await model.ask(QUESTION);
    expect(seen[0]!.body.model).toBe("big-27b");
    expect(used().engine).toBe("kamado");
  });
});

describe("a job's priority", () => {
  test("is sent to our own engine", async () => {
    const { model, seen } = await modelOn([says("2")], { priority: 7 });
    await model.ask(QUESTION);
    expect(seen[0]!.body.priority).toBe(7);
  });

  test("is not left out because the engine could not be asked: no request is sent then", async () => {
    const server = await engineServer(
      () => says("2"),
      "kamado",
      () => ({ status: 503, body: "" }),
    );
    const client = new EngineClient({ url: server.url });
    cleanups.push(() => client.close(), server.close);
    const { model } = createModel({ client, signal: new AbortController().signal, priority: 1 });
    const refused = await failure(model.ask(QUESTION));
    expect([refused.code, refused.retry, server.seen]).toEqual(["engine_unavailable", true, []]);
  });

  test("is not sent to others, which may refuse it or give it another meaning", async () => {
    const { model, seen } = await modelOn([says("2")], { priority: 7 }, "vllm");
    await model.ask(QUESTION);
    expect(seen[0]!.body).not.toHaveProperty("priority");
  });
});

describe("an answer as a value", () => {
  const schema = z.strictObject({ eggs: z.int() });

  test("is constrained by the engine and fits the schema", async () => {
    const { model, seen, used } = await modelOn([says('{"eggs":2}')]);
    expect(await model.ask({ ...QUESTION, schema, maxTokens: 50 })).toEqual({ eggs: 2 });
    const { response_format, max_tokens } = seen[0]!.body;
    expect(max_tokens).toBe(50);
    expect(response_format).toMatchObject({
      type: "json_schema",
      json_schema: {
        strict: true,
        schema: { type: "object", required: ["eggs"], additionalProperties: false },
      },
    });
    expect(used().repairs).toBe(0);
  });

  test("strings are left as the model wrote them", async () => {
    const { model } = await modelOn([says('{"word":" egg"}')]);
    expect(await model.ask({ ...QUESTION, schema: z.object({ word: z.string() }) })).toEqual({
      word: " egg",
    });
  });

  test("one that does not fit makes the model try again, with its answer, the reason and the schema", async () => {
    const { model, seen, used } = await modelOn([says('{"eggs":"two"}'), says('{"eggs":2}')]);
    expect(await model.ask({ ...QUESTION, schema })).toEqual({ eggs: 2 });
    const [, , bad, why] = seen[1]!.body.messages;
    expect(bad).toEqual({ role: "assistant", content: '{"eggs":"two"}' });
    expect(why.content).toContain("eggs: Invalid input: expected number");
    expect(why.content).toContain('"required":["eggs"]');
    expect(used()).toMatchObject({
      repairs: 1,
      promptTokens: 200,
      cachedTokens: 120,
      completionTokens: 14,
    });
  });

  test("neither a bad answer, nor the reason, nor the schema can contain a chat template's mark", async () => {
    const { model, seen } = await modelOn([says('</input>{"<|im_end|>":1}'), says('{"a":2}')]);
    const marked = z.strictObject({ a: z.int().describe("[/INST] </input>") });
    await model.ask({ ...QUESTION, schema: marked });
    const [, , bad, why] = seen[1]!.body.messages;
    expect(bad.content).toBe('<\\/input>{"<\\|im_end|>":1}');
    for (const part of ["<\\|im_end|>", "[\\/INST]", "<\\/input>"]) expect(why.content).toContain(part);
    expect(why.content).not.toMatch(/<\||\[\/|<\//);
  });

  test("one that does not fit twice is an error with what the model wrote", async () => {
    const { model, seen } = await modelOn([says("no"), says("No, I said.")]);
    const error = await failure(model.ask({ ...QUESTION, schema }));
    expect([error.code, error.detail?.modelAnswer, seen.length]).toEqual([
      "answer_invalid",
      "No, I said.",
      2,
    ]);
  });

  test("of a very long bad answer, the error keeps only the beginning", async () => {
    const { model } = await modelOn([says("x".repeat(100_000))]);
    const { detail } = await failure(model.ask({ ...QUESTION, schema }));
    expect(detail?.modelAnswer).toHaveLength(4_000);
  });

  test("the second try is not the same greedy request, and does not show the model an answer that ran on", async () => {
    const wrong = await modelOn([says('{"eggs":"two"}'), says('{"eggs":2}')]);
    await wrong.model.ask({ ...QUESTION, schema });
    expect(wrong.seen.map(({ body }) => body.temperature)).toEqual([0, 0.5]);
    const loop = await modelOn([
      says(`{"eggs":${"1".repeat(999)}`, { finish: "length", stopReason: "repetition" }),
      says('{"eggs":2}'),
    ]);
    expect(await loop.model.ask({ ...QUESTION, schema, temperature: 0.9 })).toEqual({ eggs: 2 });
    const { temperature, messages } = loop.seen[1]!.body;
    expect([temperature, messages[2].content]).toEqual([0.9, "(It did not come to an end.)"]);
    expect(messages[3].content).toContain("only repeated itself");
  });

  test("one that repeats itself twice is an error of its own", async () => {
    const { model, seen } = await modelOn([
      says('{"eggs":111', { finish: "length", stopReason: "repetition" }),
    ]);
    expect((await failure(model.ask({ ...QUESTION, schema }))).code).toBe("answer_repetitive");
    expect(seen).toHaveLength(2);
  });

  test("one that was cut off says so, unless it was already complete", async () => {
    const cut = await modelOn([says('{"eggs":', { finish: "length" })]);
    expect((await failure(cut.model.ask({ ...QUESTION, schema }))).message).toContain("cut off");
    const whole = await modelOn([says('{"eggs":2}\n\n\n', { finish: "length" })]);
    expect(await whole.model.ask({ ...QUESTION, schema })).toEqual({ eggs: 2 });
  });

  test("an engine that cannot constrain gets the schema in words", async () => {
    const refuses = { status: 400, body: { error: { message: "response_format is not supported" } } };
    const { model, seen } = await modelOn([refuses, says('{"eggs":2}')]);
    expect(await model.ask({ ...QUESTION, schema })).toEqual({ eggs: 2 });
    expect(seen[1]!.body.response_format).toBeUndefined();
    expect(seen[1]!.body.messages[0].content).toContain('"eggs"');
  });

  test("a schema in words cannot contain a chat template's mark either", async () => {
    const refuses = { status: 400, body: { error: { message: "response_format is not supported" } } };
    const { model, seen } = await modelOn([refuses, says('"<|im_end|>"')]);
    await model.ask({ ...QUESTION, jsonSchema: { enum: ["<|im_end|>"] } });
    expect(seen[1]!.body.messages[0].content).toContain('{"enum":["<\\|im_end|>"]}');
  });
});

describe("a JSON schema from outside", () => {
  const jsonSchema = {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    type: "object",
    properties: { month: { type: "string", pattern: "^\\d{4}-\\d{2}$" } },
    required: ["month"],
  };

  test("is checked against the answer", async () => {
    const { model, seen } = await modelOn([says('{"month":"May"}'), says('{"month":"2026-05"}')]);
    expect(await model.ask({ ...QUESTION, jsonSchema })).toEqual({ month: "2026-05" });
    expect(seen[1]!.body.messages[3].content).toContain("the value/month must match pattern");
  });

  const deep = JSON.parse(`${'{"not":'.repeat(60)}{}${"}".repeat(60)}`);
  test.for([
    ["is no schema", { type: "eggs" }],
    ["has a pattern that is none", { type: "string", pattern: "(" }],
    ["points elsewhere", { $ref: "https://example.com/schema.json" }],
    ["points at what is not there", { $ref: "#/$defs/none" }],
    ["is nested too deep", deep],
    ["is too long", { enum: ["x".repeat(70_000)] }],
  ] as [string, Record<string, unknown>][])(
    "one that %s is refused before anything is asked",
    async ([, bad]) => {
      const { model, seen } = await modelOn([says("{}")]);
      const error = await failure(model.ask({ ...QUESTION, jsonSchema: bad }));
      expect([error.code, seen.length]).toEqual(["invalid_input", 0]);
      expect(error.message).toMatch(/^schema: it /);
    },
  );

  test("one that refers to itself works, as do older drafts", async () => {
    const tree = { type: "object", properties: { kids: { type: "array", items: { $ref: "#" } } } };
    const older = {
      $schema: "http://json-schema.org/draft-07/schema#",
      type: "array",
      items: [{ type: "number" }],
    };
    const { model } = await modelOn([says('{"kids":[{"kids":[]}]}'), says("[1]")]);
    expect(await model.ask({ ...QUESTION, jsonSchema: tree })).toEqual({ kids: [{ kids: [] }] });
    expect(await model.ask({ ...QUESTION, jsonSchema: older })).toEqual([1]);
  });

  test("a pattern that would take for ever is stopped", async () => {
    const { model } = await modelOn([says(`"${"a".repeat(60)}!"`)]);
    const slow = { type: "string", pattern: "^(a+)+$" };
    const error = await failure(model.ask({ ...QUESTION, jsonSchema: slow }));
    expect([error.code, error.message]).toEqual(["invalid_input", expect.stringContaining("too long")]);
  });
});

describe("a decision", () => {
  const choose = { ...QUESTION, options: ["y", "n"] as const };

  test("is one short request, and its probability is the model's own", async () => {
    const { model, seen } = await modelOn([says("y", { logprobs: logprobs({ y: 0.7, n: 0.2, Hm: 0.1 }) })]);
    const { choice, best, probabilities } = await model.decide(choose);
    expect([choice, best, seen.length]).toEqual(["y", "y", 1]);
    expect(probabilities.y).toBeCloseTo(7 / 9, 10);
    expect(seen[0]!.body).toMatchObject({ logprobs: true, top_logprobs: 20, temperature: 0, max_tokens: 1 });
  });

  test("by a model that begins with a space looks at what comes after it", async () => {
    const { model, seen } = await modelOn((_, count) =>
      count === 1
        ? says(" ", { finish: "length", logprobs: logprobs({ " ": 0.99, y: 0.01 }) })
        : says(" n", { logprobs: logprobs({ " ": 0.99, y: 0.01 }, { n: 0.9, y: 0.1 }) }),
    );
    expect((await model.decide(choose)).choice).toBe("n");
    expect(seen.map(({ body }) => body.max_tokens)).toEqual([1, 2]);
  });

  test("below the threshold it is uncertain", async () => {
    const reply = says("y", { logprobs: logprobs({ y: 0.55, n: 0.45 }) });
    const { model } = await modelOn([reply]);
    expect(await model.decide(choose)).toMatchObject({ choice: "uncertain", best: "y" });
    expect(await model.decide({ ...choose, threshold: 0.5 })).toMatchObject({ choice: "y" });
  });

  test("a model that was about to say something else is uncertain at any threshold", async () => {
    const { model } = await modelOn([says("The", { logprobs: logprobs({ The: 0.98, y: 0.02 }) })]);
    expect(await model.decide({ ...choose, threshold: 0.5 })).toMatchObject({
      choice: "uncertain",
      probabilities: { y: 0.5, n: 0.5 },
    });
  });

  test.for([
    ["gives no probabilities", says("y")],
    ["refuses to give them", { status: 400, body: { error: { message: "top_logprobs is not supported" } } }],
  ] as [string, Reply][])(
    "an engine that %s is asked five times over, and never taken for certain",
    async ([, first]) => {
      const answers = [first, says("y"), says("Y."), says("n"), says("yes"), says("y")];
      const { model, seen } = await modelOn((_, count) => answers[Math.min(count, 6) - 1]!);
      const { choice, probabilities } = await model.decide(choose);
      expect([seen.length, seen[1]!.body.temperature, seen[1]!.body.logprobs]).toEqual([6, 1, undefined]);
      // "yes" is none of the options here: three of the four that count say y.
      expect(probabilities.y).toBeCloseTo(3.25 / 4.5, 10);
      expect(choice).toBe("y");
    },
  );

  test("an engine that answers none of the options leaves it uncertain, and prefers none", async () => {
    const { model } = await modelOn([says("perhaps")]);
    expect(await model.decide(choose)).toMatchObject({
      choice: "uncertain",
      best: null,
      probabilities: { y: 0.5, n: 0.5 },
    });
  });
});

describe("the options of a decision", () => {
  const options = ["happy", "very sad, but calm", "neutral"] as const;
  const The = says("The", { finish: "length", logprobs: logprobs({ The: 0.99, Hm: 0.01 }) });

  test("stand at the end of the instructions, whatever the input is", async () => {
    const { model, seen } = await modelOn([says("neutral", { logprobs: logprobs({ neutral: 0.9 }) })]);
    for (const content of ["One.", "Two."])
      await model.decide({ instructions: "How does it sound?", content, options });
    const systems = seen.map(({ body }) => body.messages[0].content);
    expect(systems[0]).toBe(
      "How does it sound?\nAnswer with one of these and nothing else:\n- happy\n- very sad, but calm\n- neutral",
    );
    expect(systems[1]).toBe(systems[0]);
  });

  test("bind the answer of a model that would rather say something else", async () => {
    const held = says('{"answer": "happy"}', {
      logprobs: logprobs({ '{"': 0.001 }, { answer: 0.01 }, { '": "': 0.1 }, { happy: 0.2, neutral: 0.05 }),
    });
    const { model, seen } = await modelOn((one) => (one.body.response_format ? held : The));
    const { choice, probabilities } = await model.decide({ ...QUESTION, options });
    expect([choice, probabilities.happy]).toEqual(["happy", expect.closeTo(0.8, 9)]);
    expect(seen.at(-1)!.body.response_format.json_schema.schema.properties.answer.enum).toEqual(options);
  });

  test("are counted in bound answers where the engine gives no probabilities", async () => {
    const { model } = await modelOn((one) => says(one.body.response_format ? '{"answer":"neutral"}' : "The"));
    expect((await model.decide({ ...QUESTION, options })).choice).toBe("neutral");
  });

  test("leave it uncertain where the engine can bind no answer", async () => {
    const refuses: Reply = { status: 400, body: { error: { message: "response_format is not supported" } } };
    const { model } = await modelOn((one) => (one.body.response_format ? refuses : The));
    expect(await model.decide({ ...QUESTION, options })).toMatchObject({ choice: "uncertain", best: null });
  });

  test("of which a token is half a character are counted where the engine leaves such tokens out", async () => {
    // Seven tokens, of which it reports one: the probability of the last half of 東 says nothing about its first.
    const half = says("東京", { logprobs: logprobs({ 東: 1 }) });
    const { model, seen } = await modelOn((one) => (one.body.logprobs ? half : says("大阪")));
    expect((await model.decide({ ...QUESTION, options: ["東京", "大阪"] })).choice).toBe("大阪");
    expect(seen.filter(({ body }) => body.temperature === 1)).toHaveLength(5);
  });

  test.for<[string, readonly string[], string]>([
    ["are in other capitals", ["HAPPY", "sad"], "Happy"],
    ["differ in capitals only", ["no", "No"], "No"],
    ["have spaces around them", [" yes ", "no"], "yes"],
    ["begin alike", ["new", "new york", "newark"], "newark"],
    ["are one the beginning of another", ["1", "10", "100"], "10"],
    ["are emoji that begin alike", ["👩", "👩‍⚕️", "👩🏽"], "👩‍⚕️"],
    ["are fifty", Array.from({ length: 50 }, (_, at) => `${at + 1}`), "37"],
  ])("may %s", async ([, options, said]) => {
    const { model } = await modelOn([says(said, { logprobs: logprobs({ [said]: 0.9, Hm: 0.1 }) })]);
    const { choice } = await model.decide({ ...QUESTION, options });
    expect(choice.trim().toLowerCase()).toBe(said.toLowerCase());
    expect(options).toContain(choice);
  });

  test.for([[[]], [["a", "a"]], [["a", " a"]], [["a", " "]]])("%j are refused", async ([options]) => {
    const { model, seen } = await modelOn([says("a")]);
    await expect(model.decide({ ...QUESTION, options: options! })).rejects.toThrow(TypeError);
    expect(seen).toHaveLength(0);
  });
});

describe("an answer of nothing but the prompt's marks", () => {
  test("is no answer", async () => {
    const { model } = await modelOn([
      says("<input>"),
      says("<|im_start|>assistant\n"),
      says("<input>\nBuy milk"),
    ]);
    expect([await model.ask(QUESTION), await model.ask(QUESTION), await model.ask(QUESTION)]).toEqual([
      "",
      "",
      "Buy milk",
    ]);
  });

  test("in a value is asked for once more, then refused", async () => {
    const bad = says('{"title":"<input>","tags":["</input>"]}');
    const { model, seen } = await modelOn([bad]);
    const schema = z.object({ title: z.string(), tags: z.array(z.string()) });
    expect((await failure(model.ask({ ...QUESTION, schema }))).code).toBe("answer_invalid");
    expect(seen).toHaveLength(2);
  });
});

describe("many questions of one job", () => {
  test("reach the engine only a few at a time", async () => {
    let busy = 0;
    let most = 0;
    const { model } = await modelOn(
      () => {
        most = Math.max(most, ++busy);
        setImmediate(() => (busy -= 1));
        return says("2");
      },
      { turns: new Turns({ atOnce: 3 }) },
    );
    await Promise.all(Array.from({ length: 20 }, () => model.ask(QUESTION)));
    expect(most).toBeLessThanOrEqual(3);
  });

  test("wait while the engine's queue is full, then fail with its code", async () => {
    const full = { status: 429, headers: { "retry-after": "0" }, body: { error: { message: "full" } } };
    const soon = await modelOn([full, full, says("2")]);
    expect(await soon.model.ask(QUESTION)).toBe("2");
    const never = await modelOn([full]);
    expect((await failure(never.model.ask(QUESTION))).code).toBe("engine_busy");
  });

  test("the receipt adds them up; a job that asked nothing has used nothing", async () => {
    const { model, used } = await modelOn([says("2")]);
    expect(used()).toMatchObject({ model: null, engine: null, promptTokens: 0, inferenceMs: 0 });
    await Promise.all([model.ask(QUESTION), model.ask(QUESTION)]);
    expect(used()).toMatchObject({
      model: "small-1b",
      engine: "kamado",
      promptTokens: 200,
      cachedTokens: 120,
      completionTokens: 14,
      repairs: 0,
    });
  });

  test("the receipt names the model that answered, where a server answers with another than it was asked for", async () => {
    const { model, used, seen } = await modelOn(() => says("2"), { model: "any-model-name" });
    await model.ask(QUESTION);
    expect([seen[0]!.body.model, used().model]).toEqual(["any-model-name", "small-1b"]);
  });

  test("the receipt of a job that was cut names the model and estimates what was not answered", async () => {
    const cut = new AbortController();
    const { model, used, seen } = await modelOn((_, count) => (count === 1 ? says("2") : "hang"), {
      signal: cut.signal,
    });
    await model.ask(QUESTION);
    const asked = failure(model.ask({ ...QUESTION, content: "x".repeat(3_000) }));
    await vi.waitUntil(() => seen.length === 2);
    cut.abort(new KamadoError("canceled", "Somebody canceled the job."));
    expect((await asked).code).toBe("canceled");
    expect(used()).toMatchObject({ model: "small-1b", engine: "kamado", requests: 1, unansweredRequests: 1 });
    expect(used().promptTokens).toBeGreaterThan(1_100);
    expect(used().completionTokens).toBe(7);
  });

  test("the receipt of a job whose only question was cut names the model too", async () => {
    const cut = new AbortController();
    const { model, used, seen } = await modelOn(["hang"], { signal: cut.signal });
    const asked = failure(model.ask(QUESTION));
    await vi.waitUntil(() => seen.length === 1);
    cut.abort(new KamadoError("timed_out", "It ran too long."));
    await asked;
    expect(used()).toMatchObject({ model: "small-1b", engine: "kamado", requests: 0, unansweredRequests: 1 });
    expect(used().promptTokens).toBeGreaterThan(0);
  });

  test("a question that the engine refused cost nothing", async () => {
    const { model, used } = await modelOn([{ status: 400, body: { error: { message: "n > 1" } } }]);
    await failure(model.ask(QUESTION));
    expect(used()).toMatchObject({ model: "small-1b", requests: 0, promptTokens: 0 });
    expect(used()).not.toHaveProperty("unansweredRequests");
  });
});

describe("a request that somebody else wrote", () => {
  const USAGE = { prompt_tokens: 7, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 4 } };
  const ANSWER = {
    id: "cmpl-1",
    object: "text_completion",
    model: "small-1b",
    choices: [{ text: " a time" }],
  };

  test("is sent as it is, without a stream, and its whole answer comes back and is counted", async () => {
    const body = { model: "other-2b", prompt: "Once upon", max_tokens: 3, stream: true };
    const reply = { ...ANSWER, usage: USAGE, system_fingerprint: "x" };
    const { model, used, seen } = await modelOn([{ body: reply }], { priority: 2 });
    expect(await model.complete({ url: "/v1/completions", body })).toEqual(reply);
    expect(seen.map(({ path }) => path)).toEqual(["/v1/completions"]);
    expect(seen[0]!.body).toEqual({ ...body, stream: false, priority: 2 });
    expect(used()).toMatchObject({ promptTokens: 7, cachedTokens: 4, completionTokens: 5, requests: 1 });
  });

  test("gets the job's model where it names none, and other servers hear nothing of priorities", async () => {
    const { model, seen } = await modelOn([{ body: ANSWER }], { priority: 2, model: "mine" }, "vllm");
    await model.complete({ url: "/v1/completions", body: { prompt: "Once" } });
    expect(seen[0]!.body).toEqual({ prompt: "Once", model: "mine", stream: false });
  });

  test("counts against the job's budget before it is sent, with every answer that it asks for", async () => {
    const budget = { requests: 9, tokens: 1_000 };
    const { model, seen } = await modelOn([{ body: ANSWER }], { budget });
    const body = { prompt: "Once", n: 3, max_tokens: 400 };
    expect((await failure(model.complete({ url: "/v1/completions", body }))).code).toBe("budget_exceeded");
    expect(seen).toEqual([]);
  });

  test("that the engine refuses fails with the engine's reason", async () => {
    const refusal = { error: { message: "maximum context length is 512", code: "context_length_exceeded" } };
    const { model } = await modelOn([{ status: 400, body: refusal }]);
    const error = await failure(model.complete({ url: "/v1/chat/completions", body: { messages: [] } }));
    expect(error.code).toBe("context_length_exceeded");
  });

  test("whose answer is no completion may be tried again", async () => {
    const { model } = await modelOn([{ body: "<html>" }]);
    const error = await failure(model.complete({ url: "/v1/completions", body: {} }));
    expect([error.code, error.retry]).toEqual(["engine_unavailable", true]);
  });
});
