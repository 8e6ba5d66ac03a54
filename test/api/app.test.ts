// The jobs API as its clients see it: each call goes to a whole worker, through a client that is made from /openapi.json, which checks every
// answer against that description.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DescribedClient } from "./described-client.ts";
import { type Served, serveWorker } from "./served.ts";

let served: Served;
let api: DescribedClient;
beforeAll(async () => {
  served = await serveWorker();
  api = await DescribedClient.of(served.url);
});
afterAll(() => served.stop());

const echo = (text: string, more: object = {}) => ({ kind: "echo", input: { text, ...more } });
const get = async (id: string) => (await api.call("getJob", { params: { id } })).body;
const stateOf = (id: string) => async () => (await get(id)).state;
const raw = (path: string, init: RequestInit = {}) => fetch(new URL(path, served.url), init);
const codeOf = async (response: Response) => {
  const { error } = (await response.json()) as { error: { code: string; message: string; hint: string } };
  expect(error).toEqual({ code: expect.any(String), message: expect.any(String), hint: expect.any(String) });
  return [response.status, error.code];
};

describe("sending", () => {
  test("a job that is sent runs, and everything about it can be read", async () => {
    const { status, body, headers } = await api.call("sendJob", { body: echo("hello") });
    expect([status, body.isNew, headers.get("location")]).toEqual([202, true, `/jobs/${body.id}`]);
    await expect.poll(stateOf(body.id)).toBe("succeeded");
    expect(await get(body.id)).toMatchObject({
      input: { text: "hello" },
      output: { text: "hello" },
      attempts: 1,
    });
  });

  test("PUT is idempotent: the same job again is no new one, and another one under its id is refused", async () => {
    const put = (text: string) => api.call("putJob", { params: { id: "put-1" }, body: echo(text) });
    expect((await put("one")).status).toBe(202);
    expect((await put("one")).body).toEqual({ id: "put-1", kind: "echo", isNew: false });
    expect((await put("other")).body.error.code).toBe("duplicate_id");
    await expect.poll(stateOf("put-1")).toBe("succeeded");
    expect([(await put("one")).status, (await put("other")).status]).toEqual([200, 409]);
    expect((await get("put-1")).attempts).toBe(1);
  });

  test("of two calls at the same time one sends the job", async () => {
    const put = () => api.call("putJob", { params: { id: "put-2" }, body: echo("two") });
    const statuses = (await Promise.all([put(), put(), put()])).map(({ status }) => status);
    expect(statuses.toSorted()).toEqual([200, 200, 202]);
  });

  test("a job goes on in the trace of the request that sends it, and one that is not valid has no effect", async () => {
    const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    const headers = { traceparent: `00-${trace}-00f067aa0ba902b7-01`, tracestate: "vendor=1" };
    const { body: posted } = await api.call("sendJob", { body: echo("traced"), headers });
    const { body: put } = await api.call("putJob", {
      params: { id: "traced" },
      body: echo("traced"),
      headers,
    });
    const broken = { traceparent: "broken" };
    const { body: other } = await api.call("sendJob", { body: echo("not traced"), headers: broken });
    for (const { id } of [posted, put, other]) await expect.poll(stateOf(id)).toBe("succeeded");
    expect((await get(posted.id)).receipt.traceId).toBe(trace);
    expect((await get(put.id)).receipt.traceId).toBe(trace);
    expect((await get(other.id)).receipt).not.toHaveProperty("traceId");
  });

  test("POST with an Idempotency-Key is idempotent too, and a key that contradicts the body is refused", async () => {
    const post = (body: object) => api.call("sendJob", { body, headers: { "idempotency-key": "key-1" } });
    expect([(await post(echo("k"))).status, (await post(echo("k"))).status]).toEqual([202, 200]);
    expect((await post({ id: "other", ...echo("k") })).body.error.code).toBe("invalid_input");
  });

  test.each([
    ["a kind that there is not", { kind: "ecko", input: {} }, 404, "unknown_kind"],
    [
      "an input that its kind does not take",
      { kind: "echo", input: { text: 1, other: 2 } },
      400,
      "invalid_input",
    ],
    ["a field that there is not", { ...echo("x"), priority: 1 }, 400, "invalid_input"],
    ["a destination that is none", { ...echo("x"), deliver: ["here"] }, 400, "invalid_input"],
    [
      "too many destinations",
      { ...echo("x"), deliver: Array(20).fill({ callback: "https://example.org" }) },
      413,
      "budget_exceeded",
    ],
    ["no kind", { input: {} }, 400, "invalid_input"],
    ["a list", [], 400, "invalid_input"],
  ])("refuses %s before it is sent", async (_, body, status, code) => {
    const answered = await api.call("sendJob", { body });
    expect([answered.status, answered.body.error.code]).toEqual([status, code]);
  });

  test.each<[string, RequestInit & { path?: string }, number, string]>([
    [
      "no JSON",
      { method: "POST", body: "{", headers: { "content-type": "application/json" } },
      400,
      "malformed_json",
    ],
    [
      "no text",
      { method: "POST", body: new Uint8Array([0xff, 0xff]), headers: { "content-type": "application/json" } },
      400,
      "malformed_json",
    ],
    [
      "another type",
      { method: "POST", body: "kind=echo", headers: { "content-type": "application/x-www-form-urlencoded" } },
      415,
      "unsupported_media_type",
    ],
    [
      "too much nesting",
      { method: "POST", body: "[".repeat(1_000), headers: { "content-type": "application/json" } },
      400,
      "invalid_input",
    ],
    [
      "too long a body",
      { method: "POST", body: " ".repeat(9_000_000), headers: { "content-type": "application/json" } },
      413,
      "body_too_large",
    ],
    ["a method that it does not have", { method: "PATCH" }, 405, "method_not_allowed"],
    ["an address that there is not", { path: "/job" }, 404, "no_such_address"],
    ["an id that is none", { path: "/jobs/%20x" }, 400, "invalid_input"],
    ["a cursor that is none", { path: "/jobs?cursor=x" }, 400, "invalid_input"],
    ["a question that there is not", { path: "/jobs?sort=id" }, 400, "invalid_input"],
    ["a state that there is not", { path: "/jobs?state=done" }, 400, "invalid_input"],
    ["too many steps", { path: "/stats?since=0" }, 400, "invalid_input"],
  ])("answers %s in the shape of all errors", async (_, { path = "/jobs", ...init }, status, code) => {
    expect(await codeOf(await raw(path, init))).toEqual([status, code]);
  });

  test("says which methods an address has", async () => {
    expect((await raw("/jobs", { method: "PATCH" })).headers.get("allow")).toBe("POST, GET");
  });
});

