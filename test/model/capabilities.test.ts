// What a server refuses or ignores is asked for in a lesser form, once for each server and model.
import { afterEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { KamadoError } from "../../worker/errors.ts";
import { Capabilities } from "../../worker/model/capabilities.ts";
import { type ChatRequest, EngineClient } from "../../worker/model/engine-client.ts";
import { createModel, type ModelOptions } from "../../worker/model/model.ts";
import { engineServer, logprobs, type Reply, type Seen, says } from "./engine-server.ts";

const QUESTION = { instructions: "Read.", content: "Two eggs." };
const CHOICE = { ...QUESTION, options: ["y", "n"] as const };
const schema = z.strictObject({ eggs: z.int() });
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** Jobs that ask one server, which is not ours, one after another. */
async function jobsOn(script: (seen: Seen, count: number) => Reply, owner = "other") {
  const server = await engineServer(script, owner);
  const client = new EngineClient({ url: server.url });
  const capabilities = new Capabilities();
  cleanups.push(() => client.close(), server.close);
  const { signal } = new AbortController();
  const job = (model?: string, more: Partial<ModelOptions> = {}) =>
    createModel({ client, signal, capabilities, model, ...more });
  return { job, seen: server.seen };
}

async function failure(work: Promise<unknown>): Promise<KamadoError> {
  const thrown = await work.catch((error: unknown) => error);
  if (thrown instanceof KamadoError) return thrown;
  throw new Error("it did not fail with a code", { cause: thrown });
}

const refuses = (status: number, message: string): Reply => ({ status, body: { error: { message } } });
const formOf = ({ body }: Seen) => body.response_format?.type ?? "words";
const topOf = ({ body }: Seen) => body.top_logprobs ?? "sampled";
const certain = says("y", { logprobs: logprobs({ y: 0.9, n: 0.1 }) });

const LLAMA_CPP_PYTHON = refuses(
  500,
  "1 validation error: {'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'msg': \"Input should be 'text' or 'json_object'\"}",
);

describe("a schema", () => {
  test.for([
    ["llama-cpp-python, a validation error with 500", LLAMA_CPP_PYTHON, "json_object"],
    ["one that says so with 400", refuses(400, "json_schema is not supported"), "json_object"],
    [
      "FastAPI, without a message",
      { status: 422, body: { detail: [{ loc: ["body", "response_format", "type"], msg: "no" }] } },
      "json_object",
    ],
    [
      "OpenAI, which names the parameter",
      { status: 400, body: { error: { message: "Invalid parameter.", param: "response_format" } } },
      "json_object",
    ],
    ["one without a word", { status: 400, body: "" }, "json_object"],
    ["one without the whole field", refuses(400, "response_format is not supported"), "words"],
  ] as [string, Reply, string][])("is refused once by %s", async ([, refusal, lesser]) => {
    const { job, seen } = await jobsOn((one) =>
      formOf(one) === "json_schema" ? refusal : says('{"eggs":2}'),
    );
    for (const _ of ["first", "second"])
      expect(await job().model.ask({ ...QUESTION, schema })).toEqual({ eggs: 2 });
    expect(seen.map(formOf)).toEqual(["json_schema", lesser, lesser]);
    expect(seen[2]!.body.messages[0].content).toContain('"required":["eggs"]');
  });

  test("goes into words where JSON is refused as well", async () => {
    const { job, seen } = await jobsOn((one) =>
      formOf(one) === "words"
        ? says('{"eggs":2}')
        : refuses(400, `unknown type ${formOf(one)} in response_format`),
    );
    await job().model.ask({ ...QUESTION, schema });
    await job().model.ask({ ...QUESTION, schema });
    expect(seen.map(formOf)).toEqual(["json_schema", "json_object", "words", "words"]);
  });

  test("that a server ignores stands in the prompt as well, so that its answer is of use", async () => {
    const { job, seen } = await jobsOn(({ body }) =>
      says(body.messages[0].content.includes("JSON schema") ? '{"eggs":2}' : "There are two eggs."),
    );
    for (const _ of ["first", "second"]) {
      const one = job();
      expect(await one.model.ask({ ...QUESTION, schema })).toEqual({ eggs: 2 });
      expect([one.used().repairs, one.used().requests]).toEqual([0, 1]);
    }
    expect(seen.map(formOf)).toEqual(["json_schema", "json_schema"]);
    expect(seen[0]!.body.messages[0].content).toContain('"required":["eggs"]');
  });

  test.for([
    ["Kamado's own engine", "kamado", schema],
    ["llama-server", "llamacpp", schema],
    ["vLLM", "vllm", schema],
    [
      "any server, where the schema is long",
      "other",
      z.object({ eggs: z.int().describe("o".repeat(4_000)) }),
    ],
  ] as const)("is not written into the prompt for %s", async ([, owner, schema]) => {
    const { job, seen } = await jobsOn(() => says('{"eggs":2}'), owner);
    await job().model.ask({ ...QUESTION, schema });
    expect([formOf(seen[0]!), seen[0]!.body.messages[0].content]).toEqual([
      "json_schema",
      expect.not.stringContaining("JSON schema"),
    ]);
  });

  test("is asked of llama-cpp-python in the form that it takes, and of a model that it has learned of as before", async () => {
    const { job, seen } = await jobsOn(
      (one) => (formOf(one) === "json_schema" ? LLAMA_CPP_PYTHON : says('{"eggs":2}')),
      "me",
    );
    for (const model of ["a", "b", "a"]) await job(model).model.ask({ ...QUESTION, schema });
    expect(seen.map(formOf)).toEqual(["json_object", "json_object", "json_object"]);
    expect(seen[0]!.body.response_format.schema.required).toEqual(["eggs"]);
  });

  test("that an answer does not fit costs the job's budget both answers", async () => {
    const { job } = await jobsOn((_, count) => says(count === 1 ? "Two." : '{"eggs":2}'));
    const { model } = job(undefined, { budget: { requests: 10, tokens: 2_000 } });
    await model.ask({ ...QUESTION, schema, maxTokens: 50 });
    // Two answers of 107 tokens each are spent: 1,786 are left.
    const asked = model.ask({ ...QUESTION, maxTokens: 1_780 });
    expect((await failure(asked)).message).toContain("214 so far");
  });

  test.for([
    ["prose that is cut off", says("Let me count the", { finish: "length" }), "json_object"],
    ["JSON of another shape", says('{"answer":2}'), "json_object"],
    ["JSON in a code fence", says('```json\n{"eggs":2}\n```'), "json_object"],
    ["JSON that is cut off", says('{"eggs":', { finish: "length" }), "json_schema"],
    [
      "JSON that is cut off, with whole JSON in it",
      says('{"a":{"eggs":2},"b', { finish: "length" }),
      "json_schema",
    ],
    ["a thought before the JSON", says('<think>two</think>{"eggs":2}'), "json_schema"],
    ["a value out of the schema's range", says('{"eggs":2.5}'), "json_schema"],
    ["nothing", says(""), "json_schema"],
  ] as [string, Reply, string][])("counts as enforced or not by its answer: %s", async ([, answer, next]) => {
    const { job, seen } = await jobsOn((_, count) => (count === 1 ? answer : says('{"eggs":2}')));
    await job().model.ask({ ...QUESTION, schema });
    const before = seen.length;
    await job().model.ask({ ...QUESTION, schema });
    expect(formOf(seen[before]!)).toBe(next);
  });

  test("that a server cannot follow says nothing about other schemas", async () => {
    const bad = z.strictObject({ eggs: z.int(), hard: z.string().optional() });
    const { job, seen } = await jobsOn((one) =>
      JSON.stringify(one.body.response_format ?? "").includes("hard")
        ? refuses(400, "failed to parse grammar: schema too hard")
        : says('{"eggs":2}'),
    );
    for (const one of [schema, bad, bad, schema]) await job().model.ask({ ...QUESTION, schema: one });
    expect(seen.map(formOf)).toEqual([
      "json_schema",
      ...["json_schema", "json_object", "words"],
      "words",
      "json_schema",
    ]);
  });

  test("that one model refuses is still sent to another", async () => {
    const { job, seen } = await jobsOn((one) =>
      one.body.model === "small" && formOf(one) === "json_schema" ? LLAMA_CPP_PYTHON : says('{"eggs":2}'),
    );
    for (const name of ["small", "big", "small"]) await job(name).model.ask({ ...QUESTION, schema });
    expect(seen.map((one) => `${one.body.model} ${formOf(one)}`)).toEqual([
      "small json_schema",
      "small json_object",
      "big json_schema",
      "small json_object",
    ]);
  });

  test("is refused once for a burst of jobs", async () => {
    const { job, seen } = await jobsOn((one) =>
      formOf(one) === "json_schema" ? LLAMA_CPP_PYTHON : says('{"eggs":2}'),
    );
    await Promise.all(Array.from({ length: 12 }, () => job().model.ask({ ...QUESTION, schema })));
    expect(seen.map(formOf).filter((form) => form === "json_schema")).toHaveLength(1);
  });

  test("that Kamado's own engine refuses is written in words at once, and others are still sent", async () => {
    const server = await engineServer((one) =>
      JSON.stringify(one.body.response_format ?? "").includes("hard")
        ? refuses(400, "response_format: alternatives begin alike")
        : says('{"eggs":2}'),
    );
    const client = new EngineClient({ url: server.url });
    cleanups.push(() => client.close(), server.close);
    const { model } = createModel({ client, signal: new AbortController().signal });
    const hard = z.strictObject({ eggs: z.int(), hard: z.string().optional() });
    for (const one of [hard, hard, schema]) await model.ask({ ...QUESTION, schema: one });
    expect(server.seen.map(formOf)).toEqual(["json_schema", "words", "words", "json_schema"]);
  });
});

describe("a server that fails is not one that refuses a field", () => {
  test.for([
    ["out of memory", refuses(500, "CUDA out of memory while compiling the grammar"), "engine_unavailable"],
    ["500 without a word of it", refuses(500, "Internal Server Error"), "engine_unavailable"],
    ["500 that names a field and refuses nothing", refuses(500, "logprobs"), "engine_unavailable"],
    ["503", refuses(503, "response_format is not supported"), "engine_unavailable"],
    ["a proxy's 502", refuses(502, "invalid response_format from upstream"), "engine_unavailable"],
    ["a wrong token", refuses(401, "invalid schema of authorization"), "engine_rejected"],
    ["no such address", refuses(404, "404 page not found"), "engine_rejected"],
    ["another field", refuses(400, "max_tokens must be at most 4"), "engine_rejected"],
  ] as [string, Reply, string][])("%s", async ([, refusal, code]) => {
    const { job, seen } = await jobsOn((_, count) => (count === 1 ? refusal : says('{"eggs":2}')));
    expect((await failure(job().model.ask({ ...QUESTION, schema }))).code).toBe(code);
    await job().model.ask({ ...QUESTION, schema });
    expect(seen.map(formOf)).toEqual(["json_schema", "json_schema"]);
  });

  test("a refusal counts once the lesser form was answered", async () => {
    const { job, seen } = await jobsOn((_, count) =>
      count === 1 ? LLAMA_CPP_PYTHON : count === 2 ? refuses(500, "it crashed") : says('{"eggs":2}'),
    );
    expect((await failure(job().model.ask({ ...QUESTION, schema }))).code).toBe("engine_unavailable");
    await job().model.ask({ ...QUESTION, schema });
    expect(seen.map(formOf)).toEqual(["json_schema", "json_object", "json_schema"]);
  });

  test("words about a field that was not sent change nothing", async () => {
    const { job, seen } = await jobsOn(() => refuses(400, "json_schema is not supported"));
    expect((await failure(job().model.ask(QUESTION))).code).toBe("engine_rejected");
    expect(seen).toHaveLength(1);
  });
});

describe("probabilities", () => {
  test.for([
    [10, "top_logprobs must be at most 11", ["20", "10", "10"]],
    [5, "top_logprobs: must be between 0 and 5", ["20", "5", "5"]],
    [5, "Input should be less than or equal to 8 (top_logprobs)", ["20", "5", "5"]],
    [5, "Requested sample logprobs of 20, which is greater than max allowed: 5", ["20", "5", "5"]],
    [5, "invalid top_logprobs", ["20", "5", "5"]],
  ] as [number, string, string[]][])(
    "of as many alternatives as the server allows: %i, after %s",
    async ([most, message, expected]) => {
      const { job, seen } = await jobsOn(({ body }) =>
        body.top_logprobs > most ? refuses(400, message) : certain,
      );
      for (const _ of ["first", "second"]) expect((await job().model.decide(CHOICE)).choice).toBe("y");
      expect(seen.map(topOf).map(String)).toEqual(expected);
    },
  );

  test.for([
    ["refuses them", refuses(400, "logprobs is not supported")],
    [
      "refuses them with 500",
      refuses(500, "logprobs is not supported for models created with logits_all=False"),
    ],
    ["takes not even none", refuses(400, "top_logprobs must be at most 0")],
    ["ignores the wish", says("y")],
  ] as [string, Reply][])(
    "from a server that %s: it is asked for samples at once the next time",
    async ([, reply]) => {
      const { job, seen } = await jobsOn((one) => (one.body.logprobs ? reply : says("y")));
      for (const _ of ["first", "second"]) expect((await job().model.decide(CHOICE)).choice).toBe("y");
      expect(seen.map(topOf)).toEqual([20, ...Array(10).fill("sampled")]);
    },
  );

  test("that a server refuses under a schema alone are still asked for without one", async () => {
    const answer = {
      text: "y",
      cutOff: false,
      tokens: [],
      model: null,
      promptTokens: 1,
      cachedTokens: 0,
      completionTokens: 1,
    };
    const both = new KamadoError(
      "engine_rejected",
      "The engine answered 400: logprobs not supported with response_format",
      {
        detail: { httpStatus: 400, param: "logprobs" },
      },
    );
    const capabilities = new Capabilities();
    const send = async (request: ChatRequest) => {
      if (request.response_format) throw both;
      return answer;
    };
    const asking = { engine: "other", isOwn: false, signal: new AbortController().signal };
    const messages = [{ role: "system", content: "Read." }] as const;
    const request = { messages, max_tokens: 1, temperature: 0, logprobs: true, top_logprobs: 20 };
    const format = { type: "json_schema", json_schema: { schema: { type: "object" } } };
    const refused = await failure(capabilities.chat({ ...request, response_format: format }, send, asking));
    expect([refused.code, refused.message]).toEqual(["engine_rejected", expect.stringContaining("logprobs")]);
    expect(await capabilities.chat(request, send, asking)).toBe(answer);
  });
});
