// Every todo service keeps the same promises, whatever its API: one suite for all adapters, against stubs that refuse what the real ones do.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import todoMatch from "../../handlers/todo-match.ts";
import { runHandler } from "../../testing/testing.ts";
import { createDeliver } from "../../worker/deliver/by-kind.ts";
import type { KamadoError } from "../../worker/errors.ts";
import type { Handler } from "../../worker/job/handler.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { type Destinations, loadDestinations } from "../../worker/outbound/destinations.ts";
import { createOutbound, type Outbound } from "../../worker/outbound/outbound.ts";
import { createHandlerServices } from "../../worker/runner/handler-context.ts";
import { delivery, errorOf } from "../deliver/deliveries.ts";
import { caldav } from "./stubs/caldav.ts";
import { DONETICK, donetick } from "./stubs/donetick.ts";
import { homeAssistant } from "./stubs/home-assistant.ts";
import { kamado } from "./stubs/kamado.ts";
import { type Service, type Stub, startStub } from "./stubs/stub.ts";
import { superProductivity } from "./stubs/super-productivity.ts";
import { todoist } from "./stubs/todoist.ts";
import { vikunja } from "./stubs/vikunja.ts";

const NOTE = "牛乳 & <b>eggs</b>, “2” \\ 3; done?";
const UPDATE = { action: "update", title: "x", probability: 1 };

let stub: Stub;
let outbound: Outbound;
let destinations: Destinations;
let folder: string;

async function start(service: Service, entry: object = {}): Promise<void> {
  stub = await startStub(service);
  folder = mkdtempSync(join(tmpdir(), "kamado-todos-"));
  writeFileSync(join(folder, "token"), `${service.token}\n`);
  const todos = { service: service.name, token: { file: "token" } };
  const match = stub.url + (service.match ?? "/");
  writeFileSync(join(folder, "d.json"), JSON.stringify([{ match, allowPrivate: true, todos, ...entry }]));
  destinations = loadDestinations(join(folder, "d.json"));
  outbound = createOutbound({ destinations });
}

async function stop(): Promise<void> {
  await outbound.close();
  await stub.close();
  rmSync(folder, { recursive: true });
}

const here = () => stub.url + (stub.at ?? "/");
const none = undefined as never;

/** As a handler reads them. */
function listed(address = here()): Promise<unknown> {
  const parts = { registry: new Map(), objects: none, budgets: none, requestsAtOnce: 1, slots: 4 };
  const services = createHandlerServices({ ...parts, client: none, outbound, destinations });
  return services.rest(new AbortController().signal).todos(address);
}

/** A worker of its own each time, so that no circuit or pause is in the way. */
function worker(kind: unknown = todoMatch) {
  const handler = kind as Handler;
  const registry = new Map([[handler.kind, handler]]);
  const parts = { outbound, registry, destinations, log: silentLog, topic: none, queueFor: none };
  const deliver = createDeliver(parts);
  return (output: object, { id = "j1", to = here(), isOurs = async () => true } = {}) => {
    const given = { id, kind: handler.kind, input: { text: NOTE, todos: [] }, result: { output } };
    return deliver({ ...delivery({ rest: to }, given), isOurs });
  };
}
const send = (output: object, more = {}) => worker()(output, more);
const note = (todoId: string, more = {}) => send({ ...UPDATE, todoId }, more);
/** One job makes one change. */
const create = (title: string, more = {}) =>
  send({ action: "create", title, probability: 1 }, { id: "new", ...more });

const shown = (text: string) =>
  stub.name === "vikunja"
    ? text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
    : text;
const seen = async (id: string) => (await stub.all()).find((todo) => todo.id === id)!;

const SERVICES: [string, () => Service][] = [
  ["kamado", kamado],
  ["vikunja", vikunja],
  ["todoist", todoist],
  ["super-productivity", superProductivity],
  ["home-assistant", homeAssistant],
  ["caldav", caldav],
  ["caldav with CDATA", () => caldav({ cdata: true })],
];