describe("lists", () => {
  test("are filtered by kind, state and text, and come page by page", async () => {
    const ids = ["page-1", "page-2", "page-3"];
    for (const id of ids) await api.call("putJob", { params: { id }, body: echo(`findable ${id}`) });
    for (const id of ids) await expect.poll(stateOf(id)).toBe("succeeded");
    const query = { kind: "echo", state: "succeeded,failed", text: "FINDABLE page", limit: 2 };
    const first = (await api.call("listJobs", { query })).body;
    const second = (await api.call("listJobs", { query: { ...query, cursor: first.next } })).body;
    const found = [...first.items, ...second.items].map(({ id }) => id);
    expect(found.toSorted()).toEqual(ids);
    expect([first.items.length, second.next]).toEqual([2, null]);
    expect(
      (await api.call("listJobs", { query: { ...query, since: "2100-01-01T00:00:00Z" } })).body.items,
    ).toEqual([]);
  });

  test("kinds come with the schemas that forms are made from", async () => {
    const { items } = (await api.call("listKinds")).body;
    const { input } = items.find(({ kind }: { kind: string }) => kind === "echo");
    expect(input).toMatchObject({ type: "object", required: ["text"] });
  });

  test("figures count jobs, tokens and slots", async () => {
    const { today, queue, dropped, counts } = (await api.call("getStats")).body;
    expect(today.succeeded).toBeGreaterThan(0);
    expect([dropped, queue]).toEqual([
      0,
      { waiting: expect.any(Number), inFlight: expect.any(Number), delayed: 0 },
    ]);
    expect(counts.succeeded.reduce((sum: number, one: number) => sum + one, 0)).toBeGreaterThan(0);
  });
});

