// Vikunja's API v1, after its swagger file: GET /tasks with filter, search and pages, PUT creates, comments are HTML.
import { isBearer, jsonIn, type Reply, type Seen, type Service } from "./stub.ts";

type Task = { id: number; title: string; description: string; done: boolean; project_id: number };

/** `service.maxitemsperpage`, which an installation may make smaller than the 50 of the documentation. */
const MAX_PER_PAGE = 20;

export function vikunja(): Service {
  const token = "tk_vikunja";
  const tasks: Task[] = [];
  const comments = new Map<number, string[]>();
  const error = (status: number, code: number, message: string): Reply => ({
    status,
    body: { code, message },
  });
  const noTask = error(404, 4002, "This task does not exist.");
  let last = 0;

  function add(title: string, description = "", done = false, project_id = 3) {
    const task = { id: ++last, title, description, done, project_id };
    tasks.push(task);
    comments.set(task.id, []);
    return task;
  }

  function page(all: readonly unknown[], query: URLSearchParams): Reply {
    const size = Math.min(Number(query.get("per_page") ?? MAX_PER_PAGE), MAX_PER_PAGE);
    const at = Number(query.get("page") ?? 1) - 1;
    const pages = String(Math.ceil(all.length / size));
    const headers = { "x-pagination-total-pages": pages, "x-pagination-result-count": "0" };
    return { status: 200, headers, body: all.slice(at * size, (at + 1) * size) };
  }

  function list(query: URLSearchParams): Reply {
    let found = tasks;
    for (const part of (query.get("filter") ?? "").split("&&").filter((one) => one.trim() !== "")) {
      const [, field, value] = /^\s*(done|project_id|project) = (\w+)\s*$/.exec(part) ?? [];
      if (!field) return error(400, 4024, `Invalid task filter ${part}`);
      found = found.filter((task) => String(field === "done" ? task.done : task.project_id) === value);
    }
    const text = query.get("s")?.toLowerCase() ?? "";
    const has = (task: Task) => `${task.title} ${task.description}`.toLowerCase().includes(text);
    return page(found.filter(has), query);
  }

  return {
    name: "vikunja",
    token,
    at: "/3",
    handle(request) {
      const { method, url } = request;
      if (!isBearer(request, token))
        return error(401, 11, "missing, malformed, expired or otherwise invalid token provided");
      const path = url.pathname.replace("/api/v1", "");
      if (path === "/tasks")
        return method === "GET" ? list(url.searchParams) : error(405, 0, "Method Not Allowed");
      const project = /^\/projects\/(\d+)\/tasks$/.exec(path)?.[1];
      const task = tasks.find(({ id }) => String(id) === /^\/tasks\/(\d+)\/comments$/.exec(path)?.[1]);
      const isComments = /^\/tasks\/\d+\/comments$/.test(path);
      if (!project && !isComments) return error(404, 0, "Not Found");
      if (isComments && !task) return noTask;
      if (task && method === "GET")
        return page(
          comments.get(task.id)!.map((comment, id) => ({ id, comment })),
          url.searchParams,
        );
      if (method !== "PUT") return error(405, 0, "Method Not Allowed");
      const body = jsonIn(request);
      if (!body) return error(415, 0, "Unsupported Media Type");
      if (task) {
        if (typeof body.comment !== "string" || body.comment === "") return error(412, 2002, "Invalid data");
        comments.get(task.id)!.push(body.comment);
        return { status: 201, body: { id: 1, comment: body.comment } };
      }
      if (project !== "3") return error(404, 3001, "This project does not exist.");
      if (typeof body.title !== "string" || body.title === "")
        return error(400, 4001, "Task title cannot be empty.");
      return { status: 201, body: add(body.title, String(body.description ?? "")) };
    },
    add(title, { done, note } = {}) {
      const { id } = add(title, "", done);
      if (note !== undefined) comments.get(id)!.push(note);
      return String(id);
    },
    finish: (id) => Object.assign(tasks.find((task) => String(task.id) === id)!, { done: true }),
    remove: (id) =>
      tasks.splice(
        tasks.findIndex((task) => String(task.id) === id),
        1,
      ),
    all: () =>
      tasks.map(
        ({ id, title, done, description }): Seen => ({
          id: String(id),
          title,
          done,
          notes: [...(description ? [description] : []), ...comments.get(id)!],
        }),
      ),
  };
}