describe.each(SERVICES)("%s", (name, make) => {
  beforeEach(() => start(make()));
  afterEach(stop);

  test("a sentence becomes a note of its todo, word for word, and what was there stays", async () => {
    const id = await stub.add("Buy milk", { note: "2 l" });
    await note(id);
    const notes = (await seen(id)).notes.join("\n");
    expect(notes).toContain("2 l");
    expect(notes.replaceAll("&quot;", '"')).toContain(shown(NOTE));
    expect(await stub.all()).toHaveLength(1);
  });

  test("a new todo has its title and the sentence", async () => {
    await create("Fix the gate, #now");
    expect(await stub.all()).toMatchObject([{ title: "Fix the gate, #now", done: false }]);
    expect((await stub.all())[0]!.notes.join("")).toContain(shown(NOTE).slice(0, 9));
    expect(await listed()).toMatchObject([{ title: "Fix the gate, #now" }]);
  });

  test("the same delivery again adds nothing, and another job's does", async () => {
    const id = await stub.add("Buy milk");
    for (const job of ["j1", "j1", "j1"]) await note(id, { id: job });
    for (const job of ["j2", "j2"]) await create("Buy bread", { id: job });
    const text = (await seen(id)).notes.join("\n");
    expect(text.split("牛乳")).toHaveLength(2);
    expect(await stub.all()).toHaveLength(2);
    await note(id, { id: "j3" });
    await create("Buy bread", { id: "j4" });
    expect((await seen(id)).notes.join("\n").split("牛乳")).toHaveLength(3);
    expect(await stub.all()).toHaveLength(3);
  });

  test("sentences for one todo at the same moment are all noted", async () => {
    const id = await stub.add("Buy milk");
    const other = await stub.add("Buy eggs");
    const sending = worker();
    const jobs = ["a", "b", "c", "d", "e", "f"];
    await Promise.all(
      jobs.map((job) => sending({ ...UPDATE, todoId: job === "c" ? other : id }, { id: job })),
    );
    expect((await seen(id)).notes.join("\n").split("牛乳")).toHaveLength(jobs.length);
    expect((await seen(other)).notes).toHaveLength(1);
  });

  test("a worker that lost the job in between writes nothing", async () => {
    const id = await stub.add("Buy milk");
    let asked = 0;
    const isOurs = async () => asked++ === 0;
    const sent = await note(id, { isOurs }).then(
      () => "sent",
      (error) => error.code,
    );
    // Where one call is the whole change, it was asked directly before it.
    const isOneCall = ["kamado", "todoist"].includes(name);
    expect(sent).toBe(isOneCall ? "sent" : "lease_lost");
    expect((await seen(id)).notes).toHaveLength(isOneCall ? 1 : 0);
  });

  test("an answer that is lost after the change does not make it twice", async () => {
    const id = await stub.add("Buy milk");
    stub.loseAnswer();
    expect(await errorOf(note(id))).toMatchObject({ code: "delivery_failed", retry: true });
    await note(id);
    stub.loseAnswer();
    expect((await errorOf(create("Buy bread"))).code).toBe("delivery_failed");
    await create("Buy bread");
    expect((await seen(id)).notes.join("\n").split("牛乳")).toHaveLength(2);
    expect(await stub.all()).toHaveLength(2);
  });

  test("a new todo that was ticked off in between is not made again", async () => {
    stub.loseAnswer();
    await errorOf(create("Buy bread"));
    stub.finish((await stub.all())[0]!.id);
    await create("Buy bread");
    expect(await stub.all()).toMatchObject([{ title: "Buy bread", done: true }]);
    expect(await listed(name === "kamado" ? `${here()}?status=open` : here())).toEqual([]);
  });

  test("its open todos are what a sentence is matched with, page by page, without those that are done", async () => {
    const titles = Array.from({ length: 230 }, (_, index) => `Todo ${index}`);
    for (const title of titles) await stub.add(title);
    await stub.add("Done already", { done: true });
    const address = name === "kamado" ? `${here()}?status=open` : here();
    const todos = (await listed(address)) as { id: unknown; title: string }[];
    expect(todos.map(({ title }) => title)).toEqual(titles);
    const [first] = todos;
    await note(String(first!.id));
    expect((await stub.all()).filter(({ notes }) => notes.length > 0)).toMatchObject([{ title: "Todo 0" }]);
  });

  test("an empty list is an empty list", async () => {
    expect(await listed()).toEqual([]);
  });

  test("more todos than a model can choose from are refused, and never cut off silently", async () => {
    for (let count = 0; count < 501; count++) await stub.add(`Todo ${count}`);
    const read = listed();
    // The sample service lists the newest 500 and says nothing of others; its page says so.
    if (name === "kamado") return void expect(await read).toHaveLength(500);
    expect(await errorOf(read)).toMatchObject({
      code: "input_too_large",
      message: expect.stringContaining("500"),
    });
  });

  test("a refused token is an error that says what to correct, and is no longer tried", async () => {
    const id = await stub.add("Buy milk");
    writeFileSync(join(folder, "token"), "wrong");
    const errors = [await errorOf(note(id)), await errorOf(create("x"))];
    for (const error of errors) {
      expect(error).toMatchObject({ code: "delivery_rejected", retry: false, detail: { httpStatus: 401 } });
      expect(error.hint).toMatch(/destinations file.*kamado dead redrive/);
    }
    expect(await errorOf(listed())).toMatchObject({
      code: "fetch_rejected",
      hint: expect.stringContaining("token"),
    });
    // A token that is put right is used without a restart.
    writeFileSync(join(folder, "token"), stub.token);
    await note(id);
    expect((await seen(id)).notes).toHaveLength(1);
  });

  test("a todo that is gone is refused for this job alone, and nothing is made in its place", async () => {
    const id = await stub.add("Buy milk");
    await stub.add("Buy eggs");
    stub.remove(id);
    expect(await errorOf(note(id))).toMatchObject({
      code: "delivery_rejected",
      retry: false,
      detail: { isOfItem: true },
      hint: expect.stringMatching(/again|expects/),
    });
    expect((await stub.all()).flatMap(({ notes }) => notes)).toEqual([]);
    expect(await stub.all()).toHaveLength(1);
  });

  test("a service that is down gets the change when it is up again, once", async () => {
    const id = await stub.add("Buy milk");
    stub.answer({ status: 503, headers: { "retry-after": "7" } }, 3);
    for (const change of [() => note(id), () => create("Buy bread"), () => note(id)])
      expect(await errorOf(change())).toMatchObject({
        code: "delivery_failed",
        detail: { httpStatus: 503, retryAfterMs: 7_000 },
      });
    stub.answer({ status: 429 });
    expect(await errorOf(create("Buy bread"))).toMatchObject({
      code: "delivery_failed",
      detail: { httpStatus: 429, retryAfterMs: 5_000 },
    });
    stub.answer({ status: 429, headers: { "retry-after": "30" } });
    expect(await errorOf(listed())).toMatchObject({ code: "fetch_failed", detail: { retryAfterMs: 30_000 } });
    stub.answer({ status: 502, body: "<html>" });
    expect(await errorOf(listed())).toMatchObject({ code: "fetch_failed", retry: true });
    await note(id);
    await create("Buy bread");
    expect((await seen(id)).notes).toHaveLength(1);
    expect(await stub.all()).toHaveLength(2);
    await stub.close();
    expect(await errorOf(note(id, { id: "j2" }))).toMatchObject({ code: "delivery_failed", retry: true });
  });

  test.each(["..", ".", "../../x", "a/../../b", "%2e%2e", "?x", "#"])(
    "a todo named %s leads nowhere else",
    async (id) => {
      const paths = () => stub.received.map(({ path }) => new URL(path, stub.url).pathname);
      expect(["delivery_rejected", "address_refused"]).toContain((await errorOf(note(id))).code);
      for (const path of paths())
        expect(path).toMatch(/^\/(todos|api|tasks|dav\/calendars\/kim\/todos)(\/|$)/);
      expect(await stub.all()).toEqual([]);
    },
  );

  test("something else at the address is an error, and never an empty list", async () => {
    for (const body of ["<html>hello</html>", { hello: 1 }, { results: null, data: null }, "null"]) {
      stub.answer({ status: 200, headers: { "content-type": "application/json" }, body }, 2);
      const read = runHandler(
        todoMatch,
        { text: "x", todosUrl: here() },
        { rest: () => listed(), ask: () => "x" },
      );
      expect(["fetch_rejected", "invalid_input"]).toContain(((await errorOf(read)) as KamadoError).code);
    }
  });

  test("a page of something else in place of the answer to a change is no success, and the change is made later, once", async () => {
    const id = await stub.add("Buy milk");
    const page = { status: 200, headers: { "content-type": "text/html" }, body: "<html>Sign in</html>" };
    for (const change of [() => note(id), () => create("Buy bread")]) {
      stub.answer(page, 9);
      expect((await errorOf(change())).code).toMatch(/^delivery_/);
      stub.answer(page, 0);
      await change();
      await change();
    }
    expect((await seen(id)).notes.join("").split("牛乳")).toHaveLength(2);
    expect(await stub.all()).toHaveLength(2);
  });

  test("what somebody wrote stays, however long, in whatever script, with the mark of another delivery, under a title that is there twice", async () => {
    const text = `${"שלום 👩‍👩‍👧‍👦 <p>é</p>\r\n".repeat(4_000)}[kamado:0123456789abcdef]`;
    const ids = [];
    for (let count = 0; count < 3; count++) ids.push(await stub.add("‮👨‍🌾 Buy milk", { note: text }));
    await note(ids[1]!);
    await note(ids[1]!);
    const all = await stub.all();
    const letters = (value: string) => value.replaceAll(/\s/g, "");
    expect(all.map(({ title }) => title)).toEqual(Array(3).fill("‮👨‍🌾 Buy milk"));
    expect(all.map(({ notes }) => notes.join("").split("牛乳").length)).toEqual([1, 2, 1]);
    expect(letters(all[1]!.notes.join(""))).toContain(letters(text));
    expect(((await listed()) as { id: unknown }[]).map((todo) => String(todo.id))).toEqual(ids);
  });

  test("its token is in no error, and is sent to nobody else", async () => {
    const secret = stub.token.replace(/^kim:/, "");
    const sent = name.startsWith("caldav") ? btoa(stub.token) : stub.token;
    // Some services show what they refuse.
    stub.answer({ status: 400, body: `bad token ${secret}, ${sent}` });
    const error = await errorOf(create("x"));
    expect(JSON.stringify([error.message, error.hint, error.detail])).not.toContain(secret);
    expect(error.detail?.receiverSaid).toBe("bad token [secret], [secret]");
    expect(JSON.stringify(destinations)).not.toContain(secret);
    expect(stub.received.every(({ headers }) => headers.authorization !== undefined)).toBe(true);
  });
});

