// The sample Todo service itself, behind a token as a reverse proxy asks for one.
import { todoApp } from "../../../examples/todo-service/app.ts";
import { TodoStore } from "../../../examples/todo-service/store.ts";
import { isBearer, type Service } from "./stub.ts";

export function kamado(): Service {
  const store = new TodoStore(":memory:");
  const app = todoApp(store);
  const token = "t0k3n-kamado";
  return {
    name: "kamado",
    token,
    match: "/todos",
    at: "/todos",
    async handle(request) {
      if (!isBearer(request, token)) return { status: 401, body: { error: { message: "no" } } };
      const { method, headers, body, url } = request;
      const init = { method, headers, ...(method !== "GET" && { body }) };
      const answer = await app.fetch(new Request(url, init));
      return {
        status: answer.status,
        headers: Object.fromEntries(answer.headers),
        body: await answer.text(),
      };
    },
    add(title, { done = false, note } = {}) {
      const { id } = store.add({ title, ...(note !== undefined && { note }) });
      if (done) store.change(id, { status: "done" });
      return id;
    },
    finish: (id) => store.change(id, { status: "done" }),
    remove: (id) => store.remove(id),
    all: () =>
      store.list({ limit: 500 }).map(({ id, title, status, notes }) => ({
        id,
        title,
        done: status === "done",
        notes: notes.map(({ text }) => text),
      })),
  };
}
