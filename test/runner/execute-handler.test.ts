// What one run of a job may cost, whatever its sender asks for: with the real handlers and model, on an engine over HTTP.
import { describe, expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import articleExtract from "../../handlers/article-extract.ts";
import prompt from "../../handlers/prompt.ts";
import { type Config, loadConfig } from "../../worker/config/config.ts";
import { Environment } from "../../worker/config/environment.ts";
import { KamadoError } from "../../worker/errors.ts";
import { BUDGET_VARIABLES } from "../../worker/job/budgets.ts";
import { Job } from "../../worker/job/envelope.ts";
import { type Context, defineHandler, type Handler, type Page } from "../../worker/job/handler.ts";
import { parseJson } from "../../worker/job/json.ts";
import { makerOf } from "../../worker/job/registry.ts";
import { JobEvents } from "../../worker/logging/job-events.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { EngineClient } from "../../worker/model/engine-client.ts";
import { createOutbound } from "../../worker/outbound/outbound.ts";
import { executeHandler } from "../../worker/runner/execute-handler.ts";
import { createHandlerServices } from "../../worker/runner/handler-context.ts";
import { createReadableObjects } from "../../worker/storage/readable-objects.ts";
import { FakeClock } from "../fakes/clock.ts";
import { known } from "../fakes/known.ts";
import { startReceiver } from "../fakes/receiver.ts";
import { engineServer, type Seen, says } from "../model/engine-server.ts";

const never = new AbortController().signal;
/** 382 KB: 192 parts. */
const LONG_TEXT = "The bakery sells forty loaves of bread a day in town. ".repeat(7_100).slice(0, 382_000);
const QUESTIONS = Array.from({ length: 50 }, (_, index) => `How many loaves, for the time ${index}?`);

type Options = {
  budgets?: Partial<Config["budgets"]>;
  answer?: (seen: Seen) => string | "hang";
  stop?: AbortSignal;
  /** A server that the owner has listed. */
  site?: string;
};

/** Runs one job on an engine that counts what it was asked. Prompts have 100 tokens there and answers 7. */
async function execute(fields: object, run?: (context: Context) => Promise<unknown>, options: Options = {}) {
  const { answer = () => '{"evidence":null,"answer":null}', stop = never } = options;
  const server = await engineServer((seen) => {
    const text = answer(seen);
    return text === "hang" ? text : says(text);
  });
  const client = new EngineClient({ url: server.url });
  onTestFinished(async () => {
    await client.close();
    await server.close();
  });
  const config = loadConfig({}, {});
  const budgets = { ...config.budgets, ...options.budgets };
  const work = defineHandler({
    kind: "work",
    summary: "Does what the test says.",
    input: z.unknown(),
    output: z.unknown(),
    inputs: () => ({ page: options.site ? { from: `${options.site}/input`, as: "page" } : undefined }),
    run: async (_, context) => run!(context as unknown as Context),
  });
  const destinations = options.site ? [known(options.site)] : [];
  const outbound = createOutbound({ destinations });
  onTestFinished(() => outbound.close());
  const services = createHandlerServices({
    registry: new Map(
      [articleExtract, prompt, work].map((one) => [one.kind, one as unknown as Handler] as const),
    ),
    objects: createReadableObjects({ own: "kamado", buckets: new Map() }),
    outbound,
    destinations,
    userAgent: "Mine/1 (+https://example.org/mine)",
    client,
    budgets,
    requestsAtOnce: config.requestsAtOnce,
  });
  const job = Job.parse({ id: "a", kind: "work", input: null, ...fields });
  const message = { id: "m", queue: "q", body: "", handle: "", sentAt: 0, receiveCount: 1, group: null };
  const arrival = { receivedWall: 0, signal: never, attempts: 1, maxAttempts: 5 };
  const outcome = await executeHandler(job, { ...arrival, message }, stop, {
    ...services,
    budgets,
    timeoutSeconds: config.timeoutSeconds,
    workerName: "test",
    jobEvents: new JobEvents(silentLog),
    clock: new FakeClock(),
  });
  if (outcome.is === "rejected" && outcome.about) return { result: outcome.about.result, seen: server.seen };
  if ("result" in outcome) return { result: outcome.result, seen: server.seen };
  throw new Error(`it ended as ${outcome.is}`);
}

test("what a run gives is known as made by the handler that ran, for the call of a rest destination", async () => {
  const { result } = await execute({}, async () => ({ done: true }));
  expect(makerOf(result.output, new Map(), "work")).toMatchObject({ summary: "Does what the test says." });
});

test("an address is read as a page, as an input and by the handler, under the owner's name", async () => {
  await using site = await startReceiver(({ path }, response) => {
    const isPage = !path.startsWith("/robots");
    response
      .writeHead(isPage ? 200 : 404, { "content-type": "text/html" })
      .end(`<title>${path}</title><p>Text.`);
  });
  const { result } = await execute(
    {},
    async ({ inputs, pages }) => {
      const read = await pages.read(`${site.url}/read`);
      return [(inputs as unknown as { page: Page }).page, read].map(({ title, url, text }) => ({
        title,
        url,
        text,
      }));
    },
    { site: site.url },
  );
  expect(result.output).toEqual([
    { title: "/input", url: `${site.url}/input`, text: "Text." },
    { title: "/read", url: `${site.url}/read`, text: "Text." },
  ]);
  expect(site.received.map(({ path, headers }) => [path, headers["user-agent"]])).toEqual(
    ["/robots.txt", "/input", "/read"].map((path) => [path, "Mine/1 (+https://example.org/mine)"]),
  );
});

test("a page is waited for no longer than the job runs", async () => {
  await using site = await startReceiver(({ path }, response) => {
    if (path.startsWith("/robots")) response.writeHead(404).end();
    else if (path === "/input") response.end("Text.");
  });
  const stop = new AbortController();
  const ended = execute(
    {},
    ({ pages }) => {
      const reading = pages.read(`${site.url}/hangs`);
      reading.catch(() => {});
      stop.abort(new KamadoError("stopping", "The worker stops."));
      return reading;
    },
    { site: site.url, stop: stop.signal },
  );
  await expect(ended).rejects.toThrow("it ended as interrupted");
});

const QUESTION = { instructions: "Count.", content: "Two eggs." };

test("the time of further work is estimated by what the job has asked so far", async () => {
  const work = { promptTokens: 1_000, completionTokens: 70 };
  const { result } = await execute({}, async ({ model, estimate }) => {
    const before = estimate(work);
    await model.ask(QUESTION);
    return { before, after: estimate(work), nothing: estimate({ promptTokens: 0, completionTokens: 0 }) };
  });
  expect(result.output).toEqual({ before: null, after: expect.any(Number), nothing: 0 });
});

test("a job that is held back because servers do not answer has not failed", async () => {
  const heldBack = new KamadoError("fetch_failed", "no room", {
    detail: { retryAfterMs: 5_000, heldBack: true },
  });
  await expect(execute({}, () => Promise.reject(heldBack))).rejects.toThrow("it ended as interrupted");
});

describe("an input is read as its serializer meant it", () => {
  const answer = () => "milk";

  test("null for absent, numbers as strings, the whole input as a string", async () => {
    const input = { prompt: "What?", system: null, image: null, schema: null, maxTokens: "64", trace: null };
    for (const sent of [input, JSON.stringify(input)]) {
      const { result, seen } = await execute({ kind: "prompt", input: sent }, undefined, { answer });
      expect(result).toMatchObject({ status: "succeeded", output: { text: "milk" } });
      expect(seen[0]).toMatchObject({ body: { max_tokens: 64 } });
    }
  });

  test("a number with more digits than a number keeps is refused by name, and never rounded", async () => {
    const sent = parseJson('{"prompt":"What?","maxTokens":9007199254740993}');
    const { result, seen } = await execute({ kind: "prompt", input: sent }, undefined, { answer });
    expect(seen).toHaveLength(0);
    expect(result.error).toMatchObject({
      code: "invalid_input",
      message: expect.stringMatching(/^input\.maxTokens: .*more digits/),
    });
  });
});

describe("the receipt of a job that did not succeed", () => {
  const hangsAt = (count: number, then: () => void) => {
    let asked = 0;
    return () => {
      asked += 1;
      if (asked < count) return "2";
      then();
      return "hang";
    };
  };

  test("names the model and counts what was spent, when the job is canceled", async () => {
    const cancel = new AbortController();
    const canceled = () => cancel.abort(new KamadoError("canceled", "Somebody canceled the job."));
    const ask = async ({ model }: Context) => {
      await model.ask(QUESTION);
      return model.ask(QUESTION);
    };
    const options = { stop: cancel.signal, answer: hangsAt(2, canceled) };
    const { status, receipt } = (await execute({}, ask, options)).result;
    expect([status, receipt.model, receipt.engine]).toEqual(["canceled", "small-1b", "kamado"]);
    expect(receipt).toMatchObject({ requests: 1, unansweredRequests: 1, completionTokens: 7 });
    expect(receipt.promptTokens).toBeGreaterThan(100);
  });

  test("names the model and estimates the prompt, when its first question was cut", async () => {
    const cancel = new AbortController();
    const canceled = () => cancel.abort(new KamadoError("canceled", "Somebody canceled the job."));
    const options = { stop: cancel.signal, answer: hangsAt(1, canceled) };
    const { receipt } = (await execute({}, ({ model }) => model.ask(QUESTION), options)).result;
    expect(receipt).toMatchObject({ model: "small-1b", requests: 0, unansweredRequests: 1 });
    expect(receipt.promptTokens).toBeGreaterThan(0);
  });

  test("counts what was answered before the job was refused", async () => {
    const ask = async ({ model }: Context) => {
      await model.ask(QUESTION);
      throw new KamadoError("invalid_input", "It cannot be used.");
    };
    const { status, receipt } = (await execute({}, ask, { answer: () => "2" })).result;
    expect([status, receipt.model]).toEqual(["failed", "small-1b"]);
    expect(receipt).toMatchObject({ requests: 1, promptTokens: 100, completionTokens: 7 });
    expect(receipt).not.toHaveProperty("unansweredRequests");
  });
});

describe("requests to the model", () => {
  test("a job that asks for 1,001 at once buys none: that is more than the budget", async () => {
    const { result, seen } = await execute({}, ({ model }) =>
      Promise.all(Array.from({ length: 1_001 }, () => model.ask(QUESTION))),
    );
    expect(seen).toHaveLength(0);
    expect(result.error).toMatchObject({
      code: "budget_exceeded",
      message: expect.stringMatching(/1001 or more.*1000.*KAMADO_MAX_JOB_REQUESTS/),
    });
    expect(result.receipt).toMatchObject({ requests: 0, completionTokens: 0 });
  });

  test("an article of 382 KB with 50 questions is read as far as the budget goes, and what was not read is said", async () => {
    const { result, seen } = await execute(
      { kind: "article.extract", input: { text: LONG_TEXT, questions: QUESTIONS, maxFacts: 0 } },
      undefined,
      { budgets: { requests: 200 } },
    );
    expect(result.status).toBe("succeeded");
    expect(seen).toHaveLength(3 * 50);
    expect(result.output).toMatchObject({ unread: { chunks: 192 - 3 } });
  });

  test("an article of 60 KB with ten questions is within it", async () => {
    const input = { text: LONG_TEXT.slice(0, 60_000), questions: QUESTIONS.slice(0, 10), maxFacts: 0 };
    const { result, seen } = await execute({ kind: "article.extract", input });
    expect(result.status).toBe("succeeded");
    expect(result.receipt).toMatchObject({ requests: seen.length, runMs: 0 });
    expect(seen.length).toBeGreaterThan(300);
  });

  test("one by one, a job gets as many as its budget and then none, however it goes on", async () => {
    const { result, seen } = await execute(
      {},
      async ({ model }) => {
        for (let tries = 0; tries < 9; tries += 1)
          await model.ask(QUESTION).catch((error) => tries === 8 && Promise.reject(error));
      },
      { budgets: { requests: 5 } },
    );
    expect(seen).toHaveLength(5);
    expect(result.error?.code).toBe("budget_exceeded");
    expect(result.receipt).toMatchObject({ requests: 5, completionTokens: 35 });
  });

  test("repairs, decisions and their second looks count", async () => {
    const { result, seen } = await execute(
      {},
      async ({ model }) => {
        await model.ask({ ...QUESTION, schema: z.int() }).catch(() => {});
        await model.decide({ ...QUESTION, options: ["y", "n"] });
      },
      { budgets: { requests: 6 }, answer: () => "perhaps" },
    );
    // Two for the value, and one for probabilities, which the engine does not give. Five samples are more than the rest.
    expect(seen).toHaveLength(3);
    expect(result.error?.code).toBe("budget_exceeded");
  });
});

describe("tokens", () => {
  test("one answer longer than the budget is refused before it is sent", async () => {
    const { result, seen } = await execute(
      { kind: "prompt", input: { prompt: "Go on.", maxTokens: 32_768 } },
      undefined,
      { budgets: { tokens: 10_000 } },
    );
    expect(seen).toHaveLength(0);
    expect(result.error?.message).toMatch(/0 so far and up to 32\d{3} more.*10000.*KAMADO_MAX_JOB_TOKENS/);
  });

  test("requests at the same time cannot spend the same tokens: what may be spent is reserved before each", async () => {
    const { result, seen } = await execute(
      {},
      ({ model }) =>
        Promise.all(Array.from({ length: 100 }, () => model.ask({ ...QUESTION, maxTokens: 900 }))),
      { budgets: { tokens: 3_000 } },
    );
    expect(result.error?.code).toBe("budget_exceeded");
    const { promptTokens, completionTokens } = result.receipt;
    // Each answer takes 107 of the 920 or so that are reserved for it; the rest is given back for the next request.
    expect(seen.length).toBeGreaterThan(10);
    expect(promptTokens + completionTokens).toBeLessThanOrEqual(3_000);
  });
});

describe("seconds", () => {
  test("a limit above the owner's is refused, with both figures and the variable", async () => {
    const { result, seen } = await execute({
      kind: "prompt",
      input: { prompt: "Hello" },
      policy: { timeoutSeconds: 39_600 },
    });
    expect(seen).toHaveLength(0);
    expect(result.error).toMatchObject({
      code: "budget_exceeded",
      message: expect.stringMatching(/policy\.timeoutSeconds.*39600.*3600.*KAMADO_MAX_JOB_SECONDS/),
    });
  });

  test("a limit of exactly as much runs", async () => {
    const { result } = await execute({
      kind: "prompt",
      input: { prompt: "Hello" },
      policy: { timeoutSeconds: 3_600 },
    });
    expect(result.status).toBe("succeeded");
  });
});

test("an output longer than the owner allows is refused, and neither stored nor delivered", async () => {
  const { result } = await execute({}, async () => "x".repeat(2_000), { budgets: { resultBytes: 1_000 } });
  expect(result).not.toHaveProperty("output");
  expect(result.error).toMatchObject({
    code: "budget_exceeded",
    message: expect.stringMatching(/2002.*1000.*KAMADO_MAX_JOB_RESULT_BYTES/),
  });
});

test("every budget's error names a variable that exists", () => {
  expect(BUDGET_VARIABLES.filter((name) => !(name in Environment.shape))).toEqual([]);
  expect(BUDGET_VARIABLES).toHaveLength(Object.keys(loadConfig({}, {}).budgets).length);
});

test("half of a UTF-16 pair in what a handler returns is U+FFFD in the result", async () => {
  const { result } = await execute({}, async () => ({ title: "milk \ud83d", "\ud83d": ["\ud83d\ude00"] }));
  expect(result.output).toEqual({ title: "milk \ufffd", "\ufffd": ["😀"] });
});