describe("one job", () => {
  test("one that is not known is not found", async () => {
    expect((await api.call("getJob", { params: { id: "nobody" } })).body.error.code).toBe("job_not_found");
  });

  test("of one that another worker ran, the result in the bucket is shown", async () => {
    const { bucket } = served.worker.services;
    const receipt = { attempts: 1, model: "m", promptTokens: 3, worker: "other" };
    const result = { id: "elsewhere", kind: "k", status: "succeeded", output: { a: 1 }, receipt };
    await bucket.put("results/elsewhere.json", JSON.stringify(result), { contentType: "application/json" });
    expect(await get("elsewhere")).toMatchObject({ state: "succeeded", output: { a: 1 }, model: "m" });
  });

  test("one that runs is canceled, and one that waits says its place and when it may start", async () => {
    const ids = Array.from({ length: 14 }, (_, at) => `hold-${at}`);
    for (const id of ids) await api.call("putJob", { params: { id }, body: echo(id, { how: "hold" }) });
    await expect.poll(stateOf("hold-0")).toBe("running");
    expect(await get("hold-0")).toMatchObject({ progress: { done: 0.5, what: "half" }, line: null });
    const before = Date.now();
    const { line } = await get("hold-13");
    expect(line.position).toBeGreaterThan(1);
    expect(line.startsAt).toBeGreaterThanOrEqual(before);
    expect((await api.call("cancelJob", { params: { id: "hold-0" } })).body.is).toBe("running");
    const filter = { text: "hold" };
    const { body } = await api.call("bulkJobs", { body: { filter, action: "cancel" } });
    expect([body.matched >= 13, body.failed]).toEqual([true, []]);
    for (const id of ids) await expect.poll(stateOf(id), { timeout: 30_000 }).toBe("canceled");
  });

  test("a failed one is sent again with another model, and each names the other", async () => {
    await api.call("putJob", { params: { id: "again" }, body: echo("x", { how: "fail" }) });
    await expect.poll(stateOf("again")).toBe("failed");
    const { body } = await api.call("replayJob", { params: { id: "again" }, body: { model: "other-model" } });
    await expect.poll(stateOf(body.id)).toBe("failed");
    expect(await get(body.id)).toMatchObject({ replayOf: "again", policy: { model: "other-model" } });
    expect((await get("again")).replays).toEqual([body.id]);
    expect((await api.call("replayJob", { params: { id: "nobody" } })).status).toBe(404);
  });

  test("one whose first attempt failed succeeds, and its waterfall shows both runs", async () => {
    await api.call("putJob", { params: { id: "twice" }, body: echo("twice", { how: "again" }) });
    await expect.poll(stateOf("twice"), { timeout: 30_000 }).toBe("succeeded");
    const { stations, attempts } = await get("twice");
    expect([attempts, stations.filter(({ name }: { name: string }) => name === "run").length]).toEqual([
      2, 2,
    ]);
  });
});

const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);

