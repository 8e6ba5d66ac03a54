// Todos in a CalDAV calendar (RFC 4791), by tsdav over our own client. A todo is named by the last part of its object's address. A new one
// gets a name made of the delivery and is only written where there is none (If-None-Match); a note is added to the object as it was read
// (If-Match), so that nobody's change is overwritten.
import {
  createCalendarObject,
  type DAVResponse,
  davRequest,
  getDAVAttribute,
  propfind,
  updateCalendarObject,
} from "tsdav";
import { KamadoError } from "../errors.ts";
import type { TodoChange } from "../job/handler.ts";
import type { Answer } from "../outbound/answer.ts";
import { isUnder } from "../outbound/destinations.ts";
import type { Send } from "../outbound/outbound.ts";
import { check } from "./answers.ts";
import { type Exchange, MAX_TODOS, type Place, type TodoService } from "./service.ts";
import { marksOf, segment } from "./templates.ts";
import { newVTodo, readVTodo, withDescription } from "./vtodo.ts";

/** Somebody may change a todo while a note is added. */
const MAX_TRIES = 3;

/** RFC 4791, 7.8.9, but for todos without a STATUS, which a filter for one would leave out. */
const OPEN_TODOS = {
  "calendar-query": {
    _attributes: getDAVAttribute(["urn:ietf:params:xml:ns:caldav", "DAV:"] as never),
    "d:prop": { "d:getetag": {}, "c:calendar-data": {} },
    filter: {
      "comp-filter": {
        _attributes: { name: "VCALENDAR" },
        "comp-filter": {
          _attributes: { name: "VTODO" },
          "prop-filter": { _attributes: { name: "COMPLETED" }, "is-not-defined": {} },
        },
      },
    },
  },
};

const NO_CALENDAR =
  "Give the address of the calendar itself; the calendar's settings in Nextcloud and others show it.";
const AS_NOW = "Send the job again with the todos as they are now.";
const NO_ETAG = "Keep these todos in a calendar of another server.";

