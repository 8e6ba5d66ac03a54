// What the sample Todo service promises to whoever writes to it, twice if need be.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { todoApp } from "../../examples/todo-service/app.ts";
import { startTodoService } from "../../examples/todo-service/service.ts";
import { TodoStore } from "../../examples/todo-service/store.ts";
import type { Todo } from "../../examples/todo-service/todo.ts";

const START = Date.UTC(2026, 0, 1);
let now = START;
let store: TodoStore;
let app: ReturnType<typeof todoApp>;

beforeEach(() => {
  now = START;
  store = new TodoStore(":memory:", () => now);
  app = todoApp(store);
});

const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  app.request(path, {
    method,
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    headers: { "content-type": "application/json", ...headers },
  });
const read = async <T = Todo>(response: Response | Promise<Response>) => (await (await response).json()) as T;
const add = (body: object, key?: string) =>
  call("POST", "/todos", body, key ? { "idempotency-key": key } : {});
const patch = (id: string, body: object, key?: string) =>
  call("PATCH", `/todos/${id}`, body, key ? { "idempotency-key": key } : {});

describe("todos", () => {
  test("a new one is open, and its note is its first", async () => {
    const response = await add({ title: " buy milk ", category: "shopping", note: "two bottles" });
    expect(response.status).toBe(201);
    expect(response.headers.get("location")).toBe("/todos/1");
    expect(await read(response)).toEqual({
      id: "1",
      title: "buy milk",
      category: "shopping",
      status: "open",
      notes: [{ text: "two bottles", at: "2026-01-01T00:00:00.000Z" }],
      createdAt: "2026-01-01T00:00:00.000Z",
      updatedAt: "2026-01-01T00:00:00.000Z",
    });
  });

  test("a change leaves the rest alone, and a note is added to those there are", async () => {
    await add({ title: "buy milk", category: "shopping", note: "one" });
    now += 1_000;
    const todo = await read(patch("1", { note: "牛乳を買った" }));
    expect(todo).toMatchObject({
      title: "buy milk",
      category: "shopping",
      status: "open",
      createdAt: "2026-01-01T00:00:00.000Z",
    });
    expect(todo.notes.map(({ text }) => text)).toEqual(["one", "牛乳を買った"]);
    expect(todo.updatedAt).toBe("2026-01-01T00:00:01.000Z");
    expect(await read(patch("1", { status: "done", title: "buy oat milk", category: null }))).toEqual({
      ...todo,
      status: "done",
      title: "buy oat milk",
      category: undefined,
    });
    expect(await read(call("GET", "/todos/1"))).toMatchObject({ status: "done", title: "buy oat milk" });
  });

  test("the list is an array, oldest first, and can be only the open ones", async () => {
    for (const title of ["a", "b", "c"]) await add({ title });
    await patch("2", { status: "done" });
    const titles = async (query: string) =>
      (await read<Todo[]>(call("GET", `/todos${query}`))).map(({ title }) => title);
    expect(await titles("")).toEqual(["a", "b", "c"]);
    expect(await titles("?status=open")).toEqual(["a", "c"]);
    expect(await titles("?limit=2")).toEqual(["b", "c"]);
  });

  test("a removed one is gone", async () => {
    await add({ title: "a" });
    expect((await call("DELETE", "/todos/1")).status).toBe(204);
    expect((await call("GET", "/todos/1")).status).toBe(404);
    expect((await call("DELETE", "/todos/1")).status).toBe(404);
  });
});

