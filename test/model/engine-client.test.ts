// The engine over HTTP: what a user reads when it is away, busy, or refuses.
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import { unreachable } from "../../worker/model/engine-answer.ts";
import { EngineClient, type EngineOptions, removeToken } from "../../worker/model/engine-client.ts";
import { engineServer, modelsOf, type Reply, says } from "./engine-server.ts";

const never = new AbortController().signal;
const QUESTION = { messages: [{ role: "user" as const, content: "hello" }], max_tokens: 8, temperature: 0 };

async function withEngine<T>(
  reply: Reply,
  work: (client: EngineClient, server: Awaited<ReturnType<typeof engineServer>>) => Promise<T>,
  options: Partial<EngineOptions> = {},
): Promise<T> {
  await using server = await engineServer(() => reply);
  const client = new EngineClient({ url: server.url, ...options });
  try {
    return await work(client, server);
  } finally {
    await client.close();
  }
}

async function failure(work: Promise<unknown>): Promise<KamadoError> {
  const thrown = await work.catch((error: unknown) => error);
  if (thrown instanceof KamadoError) return thrown;
  throw new Error("it did not fail with a code", { cause: thrown });
}

describe("an answer", () => {
  test("has its token counts and says whether it was cut off", async () => {
    await withEngine(says("hi", { finish: "length" }), async (client) => {
      expect(await client.chat(QUESTION, never)).toEqual({
        text: "hi",
        cutOff: true,
        tokens: null,
        model: "small-1b",
        promptTokens: 100,
        cachedTokens: 60,
        completionTokens: 7,
      });
    });
  });

  test("without content or usage is an empty one, not a crash", async () => {
    const bare = { body: { choices: [{ message: { role: "assistant", content: null } }] } };
    await withEngine(bare, async (client) => {
      expect(await client.chat(QUESTION, never)).toMatchObject({ text: "", promptTokens: 0, model: null });
    });
  });

  test("llama-server tells what it had cached in its timings", async () => {
    const body = { choices: [{ message: { content: "hi" } }], timings: { cache_n: 42 } };
    await withEngine({ body }, async (client) => {
      expect((await client.chat(QUESTION, never)).cachedTokens).toBe(42);
    });
  });

  test("the address may end in /v1 or have a path; the token is sent, non-standard fields are not", async () => {
    await using server = await engineServer(() => says("hi"));
    for (const [suffix, path] of [
      ["", "/v1/chat/completions"],
      ["/v1/", "/v1/chat/completions"],
      ["/engines/a/v1", "/engines/a/v1/chat/completions"],
    ]) {
      const client = new EngineClient({ url: server.url + suffix, token: "s3cret" });
      await client.chat(QUESTION, never);
      await client.close();
      expect(server.seen.at(-1)!.path).toBe(path);
    }
    const { headers, body } = server.seen[0]!;
    expect(headers.authorization).toBe("Bearer s3cret");
    expect(Object.keys(body).toSorted()).toEqual(["max_tokens", "messages", "stream", "temperature"]);
  });

  test("one past 16 MiB is hung up on, announced or not", async () => {
    for (const announced of [true, false]) {
      const cut = Promise.withResolvers<void>();
      const server = createServer((request, response) => {
        if (request.method === "GET") return void response.end("{}");
        if (announced) response.setHeader("content-length", 16 * 1024 * 1024 + 1);
        const more = () => void (response.write(Buffer.alloc(64 * 1024, " ")) && setImmediate(more));
        response.on("drain", more).on("close", cut.resolve);
        more();
      });
      await once(server.listen(0, "127.0.0.1"), "listening");
      const client = new EngineClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
      const { code, retry, message } = await failure(client.chat(QUESTION, never));
      expect([code, retry, message]).toEqual(["answer_invalid", false, expect.stringContaining("16777216")]);
      await cut.promise;
      await client.close();
      server.close();
    }
  });

  test("a text that was cut inside an emoji is sent as UTF-8 that strict servers take", async () => {
    await withEngine(says("hi"), async (client, server) => {
      await client.chat({ ...QUESTION, messages: [{ role: "user", content: "milk \ud83d" }] }, never);
      expect(JSON.stringify(server.seen[0]!.body)).toContain("milk \ufffd");
    });
  });

  test("fields that the operator adds are sent", async () => {
    const extra = { chat_template_kwargs: { enable_thinking: false } };
    await withEngine(
      says("hi"),
      async (client, server) => {
        await client.chat(QUESTION, never);
        expect(server.seen[0]!.body.chat_template_kwargs).toEqual({ enable_thinking: false });
      },
      { extra },
    );
  });
});