export function openCaldav({ address }: Place): TodoService {
  const home = new URL(address);
  home.search = "";
  home.pathname = home.pathname.replace(/(?<!\/)\/*$/, "/");
  const url = home.href;
  const host = home.hostname;
  const calendar = { url };
  const refused = (why: string, hint: string, isOfItem = false) =>
    new KamadoError("fetch_rejected", `${host}: ${why}.`, {
      hint,
      detail: { host, ...(isOfItem && { isOfItem: true as const }) },
    });

  async function list(exchange: Exchange): Promise<unknown[]> {
    const over = through(exchange);
    // Not tsdav's calendarQuery: it fails as a whole when one todo is removed while the server writes its answer.
    const init = { method: "REPORT", headers: { depth: "1" }, namespace: "c", body: OPEN_TODOS } as const;
    const found = await davRequest({ url, init, fetch: over.fetch });
    checkXml(over.check());
    const todos = found.flatMap((one) => {
      const todo = readVTodo(dataOf(one));
      const id = idIn(one.href ?? "");
      return todo && !todo.isDone && id !== "" ? [{ id, title: todo.title, category: todo.category }] : [];
    });
    if (todos.length > MAX_TODOS)
      throw new KamadoError(
        "input_too_large",
        `${host}: the calendar has more than ${MAX_TODOS} open todos.`,
        {
          hint: "Use a smaller calendar, or send the todos to choose from with the job.",
        },
      );
    // Another address than a calendar's may answer with nothing as well, and everything would be new.
    if (todos.length === 0) await checkCalendar(exchange);
    return todos;
  }

  async function checkCalendar(exchange: Exchange): Promise<void> {
    const over = through(exchange);
    const props = { "d:resourcetype": {}, "c:supported-calendar-component-set": {} };
    const [found] = await propfind({ url, props, depth: "0", fetch: over.fetch });
    checkXml(over.check());
    const kinds = JSON.stringify(found?.props?.supportedCalendarComponentSet ?? "VTODO");
    if (found?.props?.resourcetype?.calendar !== undefined && kinds.includes("VTODO")) return;
    throw refused("there is no calendar with todos at this address", NO_CALENDAR);
  }

  async function create(title: string, note: string, key: string, exchange: Exchange): Promise<void> {
    const { hash, mark } = marksOf(key);
    // Radicale stores an object in any collection, where no app shows it.
    await checkCalendar(exchange);
    const over = through(exchange);
    await createCalendarObject({
      calendar,
      filename: `kamado-${hash}.ics`,
      iCalString: newVTodo(`kamado-${hash}`, title, `${note}\n\n${mark}`, new Date()),
      fetch: over.fetch,
    });
    // An earlier try has written it.
    if (over.answer().status === 412) return;
    over.check();
  }

  async function addNote(id: string, note: string, key: string, exchange: Exchange): Promise<void> {
    const { hash, mark } = marksOf(key);
    const object = new URL(segment(id), url);
    if (!isUnder(url, object))
      throw new KamadoError("address_refused", "A todo's id leads out of its calendar.");
    for (let tries = 1; ; tries++) {
      const { data, etag } = await read(object, exchange);
      const todo = readVTodo(data)!;
      if (todo.description.includes(hash)) return;
      const text = [todo.description.trimEnd(), note, mark].filter((part) => part !== "").join("\n\n");
      const over = through(exchange);
      await updateCalendarObject({
        calendarObject: { url: object.href, data: withDescription(data, text, new Date()), etag },
        fetch: over.fetch,
      });
      if (over.answer().status !== 412) return void over.check(true);
      if (tries === MAX_TRIES)
        throw new KamadoError("fetch_failed", `${host}: the todo changes while a note is added.`, {
          detail: { host, isOfItem: true },
        });
    }
  }

  async function read(object: URL, exchange: Exchange): Promise<{ data: string; etag: string }> {
    const answer = check(await exchange({ method: "GET", url: object.href }), true);
    const data = new TextDecoder().decode(answer.bytes);
    if (readVTodo(data) === null) throw refused("what is there under the todo's id is no todo", AS_NOW, true);
    const { etag } = answer.headers;
    if (etag === undefined)
      throw refused(
        "the server gives no ETag, without which somebody's change could be overwritten",
        NO_ETAG,
        true,
      );
    return { data, etag };
  }

  /** tsdav takes an answer that it cannot read for an empty one. */
  function checkXml({ status, headers }: Answer): void {
    if (status === 207 && /xml/i.test(headers["content-type"] ?? "")) return;
    throw refused(`it answered ${status} where a calendar answers with its todos`, NO_CALENDAR);
  }

  return {
    list,
    apply: (change: TodoChange, key, exchange) =>
      "id" in change
        ? addNote(change.id, change.note, key, exchange)
        : create(change.title, change.note, key, exchange),
  };
}

/** tsdav reads text in a CDATA section and text without one into different places. */
function dataOf({ props }: DAVResponse): string {
  const data: unknown = props?.calendarData;
  const text = typeof data === "object" && data !== null ? (data as { _cdata?: unknown })._cdata : data;
  return typeof text === "string" ? text : "";
}

function idIn(href: string): string {
  try {
    return decodeURIComponent(href.replace(/\/$/, "").split("/").at(-1) ?? "");
  } catch {
    return "";
  }
}

/** `fetch` for tsdav, and the last answer that came through it: tsdav keeps neither headers nor what an error said. */
function through(exchange: Exchange) {
  let last: Answer | undefined;
  const answer = () => last!;
  const over = async (url: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    const { method = "GET", body } = init;
    last = await exchange({
      method: method as Send["method"],
      url: String(url),
      headers: Object.fromEntries(new Headers(init.headers)),
      ...(typeof body === "string" && { body }),
    });
    const { status, headers, bytes } = last;
    const isEmpty = status < 200 || [204, 205, 304].includes(status);
    return new Response(isEmpty ? null : new Uint8Array(bytes), {
      status: status < 200 ? 200 : status,
      headers: headers["content-type"] === undefined ? {} : { "content-type": headers["content-type"] },
    });
  };
  return { fetch: over as typeof fetch, answer, check: (isOfItem = false) => check(answer(), isOfItem) };
}
