// Models use the kinds as tools: the official client of the SDK, over HTTP, with a worker that a test plays.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ToolListChangedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import { afterEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { systemClock } from "../../worker/async/clock.ts";
import { secret } from "../../worker/config/secret.ts";
import { startWeb, type Web } from "../../worker/console/server.ts";
import { KamadoError } from "../../worker/errors.ts";
import { defineHandler, type Handler } from "../../worker/job/handler.ts";
import type { Known } from "../../worker/job/registry.ts";
import { Receipt, type Result } from "../../worker/job/result.ts";
import type { NewJob, SendJobs } from "../../worker/job/send-jobs.ts";
import { JobEvents } from "../../worker/logging/job-events.ts";
import { createLog, silentLog } from "../../worker/logging/log.ts";
import { FollowJobs } from "../../worker/mcp/follow-jobs.ts";
import { createMcp } from "../../worker/mcp/mcp.ts";
import { STATE } from "../console/state-sample.ts";

const TOKEN = "a-token-of-some-length";
const READ = "another-token-to-read";

const look = defineHandler({
  kind: "image.check",
  summary: "Answers a yes/no question about a picture.",
  input: z.strictObject({ image: z.string().min(1), question: z.string().min(1) }),
  output: z.strictObject({ answer: z.enum(["y", "n"]) }),
  inputs: ({ image }) => ({ image: { from: image, as: "image" as const } }),
  run: async () => ({ answer: "y" as const }),
});
const either = defineHandler({
  kind: "either",
  summary: "Takes a text or a number.",
  input: z.union([z.string(), z.number()]),
  output: z.string(),
  run: async () => "",
});
const Tree = z.object({
  name: z.string(),
  get children(): z.ZodArray<typeof Tree> {
    return z.array(Tree);
  },
});
const tree = defineHandler({
  kind: "tree",
  summary: "Makes a tree.",
  input: Tree,
  output: Tree,
  run: async (input) => input,
});

type Sent = NewJob & { id: string };
type World = Awaited<ReturnType<typeof openWorld>>;

/** A worker whose jobs a test runs. */
async function openWorld() {
  const jobEvents = new JobEvents(silentLog);
  const registry = new Map<string, Known>();
  for (const handler of [look, either, tree] as unknown as Handler[]) registry.set(handler.kind, handler);
  const sent: Sent[] = [];
  const uploads: { bytes: Uint8Array; contentType: string | undefined; name: string | undefined }[] = [];
  const results = new Map<string, Result>();
  const canceled: string[] = [];
  let heard = () => {};
  const lines: object[] = [];
  const log = createLog({
    level: "info",
    destination: { write: (line) => void lines.push(JSON.parse(line)) },
  });
  const send: SendJobs = {
    async send(job) {
      const id = job.id ?? `job-${sent.length + 1}`;
      sent.push({ ...job, id });
      setImmediate(() => heard());
      return { id, kind: job.kind, messageId: `m-${id}`, jobHash: "" };
    },
    sendMany: () => Promise.reject(new Error("not used here")),
    async cancel(id) {
      canceled.push(id);
      return { is: "requested" };
    },
    async upload(file, { contentType, name } = {}) {
      uploads.push({
        bytes: new Uint8Array(await new Blob([file as Uint8Array<ArrayBuffer>]).arrayBuffer()),
        contentType,
        name,
      });
      return `s3://kamado/in/picture-${uploads.length}`;
    },
  };
  const find = async (id: string) => results.get(id) ?? null;
  const app = createMcp({
    registry,
    send,
    jobs: new FollowJobs(jobEvents, { find }, systemClock),
    log,
    lookMs: 20,
  });
  const mounts = [{ path: "/mcp", app, checksRights: true }];
  const options = { port: 0, state: () => STATE, mounts, token: secret(TOKEN), readToken: secret(READ) };
  const web: Web = await startWeb(options);
  const about = (id: string) => ({ job: id, kind: sent.find((one) => one.id === id)?.kind ?? "image.check" });
  return {
    web,
    registry,
    sent,
    uploads,
    results,
    canceled,
    lines,
    jobEvents,
    onSent: (does: (job: Sent) => void) => {
      heard = () => does(sent.at(-1)!);
    },
    received: (id: string) =>
      jobEvents.emit({ stage: "received", ...about(id), message: "m", receives: 1 }, ""),
    started: (id: string) => jobEvents.emit({ stage: "started", ...about(id), attempt: 1 }, ""),
    progress: (id: string, done: number, what: string) =>
      jobEvents.emit({ stage: "progress", ...about(id), done, what }, ""),
    ended(id: string, end: Partial<Result>) {
      const { job, kind } = about(id);
      const result: Result = {
        id: job,
        kind,
        status: "succeeded",
        receipt: Receipt.parse({ model: "m" }),
        ...end,
      };
      results.set(id, result);
      jobEvents.emit({ stage: "ended", job, kind, outcome: "succeeded", ending: "delete" }, "", { result });
    },
  };
}