const refusal = async (promise: Promise<unknown>) => {
  const { code, message, hint } = await errorOf(promise);
  return `${code}: ${message} ${hint}`;
};

describe("the address of a job", () => {
  afterEach(stop);
  const at = (list: string) => `${stub.url}/${list}`;

  test("names the list, or the destinations file does", async () => {
    await start(vikunja(), { todos: { service: "vikunja", list: "3", token: "tk_vikunja" } });
    await create("One", { to: stub.url, id: "a" });
    await create("Two", { to: at(""), id: "b" });
    await create("Three", { to: at("3/"), id: "c" });
    expect(await listed(at("3"))).toMatchObject([{ title: "One" }, { title: "Two" }, { title: "Three" }]);
  });

  test("reaches no other list than the one that the destinations file names", async () => {
    await start(vikunja(), { todos: { service: "vikunja", list: "3", token: "tk_vikunja" } });
    for (const to of [at("4"), at("3/tasks"), at("%"), at("3?filter=x")]) {
      expect(await refusal(create("x", { to }))).toMatch(
        /^delivery_rejected: .*(list|query).*destinations file/,
      );
      expect(await refusal(listed(to))).toMatch(/^fetch_rejected: /);
    }
    expect(stub.received).toEqual([]);
  });

  test.each(["3 || done = true", "3%20%26%26%20done%20%3D%20true", "x", "-1"])(
    "is a list's name and nothing else: %s",
    async (list) => {
      await start(vikunja());
      expect(await refusal(listed(at(list)))).toMatch(
        /^fetch_rejected: .*no.* A list of this service looks like/s,
      );
      expect(stub.received).toEqual([]);
    },
  );

  test("without a list is refused where a service has no list of its own, and is the inbox where it has one", async () => {
    await start(homeAssistant());
    expect(await refusal(create("x", { to: stub.url }))).toMatch(
      /delivery_rejected: .*names no list.*"list"/,
    );
    await stop();
    await start(todoist());
    await create("x", { to: stub.url });
    await stub.add("In a project");
    expect(await listed(stub.url)).toMatchObject([{ title: "x" }, { title: "In a project" }]);
    expect(await listed()).toMatchObject([{ title: "In a project" }]);
  });

  test("of a list that is not there is refused, although some services would say that all is well", async () => {
    await start(homeAssistant());
    expect(await refusal(create("x", { to: at("todo.gone") }))).toMatch(/^delivery_rejected: .*404/);
    expect(await refusal(listed(at("todo.gone")))).toMatch(/^fetch_failed: .*500/);
    await stop();
    await start(todoist());
    expect(await refusal(create("x", { to: at("nowhere") }))).toMatch(/^delivery_rejected: .*404/);
    await stop();
    await start(superProductivity());
    expect(await refusal(create("x", { to: at("nowhere") }))).toMatch(/^delivery_rejected: .*404/);
  });

  test("of a calendar for events, or of something else than a calendar, is refused", async () => {
    await start(caldav());
    for (const path of ["events/", ""]) {
      const to = `${stub.url}/dav/calendars/kim/${path}`;
      expect(await refusal(listed(to))).toMatch(/^fetch_rejected: .*no calendar with todos.*Nextcloud/);
      expect(await refusal(create("x", { to }))).toMatch(/^delivery_rejected: .*no calendar with todos/);
    }
    expect(stub.received.some(({ method }) => method === "PUT")).toBe(false);
  });
});

