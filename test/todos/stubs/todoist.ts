// Todoist's API v1, after developer.todoist.com/api/v1: cursors, and the sync endpoint, which takes a form, answers 200 with the fate of
// each command, and executes no command twice that has the same UUID.
import { isBearer, type Reply, type Seen, type Service } from "./stub.ts";

type Task = { id: string; content: string; description: string; checked: boolean; project_id: string };
type Command = { type: string; uuid: string; temp_id?: string; args: Record<string, unknown> };

const PROJECTS = ["inbox", "6XGgm6PHrGgMpCFX"];

export function todoist(): Service {
  const token = "0123456789abcdef";
  const tasks: Task[] = [];
  const notes = new Map<string, string[]>();
  const executed = new Set<string>();
  const cursors = new Map<string, { from: number; query: string }>();
  const text = (status: number, error: string): Reply => ({ status, body: { error, http_code: status } });

  function add(content: string, more: Partial<Task> = {}) {
    const id = `6Xq${tasks.length}T`;
    tasks.push({ id, content, description: "", checked: false, project_id: PROJECTS[1]!, ...more });
    notes.set(id, []);
    return id;
  }

  function list(query: URLSearchParams): Reply {
    const limit = Number(query.get("limit") ?? 50);
    if (!(limit > 0 && limit <= 200)) return text(400, "limit must be in (0, 200]");
    const cursor = query.get("cursor");
    query.delete("cursor");
    const known = cursor === null ? { from: 0, query: String(query) } : cursors.get(cursor);
    if (known?.query !== String(query)) return text(400, "Invalid cursor");
    const project = query.get("project_id");
    // Active tasks only.
    const found = tasks.filter((task) => !task.checked && (project === null || task.project_id === project));
    const next = known.from + limit < found.length ? `c${known.from + limit}.x_-` : null;
    if (next) cursors.set(next, { from: known.from + limit, query: String(query) });
    return { status: 200, body: { results: found.slice(known.from, known.from + limit), next_cursor: next } };
  }

  const refusal = (error_tag: string, http_code: number) => ({
    error_tag,
    error_code: 22,
    error: error_tag,
    http_code,
  });

  function execute({ type, args, temp_id }: Command): unknown {
    if (type === "item_add") {
      if (temp_id === undefined || typeof args.content !== "string" || args.content === "")
        return refusal("INVALID_ARGUMENT_VALUE", 400);
      const project_id = String(args.project_id ?? "inbox");
      if (!PROJECTS.includes(project_id)) return refusal("PROJECT_NOT_FOUND", 404);
      add(args.content, { description: String(args.description ?? ""), project_id });
      return "ok";
    }
    if (type !== "note_add") return refusal("INVALID_COMMAND", 400);
    if (typeof args.content !== "string" || args.content === "")
      return refusal("INVALID_ARGUMENT_VALUE", 400);
    const own = tasks.some(({ id }) => id === args.item_id) && notes.get(String(args.item_id));
    if (!own) return refusal("ITEM_NOT_FOUND", 404);
    own.push(args.content);
    return "ok";
  }

  function sync(body: string): Reply {
    const commands = JSON.parse(new URLSearchParams(body).get("commands") ?? "[]") as Command[];
    const status = commands.map((command) => {
      if (executed.has(command.uuid)) return [command.uuid, "ok"];
      const fate = execute(command);
      if (fate === "ok") executed.add(command.uuid);
      return [command.uuid, fate];
    });
    return {
      status: 200,
      body: { full_sync: true, sync_status: Object.fromEntries(status), temp_id_mapping: {} },
    };
  }

  return {
    name: "todoist",
    token,
    at: `/${PROJECTS[1]}`,
    handle(request) {
      const { method, url, headers, body } = request;
      if (!isBearer(request, token)) return text(401, "Unauthorized");
      if (url.pathname === "/api/v1/tasks" && method === "GET") return list(url.searchParams);
      if (url.pathname !== "/api/v1/sync") return text(404, "Not Found");
      if (method !== "POST") return text(405, "Method not allowed");
      if (headers["content-type"] !== "application/x-www-form-urlencoded") return text(400, "Bad request");
      return sync(body);
    },
    add(title, { done = false, note } = {}) {
      const id = add(title, { checked: done });
      if (note !== undefined) notes.get(id)!.push(note);
      return id;
    },
    finish: (id) => Object.assign(tasks.find((task) => task.id === id)!, { checked: true }),
    remove: (id) =>
      tasks.splice(
        tasks.findIndex((task) => task.id === id),
        1,
      ),
    all: () =>
      tasks.map(
        ({ id, content, checked, description }): Seen => ({
          id,
          title: content,
          done: checked,
          notes: [...(description ? [description] : []), ...notes.get(id)!],
        }),
      ),
  };
}