describe("a refusal keeps the engine's message and gets one of our codes", () => {
  const cases: [string, Reply, string][] = [
    ["a full line", { status: 429, body: { error: { message: "busy" } } }, "engine_busy"],
    ["a crash", { status: 500, body: "<h1>Internal Server Error</h1>" }, "engine_unavailable"],
    [
      "llama-server while it loads",
      { status: 503, body: { error: { code: 503, message: "Loading model", type: "unavailable_error" } } },
      "engine_unavailable",
    ],
    [
      "llama-server, too long",
      {
        status: 400,
        body: {
          error: {
            code: 400,
            message:
              "request (600 tokens) exceeds the available context size (512 tokens), try increasing it",
            type: "exceed_context_size_error",
            n_prompt_tokens: 600,
            n_ctx: 512,
          },
        },
      },
      "context_length_exceeded",
    ],
    [
      "OpenAI, too long",
      { status: 400, body: { error: { message: "Too long.", code: "context_length_exceeded" } } },
      "context_length_exceeded",
    ],
    [
      "vLLM, too long",
      {
        status: 400,
        body: {
          object: "error",
          message:
            "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens in the messages.",
          type: "BadRequestError",
          code: 400,
        },
      },
      "context_length_exceeded",
    ],
    [
      "vLLM, longer than the model",
      {
        status: 400,
        body: {
          error: {
            message: "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
          },
        },
      },
      "context_length_exceeded",
    ],
    [
      "vLLM, unknown model",
      {
        status: 404,
        body: { error: { message: "The model `x` does not exist.", type: "NotFoundError", code: 404 } },
      },
      "model_not_loaded",
    ],
    [
      "Ollama, unknown model",
      { status: 404, body: { error: { message: 'model "x" not found, try pulling it first' } } },
      "model_not_loaded",
    ],
    [
      "mlx-lm, unknown model",
      { status: 404, body: { error: "Cannot find an appropriate cached snapshot folder for the revision" } },
      "model_not_loaded",
    ],
    [
      "LM Studio, no model loaded",
      { status: 400, body: { error: { message: "No models loaded.", code: "model_not_found" } } },
      "engine_unavailable",
    ],
    ["no such path", { status: 404, body: "404 page not found" }, "engine_rejected"],
    ["no token", { status: 401, body: { error: "Invalid API Key" } }, "engine_rejected"],
    [
      "llama-server, no projector",
      {
        status: 500,
        body: { error: { message: "image input is not supported - hint: provide the mmproj" } },
      },
      "engine_rejected",
    ],
    ["something else", { status: 400, body: { error: { message: "n > 1" } } }, "engine_rejected"],
    ["no chat completion", { body: { hello: "there" } }, "engine_unavailable"],
    ["no JSON", { body: "hello" }, "engine_unavailable"],
  ];
  test.for(cases)("%s", async ([, reply, code]) => {
    const error = await withEngine(reply, (client) => failure(client.chat(QUESTION, never)));
    expect(error.code).toBe(code);
  });

  test("and is shortened to a line", async () => {
    const reply = { status: 400, body: { error: { message: `bad\n${"x".repeat(10_000)}` } } };
    const { message } = await withEngine(reply, (client) => failure(client.chat(QUESTION, never)));
    expect(message).toMatch(/^The engine answered 400: bad x+…$/);
    expect(message.length).toBeLessThan(350);
  });

  test.for([
    [{ "retry-after": "3" }, 3_000],
    [{ "retry-after": "0.5" }, 500],
    [{ "retry-after-ms": "250", "retry-after": "9" }, 250],
    [{}, undefined],
  ] as const)("a busy engine says when to come back: %j", async ([headers, expected]) => {
    const reply = { status: 429, headers, body: { error: { message: "busy" } } };
    const { detail } = await withEngine(reply, (client) => failure(client.chat(QUESTION, never)));
    expect(detail?.retryAfterMs).toBe(expected);
  });
});

