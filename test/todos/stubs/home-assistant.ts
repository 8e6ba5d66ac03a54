// Home Assistant's REST API for its todo actions, after homeassistant/components/todo and components/api: unknown data is a 400, an entity
// that does not exist is no error of add_item, and what a list cannot do is a 500.
import { isBearer, jsonIn, type Reply, type Seen, type Service } from "./stub.ts";

type Item = { uid: string; summary: string; status: "needs_action" | "completed"; description?: string };
type List = { features: number; items: Item[] };

const FIELDS: Record<string, string[]> = {
  get_items: ["entity_id", "status"],
  add_item: ["entity_id", "item", "due_date", "due_datetime", "description"],
  update_item: ["entity_id", "item", "rename", "status", "due_date", "due_datetime", "description"],
};
const [CREATE, UPDATE, DESCRIPTION] = [1, 4, 64];

export function homeAssistant(): Service {
  const token = "eyJhbGciOi.ha";
  const lists = new Map<string, List>([
    ["todo.home", { features: 127, items: [] }],
    ["todo.shopping_list", { features: 15, items: [{ uid: "s1", summary: "Milk", status: "needs_action" }] }],
  ]);
  const home = lists.get("todo.home")!;
  const failed: Reply = { status: 500, body: "500 Internal Server Error\n\nServer got itself in trouble" };
  const bad = (message: string): Reply => ({ status: 400, body: { message } });
  let last = 0;

  const has = (list: List, feature: number) => (list.features & feature) === feature;

  function getItems(data: Record<string, unknown>): Reply {
    const list = lists.get(String(data.entity_id));
    const statuses = data.status as string[] | undefined;
    const items = list?.items.filter(({ status }) => statuses === undefined || statuses.includes(status));
    const service_response = list ? { [String(data.entity_id)]: { items } } : {};
    return { status: 200, body: { changed_states: [], service_response } };
  }

  function add(list: List, summary: string, description?: string, status: Item["status"] = "needs_action") {
    const item: Item = { uid: `u${++last}`, summary, status, ...(description && { description }) };
    list.items.push(item);
    return item.uid;
  }

  function change(name: string, list: List, data: Record<string, unknown>): Reply {
    if (data.description !== undefined && !has(list, DESCRIPTION)) return failed;
    if (!has(list, name === "add_item" ? CREATE : UPDATE)) return failed;
    if (name === "add_item") {
      add(list, String(data.item).trim(), data.description as string);
      return { status: 200, body: [] };
    }
    const item = list.items.find(({ uid, summary }) => [uid, summary].includes(String(data.item)));
    if (!item) return failed;
    if (data.description !== undefined) item.description = String(data.description);
    return { status: 200, body: [] };
  }

  return {
    name: "home-assistant",
    token,
    at: "/todo.home",
    handle(request) {
      const { method, url } = request;
      if (!isBearer(request, token)) return { status: 401, body: "401: Unauthorized" };
      const entity = /^\/api\/states\/(.+)$/.exec(url.pathname)?.[1];
      if (entity !== undefined && method === "GET") {
        const list = lists.get(entity);
        if (!list) return { status: 404, body: { message: "Entity not found." } };
        return {
          status: 200,
          body: { entity_id: entity, attributes: { supported_features: list.features } },
        };
      }
      const name = /^\/api\/services\/todo\/(\w+)$/.exec(url.pathname)?.[1] ?? "";
      if (!FIELDS[name]) return { status: 400, body: "400: Bad Request" };
      if (method !== "POST") return { status: 405, body: "405: Method Not Allowed" };
      const data = jsonIn(request);
      if (!data) return bad("Data should be valid JSON.");
      if (url.searchParams.has("return_response") !== (name === "get_items"))
        return bad(
          "Service call requires responses but caller did not ask for responses, or the other way round.",
        );
      const unknown = Object.keys(data).find((field) => !FIELDS[name]!.includes(field));
      if (unknown !== undefined || typeof data.entity_id !== "string")
        return bad(`extra keys not allowed: ${unknown}`);
      if (name !== "get_items" && (typeof data.item !== "string" || data.item.trim() === ""))
        return bad("length of value must be at least 1");
      if (name === "update_item" && Object.keys(data).length < 3)
        return bad("must contain at least one of rename, …");
      if (name === "get_items") return getItems(data);
      const list = lists.get(data.entity_id);
      return list ? change(name, list, data) : { status: 200, body: [] };
    },
    add: (title, { done, note } = {}) => add(home, title, note, done ? "completed" : "needs_action"),
    finish: (id) => Object.assign(home.items.find(({ uid }) => uid === id)!, { status: "completed" }),
    remove: (id) =>
      home.items.splice(
        home.items.findIndex(({ uid }) => uid === id),
        1,
      ),
    all: () =>
      home.items.map(
        ({ uid, summary, status, description }): Seen => ({
          id: uid,
          title: summary,
          done: status === "completed",
          notes: description ? [description] : [],
        }),
      ),
  };
}
