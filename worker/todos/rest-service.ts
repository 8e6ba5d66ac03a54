// A todo service with a REST API, spoken to as its adapter says (outbound/todo-services.ts). Owns pages, envelopes, and that a repeated
// delivery changes nothing again: either the service remembers a key, or what the first delivery left there is looked for before.
import { KamadoError } from "../errors.ts";
import type { TodoChange } from "../job/handler.ts";
import type { Answer } from "../outbound/answer.ts";
import { isUnder } from "../outbound/destinations.ts";
import type { TodoAdapter, TodoCall, TodoChangeCall, TodoFind } from "../outbound/todo-services.ts";
import { check, hostOf, jsonOf, refusePage } from "./answers.ts";
import { type Exchange, MAX_TODOS, type Place, type TodoService } from "./service.ts";
import { at, marksOf, requestAt, shown, type Values } from "./templates.ts";

/** Nobody looks for a mark in a longer list: it would take longer than a try may. */
const MAX_PAGES = 100;

export function openRestService({ adapter, address, list }: Place): TodoService {
  const here: Values = list === undefined ? {} : { list };

  async function call(request: TodoCall, values: Values, exchange: Exchange, more = {}): Promise<Answer> {
    const filled = requestAt(address, request, values, more);
    if (!isUnder(address, filled.url))
      throw new KamadoError("address_refused", "A call of the todo service leaves its address.");
    const answer = await exchange({ method: request.method, ...filled });
    return check(answer, request.path.includes("{id}"));
  }

  /** Every entry of a list, page by page; of a call that gives one todo, that one. */
  async function* entries(from: Pages, values: Values, exchange: Exchange): AsyncGenerator<unknown> {
    let more: Record<string, string> | null = firstPage(from);
    for (let page = 1; more; page++) {
      if (page > MAX_PAGES) throw tooLong(address);
      const answer = await call(from, values, exchange, more);
      const json = jsonOf(answer);
      const found = at(json, from.items, values);
      const all = isOneTodo(from, found) ? [found] : found;
      // A missing list is not an empty one: everything would be new.
      if (!Array.isArray(all)) throw noList(answer, from.items, list);
      yield* all;
      more = nextPage(from, answer, json, page, all.length);
    }
  }

  async function listTodos(exchange: Exchange): Promise<unknown[]> {
    const from = adapter.todos!;
    const todos: unknown[] = [];
    for await (const entry of entries(from, here, exchange)) {
      if (isDone(entry, from.done)) continue;
      if (todos.length === MAX_TODOS) throw tooMany(address);
      const read = (field: string | undefined) => (field === undefined ? undefined : at(entry, field, here));
      todos.push({ id: read(from.id), title: read(from.title), category: read(from.category) });
    }
    return todos;
  }

  /** What the todo's text is now; null when an earlier delivery made the change. */
  async function before(find: TodoFind, values: Values, exchange: Exchange): Promise<string | null> {
    let text: string | undefined;
    for await (const entry of entries(find, values, exchange)) {
      const own = at(entry, find.text, values);
      const isMeant = find.id === undefined || String(at(entry, find.id, values)) === values.id;
      if (!isMeant) continue;
      if (typeof own === "string" && own.includes(values.hash!)) return null;
      text ??= typeof own === "string" ? own : "";
    }
    if (find.id !== undefined && text === undefined) throw gone(address);
    return text ?? "";
  }

  async function apply(change: TodoChange, key: string, exchange: Exchange): Promise<void> {
    const how = "id" in change ? adapter.note! : adapter.create!;
    const values = { ...here, ...valuesOf(change, adapter), ...marksOf(key) };
    if (how.needs) await checkNeeds(how.needs, values, exchange);
    const text = how.find ? await before(how.find, values, exchange) : "";
    if (text === null) return;
    const answer = await call(how, { ...values, text }, exchange);
    refusePage(answer);
    if (how.ok) checkOk(how.ok, answer, values, "id" in change);
  }

  async function checkNeeds(needs: TodoChangeCall["needs"] & object, values: Values, exchange: Exchange) {
    const answer = await call({ method: "GET", path: needs.path }, values, exchange);
    const has = Number(at(jsonOf(answer), needs.field, values));
    if ((has & needs.bits) === needs.bits) return;
    throw new KamadoError("fetch_rejected", `${hostOf(answer)}: ${needs.else}.`, {
      hint: "Choose another list for this job; nothing was changed.",
      detail: { host: hostOf(answer), isOfItem: true },
    });
  }

  return { list: listTodos, apply };
}

type Pages = TodoCall & Pick<TodoFind, "items" | "next">;

function valuesOf(change: TodoChange, { text }: TodoAdapter): Values {
  const note = shown(change.note, text);
  return "id" in change ? { id: change.id, note } : { title: change.title, note };
}

const isOneTodo = (from: Pages, found: unknown): found is object =>
  "text" in from && "id" in from && typeof found === "object" && found !== null && !Array.isArray(found);

const firstPage = ({ next }: Pages): Record<string, string> =>
  next?.page === undefined ? {} : { [next.page]: "1" };

function nextPage({ next }: Pages, answer: Answer, json: unknown, page: number, got: number) {
  if (next?.page !== undefined) {
    const pages = next.pages === undefined ? undefined : answer.headers[next.pages.toLowerCase()];
    const isLast = got === 0 || page >= Number(pages ?? Number.NaN);
    return isLast ? null : { [next.page]: String(page + 1) };
  }
  const cursor = next?.from === undefined ? undefined : at(json, next.from, {});
  if (cursor === undefined || cursor === null || cursor === "") return null;
  return { [next!.query!]: String(cursor) };
}

const isDone = (entry: unknown, done: Record<string, unknown> | undefined) =>
  Object.entries(done ?? {}).some(([field, value]) => at(entry, field, {}) === value);

/** Some services answer 200 and say in the body that they refused. */
function checkOk(ok: TodoChangeCall["ok"] & object, answer: Answer, values: Values, isOfItem: boolean): void {
  const said = at(jsonOf(answer), ok.path, values);
  if (said === ok.is) return;
  const status = Number(ok.status === undefined ? undefined : at(said, ok.status, values));
  const bytes = Buffer.from(JSON.stringify(said) ?? "");
  check({ ...answer, bytes, status: status >= 400 && status < 600 ? status : 422 }, isOfItem);
}

const hostAt = (address: string) => new URL(address).hostname;

const noList = (answer: Answer, items: string, list: string | undefined) =>
  new KamadoError(
    "fetch_rejected",
    `${hostOf(answer)} answered without ${items === "" ? "a list" : items.replace("{list}", list ?? "")}.`,
    {
      hint: "Check that the list exists and the address is the todo service's; the adapter says where in the answer its todos are.",
      detail: { host: hostOf(answer), httpStatus: answer.status },
    },
  );

const tooMany = (address: string) =>
  new KamadoError("input_too_large", `${hostAt(address)}: the list has more than ${MAX_TODOS} open todos.`, {
    hint: "Use a smaller list, or send the todos to choose from with the job.",
  });

const tooLong = (address: string) =>
  new KamadoError("fetch_rejected", `${hostAt(address)}: the list is too long to look through.`, {
    hint: "Use a smaller list; nothing was changed.",
    detail: { host: hostAt(address) },
  });

const gone = (address: string) =>
  new KamadoError("fetch_rejected", `${hostAt(address)}: the todo is no longer in the list.`, {
    hint: "Send the job again with the todos as they are now.",
    detail: { host: hostAt(address), isOfItem: true },
  });