describe("an engine that repeats the token it was sent", () => {
  const TOKEN = 'a-token/of "some" length';
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const forms = [
    TOKEN,
    TOKEN.toUpperCase(),
    JSON.stringify({ authorization: `Bearer ${TOKEN}` }),
    encodeURIComponent(TOKEN),
    base64(TOKEN),
    ...["", "x", "Bearer "].map((before) => base64(`${before}${TOKEN}`)),
    Buffer.from(TOKEN).toString("base64url"),
    Buffer.from(TOKEN).toString("hex"),
  ];
  const traces = /token|some|dG9rZW|b2tlb|Rva2Vu|746f6b/i;

  test.each(forms)("does not reveal it: %s", async (form) => {
    const { fromErrors, fromAnswers } = removeToken(TOKEN);
    expect(fromErrors(`you sent ${form}, bye`)).toMatch(/^you sent .*\[secret\].*, bye$/);
    expect(fromErrors(form)).not.toMatch(traces);
    expect(fromAnswers(form)).not.toMatch(traces);
  });

  test("has it removed from its errors, also where they are cut short, and from its answers", async () => {
    const token = "secret-token-0123456789";
    const far = `${"x".repeat(290)} ${token}`;
    for (const body of [{ error: { message: token } }, { error: token }, `<p>${token}</p>`, { error: far }]) {
      const refused = await withEngine(
        { status: 400, body },
        (client) => failure(client.chat(QUESTION, never)),
        {
          token,
        },
      );
      expect(refused.message).not.toContain("secret-t");
    }
    const { text } = await withEngine(says(`it is ${token}`), (client) => client.chat(QUESTION, never), {
      token,
    });
    expect(text).toBe("it is [secret]");
  });

  test("may use a word that is also a short token, and is understood all the same", async () => {
    const token = "model";
    const long = { status: 400, body: { error: { message: "longer than the maximum model length" } } };
    const refused = await withEngine(long, (client) => failure(client.chat(QUESTION, never)), { token });
    expect(refused.code).toBe("context_length_exceeded");
    const { text } = await withEngine(says("a model"), (client) => client.chat(QUESTION, never), { token });
    expect(text).toBe("a model");
  });
});