describe("files", () => {
  test("a picture is uploaded as a body or in a form, and shown again as what its bytes are", async () => {
    const form = new FormData();
    form.set("file", new File([PNG], "door.txt", { type: "text/html" }));
    for (const body of [PNG, form]) {
      const uploaded = (await api.call("uploadFile", { body })).body;
      expect(uploaded).toEqual({
        address: expect.stringMatching(/^s3:\/\/kamado\/in\//),
        contentType: "image/png",
      });
      const { id } = (await api.call("sendJob", { body: echo("p", { file: uploaded.address }) })).body;
      const shown = await raw(`/jobs/${id}/inputs/file`);
      expect(Buffer.from(await shown.arrayBuffer()).equals(PNG)).toBe(true);
      expect([shown.headers.get("content-type"), shown.headers.get("x-content-type-options")]).toEqual([
        "image/png",
        "nosniff",
      ]);
    }
  });

  test("a page that somebody uploaded as a text is never shown as a page", async () => {
    const { address } = (await api.call("uploadFile", { body: "<script>alert(1)</script>" })).body;
    const { id } = (await api.call("sendJob", { body: echo("p", { file: address }) })).body;
    const { headers } = await raw(`/jobs/${id}/inputs/file`);
    expect([headers.get("content-type"), headers.get("content-disposition")]).toEqual([
      "text/plain; charset=utf-8",
      "attachment",
    ]);
    expect(headers.get("content-security-policy")).toContain("default-src 'none'");
  });

  test("only what the job's own input names is shown, and of that only what jobs may read", async () => {
    const { id } = (await api.call("sendJob", { body: echo("s3://kamado/results/put-1.json") })).body;
    const codeAt = async (name: string) => codeOf(await raw(`/jobs/${id}/inputs/${name}`));
    expect(await codeAt("text")).toEqual([403, "object_forbidden"]);
    for (const name of ["other", "__proto__", "text.length", "..%2f..%2fresults"])
      expect(await codeAt(name)).toEqual([404, "object_not_found"]);
  });

  test("what no job can use is refused by its bytes", async () => {
    expect(
      (await api.call("uploadFile", { body: new Uint8Array([0x4d, 0x5a, 0, 1, 2]) })).body.error.code,
    ).toBe("file_type_refused");
    expect((await api.call("uploadFile", { body: new Uint8Array(0) })).body.error.code).toBe("invalid_input");
    const big = new Uint8Array(51_000_000);
    expect((await api.call("uploadFile", { body: big })).body.error.code).toBe("input_too_large");
  });
});

describe("dead letters and destinations", () => {
  const GONE = "http://127.0.0.1:9/hook";

  test("dead letters are listed, shown, sent back and deleted, and stay visible in between", async () => {
    const { cloud, sqs } = served.worker.services;
    const { SendMessageCommand } = await import("@aws-sdk/client-sqs");
    for (const MessageBody of ["no job one", "no job two"])
      await sqs.send(new SendMessageCommand({ QueueUrl: cloud.queueUrl, MessageBody }));
    const list = async () => (await api.call("listDeadLetters", { query: { text: "no job" } })).body.items;
    await expect.poll(async () => (await list()).length, { timeout: 20_000 }).toBe(2);
    const [first] = await list();
    expect(first).toMatchObject({
      queue: "jobs",
      reason: { code: "malformed_json", hint: expect.any(String) },
    });
    const { body } = (await api.call("getDeadLetter", { params: { id: first.messageId } })).body;
    expect(body).toMatch(/^no job/);
    expect((await api.call("getDeadLetter", { params: { id: "none" } })).status).toBe(404);
    expect((await api.call("redriveDeadLetters", { body: {} })).status, "an empty choice is not all").toBe(
      400,
    );
    const redriven = (await api.call("redriveDeadLetters", { body: { ids: [first.messageId] } })).body;
    expect(redriven).toEqual({ matched: 1, done: 1, failed: [] });
    await expect.poll(async () => (await list()).length, { timeout: 20_000 }).toBe(2);
    expect((await api.call("purgeDeadLetters", { body: { text: "no job" } })).body.done).toBe(2);
    expect(await list()).toEqual([]);
  });

  test("a delivery that is refused is seen at its destination, and sent again from there", async () => {
    await api.call("putJob", {
      params: { id: "refused" },
      body: { ...echo("x"), deliver: [{ callback: GONE }] },
    });
    await expect.poll(stateOf("refused")).toBe("succeeded");
    const find = async () =>
      (await api.call("listDestinations")).body.items.find(({ to }: { to: string }) =>
        to.includes("127.0.0.1:9"),
      );
    await expect.poll(find).toMatchObject({ delivered: 0, failed: 1, state: "on" });
    const { key } = await find();
    await expect
      .poll(
        async () => (await api.call("listDeadLetters", { query: { queue: "deliveries" } })).body.items.length,
        { timeout: 20_000 },
      )
      .toBe(1);
    const { body } = await api.call("resendToDestination", { params: { key } });
    expect(body).toMatchObject({ matched: 1, done: 1 });
    expect((await get("refused")).deliveries[0]).toMatchObject({
      outcome: "refused",
      error: "address_refused",
    });
  });
});

describe("events", () => {
  async function* eventsOf(path: string, headers: Record<string, string> = {}) {
    const response = await raw(path, { headers });
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    let text = "";
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const fields = Object.fromEntries(
          text
            .slice(0, end)
            .split("\n")
            .map((line) => line.split(/: (.*)/s)),
        );
        text = text.slice(end + 2);
        if (fields.event) yield { id: fields.id, event: fields.event, data: JSON.parse(fields.data) };
      }
    }
  }

  test("every change of a job comes, with its progress; after a break the rest comes", async () => {
    const seen: string[] = [];
    let last = "";
    await api.call("putJob", { params: { id: "live-0" }, body: echo("other") });
    const events = eventsOf("/events?job=live-1");
    const first = events.next();
    // It ends when its progress was seen: what happens in a moment is told as one change.
    await api.call("putJob", { params: { id: "live-1" }, body: echo("live", { how: "hold" }) });
    for (let one = await first; !one.done; one = await events.next()) {
      const { id, event, data } = one.value;
      expect(data.id).toBe("live-1");
      seen.push(event === "job" ? data.state : event);
      if (last === "") last = id;
      if (event === "progress") await api.call("cancelJob", { params: { id: "live-1" } });
      if (data.state === "canceled") break;
    }
    await events.return(undefined);
    expect(seen).toContain("progress");
    const again = eventsOf("/events?job=live-1", { "last-event-id": last });
    const rest: string[] = [];
    for await (const { event, data } of again) {
      rest.push(event === "job" ? data.state : event);
      if (data.state === "canceled") break;
    }
    expect(rest).toEqual(seen.slice(1));
  });

  test("whoever comes back too late hears that something was missed", async () => {
    const events = eventsOf("/events", { "last-event-id": "another.5" });
    expect((await events.next()).value).toMatchObject({ event: "missed" });
    await events.return(undefined);
  });
});

test("the description has every operation that these tests call, and each was answered with success", () => {
  const succeeded = api.operations.filter((id) => [...api.seen].some((one) => one.startsWith(`${id} 2`)));
  const read = ["streamEvents", "getJobInput", "getDescription"];
  expect([...succeeded, ...read].toSorted()).toEqual(api.operations.toSorted());
  for (const path of Object.values<object>(api.description.paths))
    for (const one of Object.values(path)) expect(one.summary, one.operationId).toMatch(/\w/);
});