describe("what a service cannot hold", () => {
  afterEach(stop);

  test("is refused with what to do, and is not left out", async () => {
    await start(homeAssistant());
    const to = `${stub.url}/todo.shopping_list`;
    expect(await listed(to)).toMatchObject([{ id: "s1", title: "Milk" }]);
    expect(await refusal(note("s1", { to }))).toMatch(
      /^delivery_rejected: .*no description.*Choose another list/,
    );
    expect(await refusal(create("Bread", { to }))).toMatch(
      /^delivery_rejected: .*description.*Choose another list/,
    );
    expect(stub.received.some(({ path }) => /(add|update)_item/.test(path))).toBe(false);
    expect(await listed(to)).toHaveLength(1);
  });

  test("is named where a kind has nothing that a todo list could be told", async () => {
    await start(todoist());
    const { todo: _, ...mute } = todoMatch;
    expect(await refusal(worker(mute)(UPDATE))).toMatch(/^no_request: todo\.match .*todo service/);
  });

  test("nothing is sent where there is nothing to do", async () => {
    await start(todoist());
    expect(await send({ action: "uncertain", title: "?", probability: 0.4 })).toBe("nothing to send");
    expect(stub.received).toEqual([]);
  });
});

describe("a change that somebody makes at the same moment", () => {
  afterEach(stop);

  test("is not overwritten in a calendar: the note is added to what is there then", async () => {
    const service = caldav();
    let isEdited = false;
    const edited: Service = {
      ...service,
      async handle(request) {
        const reply = await service.handle(request);
        if (request.method !== "GET" || isEdited) return reply;
        isEdited = true;
        const body = String(reply.body).replace("SUMMARY;LANGUAGE=en:Buy milk", "SUMMARY:Buy oat milk");
        const headers = { ...request.headers, "content-type": "text/calendar" };
        await service.handle({ ...request, method: "PUT", headers, body });
        return reply;
      },
    };
    await start(edited);
    const id = await stub.add("Buy milk");
    await note(id);
    expect(await seen(id)).toMatchObject({ title: "Buy oat milk", notes: [expect.stringContaining("牛乳")] });
    expect(stub.received.map(({ method }) => method)).toEqual(["GET", "PUT", "GET", "PUT"]);
  });

  test("is waited for when it does not end", async () => {
    await start(caldav());
    const id = await stub.add("Buy milk");
    const put = stub.handle;
    expect(put).toBeDefined();
    stub.close();
    await start({
      ...caldav(),
      handle: async (request) => (request.method === "PUT" ? { status: 412 } : put(request)),
    });
    expect(await errorOf(note(id))).toMatchObject({
      code: "delivery_failed",
      retry: true,
      detail: { isOfItem: true },
    });
  });
});