describe("the same request under the same key", () => {
  test("adds one todo and gets the same answer", async () => {
    const first = await add({ title: "buy milk" }, "k1");
    now += 5_000;
    const second = await add({ title: "buy milk" }, "k1");
    expect(second.status).toBe(201);
    expect(second.headers.get("idempotency-replayed")).toBe("true");
    expect(second.headers.get("location")).toBe("/todos/1");
    expect(await second.text()).toBe(await first.text());
    expect(await read<Todo[]>(call("GET", "/todos"))).toHaveLength(1);
  });

  test("adds one note, and gets the answer of then even after another change", async () => {
    await add({ title: "buy milk" });
    const first = await read(patch("1", { note: "done" }, "k1"));
    await patch("1", { note: "and bread" });
    expect(await read(patch("1", { note: "done" }, "k1"))).toEqual(first);
    expect((await read(call("GET", "/todos/1"))).notes).toHaveLength(2);
  });

  test("twenty at once are one", async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => read(add({ title: "once" }, "k1"))));
    expect(new Set(answers.map(({ id }) => id)).size).toBe(1);
  });

  test("says the same thing however its JSON is written", async () => {
    await call("POST", "/todos", '{"title":"a","category":"b"}', { "idempotency-key": "k1" });
    const again = await call("POST", "/todos", '{ "category": "b", "title": "a" }', {
      "idempotency-key": "k1",
    });
    expect(again.status).toBe(201);
  });

  test("that failed may be tried again", async () => {
    expect((await patch("1", { note: "x" }, "k1")).status).toBe(404);
    await add({ title: "now it is there" });
    expect((await patch("1", { note: "x" }, "k1")).status).toBe(200);
  });

  test.each([
    ["another body", () => add({ title: "b" }, "k1")],
    ["another todo", () => patch("1", { title: "a" }, "k1")],
  ])("%s is refused", async (_, request) => {
    await add({ title: "a" }, "k1");
    const response = await request();
    expect(response.status).toBe(422);
    expect(await read<object>(response)).toEqual({
      error: { message: expect.stringContaining("Idempotency-Key") },
    });
  });

  test("keys are forgotten after a queue would have forgotten the message", async () => {
    await add({ title: "a" }, "old");
    now += 15 * 24 * 3600 * 1000;
    await add({ title: "b" }, "new");
    expect(store.answered("old")).toBeNull();
    expect(store.answered("new")).not.toBeNull();
  });

  test("a key that is too long is refused", async () => {
    expect((await add({ title: "a" }, "k".repeat(256))).status).toBe(400);
  });
});

describe("a bad request is told what is wrong", () => {
  test.each([
    ["no title", "POST", "/todos", {}, 400, "title:"],
    ["an empty title", "POST", "/todos", { title: "  " }, 400, "title:"],
    ["a field there is not", "POST", "/todos", { title: "a", due: "today" }, 400, "due"],
    ["not JSON", "POST", "/todos", "{title", 400, "not JSON"],
    ["an array", "POST", "/todos", [], 400, "(the body)"],
    ["an empty change", "PATCH", "/todos/1", {}, 400, "at least one"],
    ["a status there is not", "PATCH", "/todos/1", { status: "later" }, 400, "status:"],
    ["a todo there is not", "PATCH", "/todos/9", { note: "x" }, 404, '"9"'],
    ["a list of another kind", "GET", "/todos?status=late", undefined, 400, "status:"],
    ["an address there is not", "GET", "/nothing", undefined, 404, "/nothing"],
    ["a body that is too long", "POST", "/todos", { title: "x".repeat(70_000) }, 413, "longer"],
  ])("%s", async (_, method, path, body, status, words) => {
    const response = await call(method, path, body);
    expect(response.status).toBe(status);
    expect((await read<{ error: { message: string } }>(response)).error.message).toContain(words);
  });

  test("a form from a page elsewhere", async () => {
    const response = await call("POST", "/todos", '{"title":"a"}', { "content-type": "text/plain" });
    expect(response.status).toBe(415);
  });
});

test("over HTTP too, a request without a body and one of unknown length are read, and a long one is refused", async () => {
  const service = await startTodoService({ port: 0 });
  onTestFinished(() => service.stop());
  const post = (title: string) => {
    const body = new Blob([JSON.stringify({ title })]).stream();
    const headers = { "content-type": "application/json" };
    return fetch(`${service.url}/todos`, { method: "POST", body, headers, duplex: "half" } as RequestInit);
  };
  expect((await post("牛乳")).status).toBe(201);
  expect((await post("x".repeat(70_000))).status).toBe(413);
  expect((await fetch(`${service.url}/todos/1`, { method: "DELETE" })).status).toBe(204);
});

test("started on a port it answers, keeps its file, and may be stopped twice", async () => {
  const folder = mkdtempSync(join(tmpdir(), "todo-service-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "todos.db");
  const headers = { "content-type": "application/json" };
  const first = await startTodoService({ port: 0, file });
  await fetch(`${first.url}/todos`, { method: "POST", body: '{"title":"kept"}', headers });
  await Promise.all([first.stop(), first.stop()]);
  const second = await startTodoService({ port: 0, file });
  onTestFinished(() => second.stop());
  expect(await read<Todo[]>(fetch(`${second.url}/todos`))).toMatchObject([{ title: "kept" }]);
});