let world: World | undefined;
const open = async () => (world ??= await openWorld());
const clients: Client[] = [];
afterEach(async () => {
  // Their streams would hold up the server's end.
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await world?.web.stop();
  world = undefined;
});

async function connect({ web }: World, token = TOKEN): Promise<Client> {
  const client = new Client({ name: "test", version: "1" });
  const headers = { authorization: `Bearer ${token}` };
  const transport = new StreamableHTTPClientTransport(new URL(`${web.url}/mcp`), {
    requestInit: { headers },
  });
  await client.connect(transport as Parameters<typeof client.connect>[0]);
  clients.push(client);
  return client;
}
const dataOf = (answer: Awaited<ReturnType<Client["callTool"]>>) =>
  answer.structuredContent as Record<string, unknown>;

describe("the tools", () => {
  test("are the kinds, with their schemas, and what asks for jobs", async () => {
    const { tools } = await (await connect(await open())).listTools();
    expect(tools.map(({ name }) => name)).toEqual([
      "start_job",
      "job_status",
      "job_result",
      "cancel_job",
      "list_kinds",
      "image_check",
      "either",
      "tree",
    ]);
    const check = tools.find(({ name }) => name === "image_check")!;
    expect(check).toMatchObject({
      title: "image.check",
      description: expect.stringMatching(/yes\/no question.*s3:\/\//),
      inputSchema: { type: "object", required: ["image", "question"], additionalProperties: false },
      outputSchema: { properties: { output: { properties: { answer: { enum: ["y", "n"] } } } } },
    });
    // Every client takes these patterns.
    for (const { inputSchema } of tools)
      expect(JSON.stringify(inputSchema)).not.toMatch(/\\p\{|"pattern":"[^"]{100}/);
    // Every client takes these names.
    for (const { name } of tools) expect(name).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
  });

  test("take an input that is no object in a field of that name", async () => {
    const world = await open();
    const client = await connect(world);
    world.onSent(({ id }) => world.ended(id, { output: "done" }));
    const answer = await client.callTool({ name: "either", arguments: { input: 7 } });
    expect([world.sent[0]!.input, dataOf(answer).output]).toEqual([7, "done"]);
  });

  test("change when handlers do, and a client that listens hears of it", async () => {
    const world = await open();
    const client = await connect(world);
    const { promise: changed, resolve } = Promise.withResolvers<void>();
    client.setNotificationHandler(ToolListChangedNotificationSchema, () => resolve());
    await client.listTools();
    // Handlers are exchanged in place. The client's stream may open a moment after it has connected.
    const { promise: heard, resolve: stop } = Promise.withResolvers<void>();
    let version = 0;
    const change = setInterval(() => {
      const summary = `Version ${++version}.`;
      world.registry.set("new.kind", { ...either, kind: "new.kind", summary } as unknown as Known);
    }, 30);
    changed.then(stop);
    await heard;
    clearInterval(change);
    expect((await client.listTools()).tools.map(({ name }) => name)).toContain("new_kind");
  });

  test("keep apart what two kinds would be called, and what is broken is no tool", async () => {
    const world = await open();
    for (const kind of ["image_check", "list.kinds", `long.${"x".repeat(90)}`])
      world.registry.set(kind, { ...either, kind } as unknown as Known);
    const broken = new KamadoError("handler_broken", "bad.ts:1: it has no handler.");
    world.registry.set("bad", { ...either, kind: "bad", broken } as unknown as Known);
    const client = await connect(world);
    const names = (await client.listTools()).tools.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(
      expect.arrayContaining(["image_check", "image_check_2", "list_kinds", "list_kinds_2"]),
    );
    for (const name of names) expect(name.length).toBeLessThanOrEqual(64);
    expect(names).not.toContain("bad");
    const { kinds } = dataOf(await client.callTool({ name: "list_kinds", arguments: {} })) as {
      kinds: object[];
    };
    expect(kinds).toContainEqual({ kind: "bad", error: expect.objectContaining({ code: "handler_broken" }) });
    expect(kinds).toContainEqual({ kind: "image_check", summary: either.summary, tool: "image_check_2" });
  });
});

describe("run and wait", () => {
  test("a job's result comes back as data and as text, with what the model had to say", async () => {
    const world = await open();
    const client = await connect(world);
    world.onSent(({ id }) => world.ended(id, { output: { answer: "y" } }));
    const input = { image: "s3://kamado/in/door.jpg", question: "Is it locked?" };
    const answer = await client.callTool({ name: "image_check", arguments: input });
    expect(dataOf(answer)).toMatchObject({
      id: "job-1",
      kind: "image.check",
      status: "succeeded",
      output: { answer: "y" },
      receipt: { model: "m" },
    });
    expect(JSON.parse((answer.content as { text: string }[])[0]!.text)).toEqual(answer.structuredContent);
    expect(world.sent).toMatchObject([{ kind: "image.check", input }]);
  });

  test("how far it is comes meanwhile, always more", async () => {
    const world = await open();
    const client = await connect(world);
    world.onSent(({ id }) => {
      world.received(id);
      world.started(id);
      world.progress(id, 0.5, "half of it");
      world.progress(id, 0.2, "an older one");
      world.ended(id, { output: { answer: "n" } });
    });
    const told: { progress: number; message?: string | undefined }[] = [];
    await client.callTool(
      { name: "image_check", arguments: { image: "s3://b/k", question: "?" } },
      undefined,
      {
        onprogress: ({ progress, message }) => void told.push({ progress, message }),
      },
    );
    expect(told.map(({ message }) => message)).toEqual(["waits for a slot", "runs", "half of it"]);
    expect(told.map(({ progress }) => progress)).toEqual(
      told.map(({ progress }) => progress).toSorted((a, b) => a - b),
    );
  });

  test("a job that another worker runs is found by its stored result", async () => {
    const world = await open();
    const client = await connect(world);
    world.onSent(({ id, kind }) => {
      world.results.set(id, {
        id,
        kind,
        status: "succeeded",
        output: { answer: "y" },
        receipt: Receipt.parse({}),
      });
    });
    const answer = await client.callTool({
      name: "image_check",
      arguments: { image: "s3://b/k", question: "?" },
    });
    expect(dataOf(answer)).toMatchObject({ status: "succeeded", output: { answer: "y" } });
  });

  test("a job that failed is an error with its code and what to do", async () => {
    const world = await open();
    const client = await connect(world);
    const error = {
      code: "object_not_found",
      message: "s3://b/k: there is no such object.",
      hint: "Upload it.",
    };
    world.onSent(({ id }) => world.ended(id, { status: "failed", error }));
    const answer = await client.callTool({
      name: "image_check",
      arguments: { image: "s3://b/k", question: "?" },
    });
    expect([answer.isError, dataOf(answer)]).toMatchObject([true, { status: "failed", error }]);
  });

  test("a job that is dead-lettered without a result ends the waiting too", async () => {
    const world = await open();
    const client = await connect(world);
    world.onSent(({ id: job, kind }) =>
      world.jobEvents.emit(
        { stage: "ended", job, kind, outcome: "rejected", ending: "delete", error: "handler_broken" },
        "",
      ),
    );
    const answer = await client.callTool({
      name: "image_check",
      arguments: { image: "s3://b/k", question: "?" },
    });
    expect([answer.isError, dataOf(answer)]).toMatchObject([
      true,
      { status: "failed", error: { code: "handler_broken" } },
    ]);
  });

  test.each([
    ["image_check", { image: "s3://b/k" }, "invalid_input", "question"],
    ["image_check", { image: "s3://b/k", question: "?", extra: 1 }, "invalid_input", "extra"],
    ["image_chek", {}, "unknown_kind", "Did you mean image_check?"],
    ["start_job", { kind: "image.chek", input: {} }, "unknown_kind", "image.check"],
    ["start_job", { kind: "either", input: 1, id: "not an id" }, "invalid_input", "id"],
    ["job_result", { id: "job-1", wait_seconds: 900 }, "invalid_input", "wait_seconds"],
    ["job_status", {}, "invalid_input", "id"],
    ["list_kinds", { kind: "nothing" }, "unknown_kind", "nothing"],
  ])("%s with %j is refused before anything is sent: %s", async (name, given, code, words) => {
    const world = await open();
    const answer = await (await connect(world)).callTool({ name, arguments: given });
    const { error } = dataOf(answer) as { error: { code: string; message: string; hint: string } };
    expect([answer.isError, error.code, error.hint]).toEqual([true, code, expect.stringMatching(/\w/)]);
    expect(error.message).toContain(words);
    expect([world.sent, world.uploads]).toEqual([[], []]);
  });
});

describe("start and ask later", () => {
  test("a job is started, asked for, and its result fetched when it has ended", async () => {
    const world = await open();
    const client = await connect(world);
    const call = async (name: string, given: Record<string, unknown>) =>
      dataOf(await client.callTool({ name, arguments: given }));
    const policy = { priority: 9, model: "gemma-3-4b" };
    const started = await call("start_job", { kind: "either", input: "a", id: "mine", policy });
    expect(started).toMatchObject({
      id: "mine",
      kind: "either",
      status: "queued",
      note: expect.stringContaining("job_result"),
    });
    expect(world.sent).toMatchObject([{ id: "mine", kind: "either", input: "a", policy }]);
    world.started("mine");
    world.progress("mine", 0.25, "a quarter");
    expect(await call("job_status", { id: "mine" })).toMatchObject({
      status: "running",
      progress: { done: 0.25, what: "a quarter" },
    });
    expect(await call("job_result", { id: "mine", wait_seconds: 0 })).toMatchObject({
      status: "running",
      note: expect.stringContaining("job_result"),
    });
    const waiting = call("job_result", { id: "mine" });
    world.ended("mine", { output: "b" });
    expect(await waiting).toMatchObject({ status: "succeeded", output: "b" });
    expect(await call("job_status", { id: "mine" })).toMatchObject({ status: "succeeded" });
  });

  test("a job nobody has heard of is said to be so", async () => {
    const client = await connect(await open());
    const answer = await client.callTool({ name: "job_status", arguments: { id: "none" } });
    expect(dataOf(answer)).toMatchObject({ id: "none", note: expect.stringContaining("the id is wrong") });
  });

  test("a job is canceled, and one that has ended is not", async () => {
    const world = await open();
    const client = await connect(world);
    const cancel = async (id: string) =>
      dataOf(await client.callTool({ name: "cancel_job", arguments: { id } }));
    expect(await cancel("job-9")).toMatchObject({ id: "job-9", note: expect.stringContaining("requested") });
    world.ended("job-8", {});
    expect(await cancel("job-8")).toMatchObject({
      status: "succeeded",
      note: expect.stringContaining("already"),
    });
    expect(world.canceled).toEqual(["job-9", "job-8"]);
  });
});

describe("a picture", () => {
  const bytes = Buffer.alloc(20_000, 7);
  const data = bytes.toString("base64");

  test.each([
    ["as an image content object", { type: "image", data, mimeType: "image/jpeg" }],
    ["as a data: URI", `data:image/jpeg;base64,${data}`],
  ])("%s is uploaded, and the job names where", async (_, image) => {
    const world = await open();
    const client = await connect(world);
    world.onSent(({ id }) => world.ended(id, { output: { answer: "y" } }));
    await client.callTool({ name: "image_check", arguments: { image, question: "?" } });
    expect(world.uploads).toEqual([
      { bytes: new Uint8Array(bytes), contentType: "image/jpeg", name: "picture.jpeg" },
    ]);
    expect(world.sent).toMatchObject([{ input: { image: "s3://kamado/in/picture-1", question: "?" } }]);
  });

  test("that is small, at an address, or only a text is left as it is", async () => {
    const world = await open();
    const client = await connect(world);
    world.onSent(({ id }) => world.ended(id, { output: { answer: "y" } }));
    const long = `data:text/plain;base64,${data}`;
    for (const [image, question] of [
      ["data:image/png;base64,AAAA", "?"],
      ["https://example.com/a.jpg", long],
    ])
      await client.callTool({ name: "image_check", arguments: { image, question } });
    expect(world.uploads).toEqual([]);
    expect(world.sent.map(({ input }) => input)).toEqual([
      { image: "data:image/png;base64,AAAA", question: "?" },
      { image: "https://example.com/a.jpg", question: long },
    ]);
  });

  test("that is no base64 is refused, and nothing is sent", async () => {
    const world = await open();
    const image = { type: "image", data: "*".repeat(20_000), mimeType: "image/png" };
    const answer = await (await connect(world)).callTool({
      name: "image_check",
      arguments: { image, question: "?" },
    });
    expect([answer.isError, dataOf(answer)]).toMatchObject([true, { error: { code: "invalid_input" } }]);
    expect(world.sent).toEqual([]);
  });
});

describe("who may", () => {
  test("only read lists and asks, and starts and ends nothing", async () => {
    const world = await open();
    const client = await connect(world, READ);
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual([
      "job_status",
      "job_result",
      "list_kinds",
    ]);
    world.ended("job-1", { output: "b" });
    const result = await client.callTool({ name: "job_result", arguments: { id: "job-1" } });
    expect(dataOf(result)).toMatchObject({ status: "succeeded", output: "b" });
    for (const name of ["image_check", "start_job", "cancel_job", "made_up"]) {
      const answer = await client.callTool({ name, arguments: { id: "job-1", kind: "either", input: "a" } });
      expect([name, answer.isError, dataOf(answer)]).toMatchObject([
        name,
        true,
        { error: { code: "read_only" } },
      ]);
    }
    expect([world.sent, world.canceled]).toEqual([[], []]);
  });

  test("start jobs is in the log with what was called, and not what was in it; who only asks is not", async () => {
    const world = await open();
    const client = await connect(world);
    await client.listTools();
    await client.callTool({ name: "job_status", arguments: { id: "job-1" } });
    expect(world.lines).toEqual([]);
    await client.callTool({ name: "start_job", arguments: { kind: "either", input: "private" } });
    expect(world.lines).toMatchObject([{ stage: "console", who: "token", msg: "calls the tool start_job" }]);
    expect(JSON.stringify(world.lines)).not.toContain("private");
  });

  test("not come in at all gets an answer of HTTP", async () => {
    const world = await open();
    await expect(connect(world, "wrong")).rejects.toMatchObject({ code: 401 });
  });
});

describe("what is not as it should be", () => {
  const post = async ({ web }: World, body: string, headers = {}) =>
    fetch(`${web.url}/mcp`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${TOKEN}`,
        accept: "application/json, text/event-stream",
        "content-type": "application/json",
        ...headers,
      },
      body,
    });

  test.each([
    ["no JSON", "{", {}, 400],
    ["no request", '{"jsonrpc":"2.0"}', {}, 400],
    ["another type", "{}", { "content-type": "text/plain" }, 415],
    ["a client that reads no stream", "{}", { accept: "application/json" }, 406],
    ["a far too long body", `"${"x".repeat(17 * 1024 * 1024)}"`, {}, 413],
    [
      "a protocol of another time",
      '{"jsonrpc":"2.0","id":1,"method":"tools/list"}',
      { "mcp-protocol-version": "1999-01-01" },
      400,
    ],
  ])("is refused: %s", async (_, body, headers, status) => {
    const answer = await post(await open(), body, headers);
    expect(answer.status).toBe(status);
    expect(await answer.json()).toMatchObject({ error: { message: expect.any(String) } });
  });

  test("a method that is unknown is answered as the protocol wants it", async () => {
    const answer = await post(await open(), '{"jsonrpc":"2.0","id":1,"method":"nothing/here"}');
    expect(await answer.text()).toContain("-32601");
  });

  test("no more than so many clients listen, and one that goes away makes room", async () => {
    const world = await open();
    const listen = (signal: AbortSignal) =>
      fetch(`${world.web.url}/mcp`, {
        headers: { authorization: `Bearer ${READ}`, accept: "text/event-stream" },
        signal,
      });
    const clients = Array.from({ length: 32 }, () => new AbortController());
    // An answer that nobody keeps is given up when memory is cleaned, and its connection with it.
    const answers = await Promise.all(clients.map(({ signal }) => listen(signal)));
    expect(answers.map(({ status }) => status)).toEqual(clients.map(() => 200));
    const late = new AbortController();
    const refused = await listen(late.signal);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "60"]);
    expect(answers.every(({ bodyUsed }) => !bodyUsed)).toBe(true);
    for (const client of clients) client.abort();
    await expect.poll(async () => (await listen(late.signal)).status).toBe(200);
    late.abort();
  });

  test("a client that goes away while its job runs loses the answer, and not the job", async () => {
    const world = await open();
    const client = await connect(world);
    const { promise: sent, resolve } = Promise.withResolvers<void>();
    world.onSent(() => resolve());
    const waiting = client.callTool({ name: "either", arguments: { input: "a" } }).catch(() => "gone");
    await sent;
    await client.close();
    expect(await waiting).toBe("gone");
    expect(world.canceled).toEqual([]);
    world.ended("job-1", { output: "b" });
    const again = await connect(world);
    expect(dataOf(await again.callTool({ name: "job_result", arguments: { id: "job-1" } }))).toMatchObject({
      output: "b",
    });
  });
});
