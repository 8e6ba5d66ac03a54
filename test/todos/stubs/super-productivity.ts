// Super Productivity's local REST API, after its wiki page 3.01-API: an envelope, notes that a PATCH replaces, short syntax in titles.
import { isBearer, jsonIn, type Reply, type Seen, type Service } from "./stub.ts";

type Task = { id: string; title: string; notes: string; isDone: boolean; projectId: string };

const WRITABLE = ["title", "notes", "isDone", "projectId"];

export function superProductivity(): Service {
  const token = "sp-token";
  const tasks: Task[] = [];
  const ok = (data: unknown, status = 200): Reply => ({ status, body: { ok: true, data } });
  const refuse = (status: number, code: string): Reply => ({
    status,
    body: { ok: false, error: { code, message: code } },
  });
  let last = 0;

  function add(fields: Partial<Task>) {
    const task = {
      id: `k${++last}_-x`,
      title: "",
      notes: "",
      isDone: false,
      projectId: "INBOX_PROJECT",
      ...fields,
    };
    tasks.push(task);
    return task;
  }

  function list(query: URLSearchParams): Reply {
    const project = query.get("projectId");
    const isMeant = (task: Task) =>
      (query.get("includeDone") === "true" || !task.isDone) &&
      (project === null || task.projectId === project);
    return ok(tasks.filter(isMeant));
  }

  function create(body: Record<string, unknown>): Reply {
    const { title, projectId, isIgnoreShortSyntax = false } = body;
    if (typeof title !== "string" || title.trim() === "" || typeof isIgnoreShortSyntax !== "boolean")
      return refuse(400, "INVALID_INPUT");
    if (projectId !== undefined && !["INBOX_PROJECT", "p1"].includes(String(projectId)))
      return refuse(404, "PROJECT_NOT_FOUND");
    const kept = Object.fromEntries(Object.entries(body).filter(([name]) => WRITABLE.includes(name)));
    return ok(
      add({ ...kept, title: isIgnoreShortSyntax ? title : title.replaceAll(/[#+@]\S+/g, "").trim() }),
      201,
    );
  }

  return {
    name: "super-productivity",
    token,
    at: "/p1",
    handle(request) {
      const { method, url, headers } = request;
      if (headers.host !== url.host) return refuse(403, "FORBIDDEN");
      if (!isBearer(request, token))
        return { ...refuse(401, "UNAUTHORIZED"), headers: { "www-authenticate": "Bearer" } };
      const body = request.body === "" ? {} : jsonIn(request);
      if (!body) return refuse(400, "INVALID_REQUEST_BODY");
      if (url.pathname === "/tasks" && method === "GET") return list(url.searchParams);
      if (url.pathname === "/tasks" && method === "POST") return create(body);
      const id = /^\/tasks\/([^/]+)$/.exec(url.pathname)?.[1];
      if (id === undefined || !["GET", "PATCH"].includes(method)) return refuse(404, "NOT_FOUND");
      const task = tasks.find((one) => one.id === id);
      if (!task) return refuse(404, "TASK_NOT_FOUND");
      if (method === "GET") return ok(task);
      for (const [name, value] of Object.entries(body))
        if (WRITABLE.includes(name)) Object.assign(task, { [name]: value });
      return ok(task);
    },
    add: (title, { done = false, note = "" } = {}) =>
      add({ title, isDone: done, notes: note, projectId: "p1" }).id,
    finish: (id) => Object.assign(tasks.find((task) => task.id === id)!, { isDone: true }),
    remove: (id) =>
      tasks.splice(
        tasks.findIndex((task) => task.id === id),
        1,
      ),
    all: () =>
      tasks.map(
        ({ id, title, isDone, notes }): Seen => ({ id, title, done: isDone, notes: notes ? [notes] : [] }),
      ),
  };
}
