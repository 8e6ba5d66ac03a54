// Donetick's external API, which Kamado does not know by name: another header, other field names, a PUT that overwrites the description.
import { jsonIn, type Reply, type Seen, type Service } from "./stub.ts";

/** As docs/todo-services.md shows it. */
export const DONETICK = {
  auth: { header: "secretkey", value: "{token}" },
  todos: { method: "GET", path: "/eapi/v1/chore", id: "id", title: "name", done: { isActive: false } },
  create: {
    find: { method: "GET", path: "/eapi/v1/chore", text: "description" },
    method: "POST",
    path: "/eapi/v1/chore",
    body: { name: "{title}", description: "{note}\n\n{mark}" },
  },
  note: {
    find: { method: "GET", path: "/eapi/v1/chore", id: "id", text: "description" },
    method: "PUT",
    path: "/eapi/v1/chore/{id}",
    body: { description: "{text}\n\n{note}\n\n{mark}" },
  },
};

export function donetick(): Service {
  const chores: { id: number; name: string; description: string; isActive: boolean }[] = [];
  const add = (name: string, description = "", isActive = true) => {
    chores.push({ id: chores.length + 1, name, description, isActive });
    return String(chores.length);
  };
  return {
    name: "donetick",
    token: "s3cret",
    handle(request): Reply {
      const { method, headers, url } = request;
      if (headers.secretkey !== "s3cret") return { status: 401, body: { error: "No secret key provided" } };
      if (method === "GET") return { status: 200, body: chores };
      const body = jsonIn(request);
      if (!body) return { status: 400, body: { error: "Invalid request" } };
      if (method === "POST")
        return { status: 201, body: { id: add(String(body.name), String(body.description)) } };
      const chore = chores.find(({ id }) => url.pathname === `/eapi/v1/chore/${id}`);
      if (method !== "PUT" || !chore) return { status: 404, body: { error: "Chore not found" } };
      chore.description = String(body.description);
      return { status: 200, body: chore };
    },
    add: (title, { done = false, note } = {}) => add(title, note, !done),
    remove: (id) => chores.splice(Number(id) - 1, 1),
    finish: (id) => Object.assign(chores[Number(id) - 1]!, { isActive: false }),
    all: () =>
      chores.map(
        ({ id, name, description, isActive }): Seen => ({
          id: String(id),
          title: name,
          done: !isActive,
          notes: description ? [description] : [],
        }),
      ),
  };
}