describe("a seventh service, which the owner describes in the destinations file", () => {
  afterEach(stop);

  test("is read, written and not written twice, as its description says", async () => {
    await start(donetick(), { todos: { adapter: DONETICK, token: "s3cret" } });
    await stub.add("Water the plants", { note: "balcony too" });
    await stub.add("Done", { done: true });
    expect(await listed(stub.url)).toMatchObject([{ id: 1, title: "Water the plants" }]);
    for (const _ of [1, 2]) await note("1", { to: stub.url });
    for (const _ of [1, 2]) await create("Feed the cat", { to: stub.url });
    expect(await stub.all()).toMatchObject([
      { notes: [expect.stringMatching(/^balcony too\n\n牛乳 .*\n\n\[kamado:[0-9a-f]{16}\]$/)] },
      { title: "Done" },
      { title: "Feed the cat", notes: [expect.stringMatching(/^牛乳/)] },
    ]);
    expect(stub.received.every(({ headers }) => headers.secretkey === "s3cret")).toBe(true);
  });

  test.each<[string, object, (page: number) => object]>([
    ["until one is empty", { page: "p" }, () => ({})],
    ["as many as a header says", { page: "p", pages: "X-Pages" }, () => ({ "x-pages": "3" })],
    [
      "although the header says nothing of use",
      { page: "p", pages: "x-pages" },
      () => ({ "x-pages": "many" }),
    ],
  ])("is read page by page, %s", async (_, next, headers) => {
    const service = donetick();
    const handle = (request: Parameters<Service["handle"]>[0]) => {
      const page = Number(request.url.searchParams.get("p"));
      const all = (service.handle(request) as { body: unknown[] }).body;
      return {
        status: 200,
        headers: headers(page) as Record<string, string>,
        body: all.slice(page * 2 - 2, page * 2),
      };
    };
    const adapter = { ...DONETICK, todos: { ...DONETICK.todos, next } };
    await start({ ...service, handle }, { todos: { adapter, token: "s3cret" } });
    for (let count = 0; count < 6; count++) stub.add(`Todo ${count}`);
    expect(await listed(stub.url)).toHaveLength(6);
    expect(stub.received.length).toBe("pages" in next && next.pages === "X-Pages" ? 3 : 4);
  });

  test("whose pages never end is an error, not a worker that never ends", async () => {
    const adapter = {
      ...DONETICK,
      todos: { ...DONETICK.todos, done: { id: 1 }, next: { query: "c", from: "next" }, items: "all" },
    };
    const handle = () => ({ status: 200, body: { all: [{ id: 1 }], next: "again" } });
    await start({ ...donetick(), handle }, { todos: { adapter, token: "s3cret" } });
    expect(await refusal(listed(stub.url))).toMatch(/^fetch_rejected: .*too long to look through/);
    expect(stub.received).toHaveLength(100);
  });
});