describe("an engine that is not there", () => {
  test("one that dies during a request has its own code: the request may be the cause", async () => {
    const reset = await withEngine("reset", (client) => failure(client.chat(QUESTION, never)));
    const behind = await withEngine(
      {
        status: 503,
        body: { error: { message: "llama-server ended while it answered", code: "engine_died" } },
      },
      (client) => failure(client.chat(QUESTION, never)),
    );
    expect([reset.code, reset.retry]).toEqual(["engine_died", true]);
    expect(behind.code).toBe("engine_died");
  });

  test("one that closes an idle connection has not died: no request is sent on a connection that was used", async () => {
    const used = new WeakSet<object>();
    const server = createServer((request, response) => {
      if (used.has(request.socket)) return void request.socket.destroy();
      used.add(request.socket);
      response.end(JSON.stringify((says("hi") as { body: unknown }).body));
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    const client = new EngineClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
    for (const _ of ["first", "second"]) expect((await client.chat(QUESTION, never)).text).toBe("hi");
    await client.close();
    server.close();
  });

  test("over a network, a broken connection does not mean that the engine died", () => {
    const broken = Object.assign(new Error("reset"), { code: "ECONNRESET" });
    const codeAt = (base: string) => unreachable(base, broken).code;
    for (const near of ["http://127.0.0.1:1", "http://[::1]:1", "http://host.containers.internal:1"])
      expect(codeAt(near)).toBe("engine_died");
    for (const far of ["http://10.0.0.5:1", "https://engine.example/v1"])
      expect(codeAt(far)).toBe("engine_unavailable");
  });

  test("nobody listens, or no answer comes: the job can be tried again", async () => {
    const silent = await withEngine("hang", (client) => failure(client.chat(QUESTION, never)), {
      timeoutMs: 50,
    });
    const gone = new EngineClient({ url: "http://127.0.0.1:1" });
    const refused = await failure(gone.chat(QUESTION, never));
    await gone.close();
    expect([silent.code, refused.code]).toEqual(Array(2).fill("engine_unavailable"));
    expect(refused.message).toContain("127.0.0.1:1");
    expect(refused.message).toContain("ECONNREFUSED");
  });

  test("a job that is cut closes its connection, which frees the slot, and reports the reason", async () => {
    await withEngine("hang", async (client, server) => {
      const cut = new AbortController();
      const asked = failure(client.chat(QUESTION, cut.signal));
      while (server.seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      cut.abort(new KamadoError("timed_out", "The job ran too long."));
      expect((await asked).code).toBe("timed_out");
      await server.dropped;
    });
  });
});

describe("what the engine says about itself", () => {
  test("its first model and its name", async () => {
    await withEngine(says("hi"), async (client) => {
      expect(await client.identify(never)).toEqual({ model: "small-1b", engine: "kamado" });
    });
  });

  test.each([
    ["503", { status: 503, body: { error: { message: "Loading model" } } }, "engine_unavailable"],
    ["500", { status: 500, body: "" }, "engine_unavailable"],
    ["408", { status: 408, body: "" }, "engine_unavailable"],
    ["429", { status: 429, body: "" }, "engine_busy"],
    ["a broken connection", "reset", "engine_unavailable"],
  ] as [string, Reply, string][])(
    "is asked again after %s, and the job is tried again",
    async (_, reply, code) => {
      const models = (count: number) => (count === 1 ? reply : modelsOf("kamado"));
      await using server = await engineServer(() => says("hi"), "kamado", models);
      const client = new EngineClient({ url: server.url });
      const refused = await failure(client.identify(never));
      expect([refused.code, refused.retry]).toEqual([code, true]);
      expect(await client.identify(never)).toEqual({ model: "small-1b", engine: "kamado" });
      await client.close();
    },
  );

  test.each([
    ["has none", { status: 404, body: "not found" }, 1],
    ["refuses to show it", { status: 403, body: "" }, 2],
    ["writes it in another form", { body: "hello" }, 2],
    ["lists none now", { body: { object: "list", data: [] } }, 2],
  ] as [string, Reply, number][])(
    "is not needed from a server with a list of models that %s",
    async (_, reply, times) => {
      await using server = await engineServer(
        () => says("hi"),
        "other",
        () => reply,
      );
      const client = new EngineClient({ url: server.url });
      const { host } = new URL(server.url);
      for (const _ of ["first", "second"])
        expect(await client.identify(never)).toEqual({ model: null, engine: host });
      expect(server.asked.models).toBe(times);
      await client.close();
    },
  );

  test.each([
    [{ error: { message: "you must provide a model parameter", type: "invalid_request_error" } }, true],
    [{ detail: [{ loc: ["body", "model"], msg: "Field required" }], message: "model: Field required" }, true],
    [{ error: { message: "response_format is not supported by this model" } }, false],
  ])("a request without a model that is refused for that is tried again: %j", async (body, retry) => {
    await withEngine({ status: 400, body }, async (client) => {
      expect((await failure(client.chat(QUESTION, never))).retry).toBe(retry);
      expect((await failure(client.chat({ ...QUESTION, model: "small-1b" }, never))).retry).toBe(false);
    });
  });

  test.for([
    [{ body: { status: "ok" } }, { is: "ready" }],
    [{ body: { slots: { total: 3 } } }, { is: "ready", slots: 3 }],
    [{ body: { slots: 3 } }, { is: "ready" }],
    [{ status: 503, body: { error: { message: "Loading model" } } }, { is: "loading" }],
    // LM Studio and Ollama have no /health; that they list their models is sign enough.
    [{ status: 404, body: "not found" }, { is: "ready" }],
  ] as [Reply, object][])("health %#", async ([reply, expected]) => {
    await withEngine(reply, async (client) => expect(await client.health()).toEqual(expected));
  });

  test("an engine that cannot be reached is down, with the reason", async () => {
    const client = new EngineClient({ url: "http://127.0.0.1:1" });
    expect(await client.health()).toEqual({ is: "down", reason: expect.stringMatching(/ECONNREFUSED$/) });
    await client.close();
  });
});

describe("which model a server answers with", () => {
  const listing = (...models: [string, string?][]) => ({
    body: { object: "list", data: models.map(([id, owned_by]) => ({ id, ...(owned_by && { owned_by }) })) },
  });
  const asking = async (models: Reply, script: Parameters<typeof engineServer>[0], model?: string) => {
    const server = await engineServer(script, "other", () => models);
    const client = new EngineClient({ url: server.url, model });
    const ask = async () => {
      const { model: named } = await client.identify(never);
      return client.chat({ ...QUESTION, ...(named !== null && { model: named }) }, never);
    };
    const asked = () => server.seen.map(({ body }) => body.model ?? "none");
    const dispose = () => client.close().then(server.close);
    return { ask, asked, client, [Symbol.asyncDispose]: dispose };
  };
  const needsOne = (message: string) => (seen: { body: { model?: string } }) =>
    seen.body.model === undefined ? { status: 400, body: { error: message } } : says("hi");
  const several = listing(["a", "org"], ["b", "org"]);

  test.for([
    ["the only one that it lists", listing(["a", "org"]), undefined, "a"],
    ["its own choice, where it lists several", several, undefined, "none"],
    ["its own choice, where it lists what was downloaded (mlx-lm)", listing(["a"]), undefined, "none"],
    ["its own choice, where it lists none", listing(), undefined, "none"],
    [
      "the only one that writes text, beside LM Studio's own model for embeddings",
      listing(
        ["qwen3-4b", "organization_owner"],
        ["text-embedding-nomic-embed-text-v1.5", "organization_owner"],
      ),
      undefined,
      "qwen3-4b",
    ],
    [
      "its own choice, beside an adapter (vLLM)",
      listing(["base", "vllm"], ["lora", "vllm"]),
      undefined,
      "none",
    ],
    ["the one that KAMADO_MODEL names, with its tag (Ollama)", several, "gemma3:4b", "gemma3:4b"],
    ["the one that KAMADO_MODEL names", several, "b", "b"],
    ["the one that KAMADO_MODEL names, listed or not", listing(["a", "org"]), "/models/c", "/models/c"],
    ["the one that KAMADO_MODEL names, without any list", { status: 404, body: "" }, "c", "c"],
  ] as [string, Reply, string | undefined, string][])("is %s", async ([, models, named, expected]) => {
    await using server = await asking(models, () => says("hi"), named);
    await server.ask();
    expect(server.asked()).toEqual([expected]);
  });

  test("is the only one in its list, once it has refused a request without one", async () => {
    await using server = await asking(listing(["a"]), needsOne("model is required"));
    for (const _ of ["first", "second"]) expect((await server.ask()).text).toBe("hi");
    expect(server.asked()).toEqual(["none", "a", "a"]);
  });

  test.for([
    "model is required",
    "Multiple models are loaded. Please specify a model by providing a 'model' field in the request body.",
    "model name is missing from the request",
    "missing or invalid 'model' key",
  ])("is asked of the owner where it lists several and needs one: %s", async (message) => {
    await using server = await asking(several, needsOne(message));
    const error = await failure(server.ask());
    expect([error.code, error.retry]).toEqual(["engine_unavailable", true]);
    expect(error.message).toContain("It lists 2 models: a, b.");
    expect(error.hint).toContain("KAMADO_MODEL");
  });
});

test.for([
  ["Ollama", 404, 'model "big" not found, try pulling it first'],
  ["Ollama's chat", 404, "model 'big' not found"],
  ["vLLM", 404, "The model `big` does not exist."],
  ["LM Studio", 404, 'Model "big" not found. Please specify a valid model.\n\nYour models:\n\nsmall-1b'],
] as [string, number, string][])(
  "a model that the server does not have is refused with a list of those that it has: %s",
  async ([, status, message]) => {
    await withEngine({ status, body: { error: { message } } }, async (client) => {
      await client.identify(never);
      const error = await failure(client.chat({ ...QUESTION, model: "big" }, never));
      expect([error.code, error.message]).toEqual([
        "model_not_loaded",
        expect.stringContaining("It lists 1 model: small-1b."),
      ]);
      expect(error.hint).toContain("KAMADO_MODEL");
    });
  },
);

test.for([
  [undefined, "No models loaded. Please load a model in the developer page or use the 'lms load' command."],
  ["qwen3-4b", "No models loaded. Please load a model in the developer page or use the 'lms load' command."],
  ["qwen3-4b", "No model is currently loaded."],
] as const)("a server that has loaded no model keeps its jobs waiting: %s, %s", async ([model, message]) => {
  const refuses = { status: 404, body: { error: { message, param: "model", code: "model_not_found" } } };
  await withEngine(refuses, async (client) => {
    const error = await failure(client.chat({ ...QUESTION, ...(model && { model }) }, never));
    expect([error.code, error.retry]).toEqual(["engine_unavailable", true]);
    expect(error.hint).toContain("lms load");
  });
});

describe("a picture that a server cannot read", () => {
  const picture = { type: "image_url" as const, image_url: { url: "data:image/png;base64,AA==" } };
  const WITH_PICTURE = { ...QUESTION, messages: [{ role: "user" as const, content: [picture] }] };

  test.for([
    ["llama-server", 500, "image input is not supported - hint: you may need to provide the mmproj"],
    ["llama-cpp-python", 500, 'can only concatenate str (not "list") to str'],
    ["mlx-lm", 404, "Only 'text' content type is supported."],
    ["Ollama", 400, "this model does not support image input"],
    [
      "Ollama, older",
      400,
      "json: cannot unmarshal array into Go struct field Message.messages.content of type string",
    ],
    ["vLLM", 400, "small-1b is not a multimodal model"],
    ["LM Studio", 400, "Model does not support images. Please use a model that does."],
    ["Kamado", 400, "messages: this model reads no pictures."],
  ] as [string, number, string][])(
    "fails for good, and the hint says what to do: %s",
    async ([, status, message]) => {
      const error = await withEngine({ status, body: { error: { message } } }, (client) =>
        failure(client.chat(WITH_PICTURE, never)),
      );
      expect([error.code, error.retry]).toEqual(["engine_rejected", false]);
      expect(error.hint).toContain("KAMADO_MMPROJ");
    },
  );

  test.for([
    ["a failure", 500, "CUDA error", "engine_unavailable"],
    ["another refusal", 400, "max_tokens must be at most 4", "engine_rejected"],
  ] as [string, number, string, string][])("is not the reason of %s", async ([, status, message, code]) => {
    const error = await withEngine({ status, body: { error: { message } } }, (client) =>
      failure(client.chat(WITH_PICTURE, never)),
    );
    expect(error.code).toBe(code);
    expect(error.hint).not.toContain("KAMADO_MMPROJ");
  });
});
