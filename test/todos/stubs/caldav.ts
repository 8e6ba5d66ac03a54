// A CalDAV server (RFC 4791, RFC 4918): one calendar with todos and one with events only. It reads the requests as XML and honours Depth,
// If-Match and If-None-Match.
import { createHash } from "node:crypto";
import { DOMParser } from "linkedom";
import type { Received } from "../../fakes/receiver.ts";
import type { Reply, Seen, Service } from "./stub.ts";

const HOME = "/dav/calendars/kim/";
const TODOS = `${HOME}todos/`;
const EVENTS = `${HOME}events/`;

/** Most servers escape what is in a calendar; some put it into a CDATA section. */
export function caldav({ cdata = false } = {}): Service {
  const token = "kim:pass:word";
  const objects = new Map<string, string>();
  const etagOf = (data: string) => `"${createHash("md5").update(data).digest("hex")}"`;
  const escaped = (text: string) =>
    text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll("\r", "&#13;");

  const multistatus = (responses: string[]): Reply => ({
    status: 207,
    headers: { "content-type": "application/xml; charset=utf-8" },
    body: `<?xml version="1.0" encoding="utf-8"?><D:multistatus xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">${responses.join("")}</D:multistatus>`,
  });
  const response = (href: string, props: string) =>
    `<D:response><D:href>${href}</D:href><D:propstat><D:prop>${props}</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>`;
  const object = (href: string, data: string) =>
    response(
      encodeURI(href),
      `<D:getetag>${etagOf(data).replaceAll('"', "&quot;")}</D:getetag><C:calendar-data>${cdata ? `<![CDATA[${data}]]>` : escaped(data)}</C:calendar-data>`,
    );
  // Removed while the server wrote its answer.
  const removed = `<D:response><D:href>${TODOS}removed.ics</D:href><D:status>HTTP/1.1 404 Not Found</D:status></D:response>`;

  function propfind(path: string, headers: Received["headers"]): Reply {
    if (headers.depth !== "0") return { status: 403, body: "Depth" };
    if (path === HOME)
      return multistatus([response(path, "<D:resourcetype><D:collection/></D:resourcetype>")]);
    const kind = path === TODOS ? "VTODO" : "VEVENT";
    return multistatus([
      response(
        path,
        `<D:resourcetype><D:collection/><C:calendar/></D:resourcetype><C:supported-calendar-component-set><C:comp name="${kind}"/></C:supported-calendar-component-set>`,
      ),
    ]);
  }

  function report(path: string, { headers, body }: Received): Reply {
    // linkedom keeps prefixes; the names behind them are what counts.
    const root = new DOMParser().parseFromString(body, "text/xml").documentElement as unknown as Element;
    if (!body.includes("urn:ietf:params:xml:ns:caldav")) return { status: 400, body: "namespace" };
    const all = [...root.querySelectorAll("*")].map((one) => ({
      name: one.tagName.replace(/^.*:/, ""),
      attribute: one.getAttribute("name"),
    }));
    if (!root.tagName.endsWith("calendar-query")) return { status: 403, body: "supported-report" };
    if (!all.some(({ name }) => name === "filter")) return { status: 400, body: "valid-filter" };
    // Without Depth: 1 it is about the collection alone.
    if (headers.depth !== "1") return multistatus([]);
    const component = all.filter(({ name }) => name === "comp-filter").at(-1)?.attribute;
    const absent = all.find(({ name }) => name === "prop-filter")?.attribute;
    const hrefs = [...objects].filter(
      ([href, data]) =>
        href.startsWith(path) &&
        data.includes(`BEGIN:${component}`) &&
        !(absent && new RegExp(`^${absent}[:;]`, "m").test(data)),
    );
    return multistatus([
      ...(hrefs.length > 0 ? [removed] : []),
      ...hrefs.map(([href, data]) => object(href, data)),
    ]);
  }

  function put(path: string, { headers, body }: Received): Reply {
    const now = objects.get(path);
    if (headers["if-none-match"] === "*" && now !== undefined) return { status: 412 };
    const match = headers["if-match"];
    if (match !== undefined && (now === undefined || match !== etagOf(now))) return { status: 412 };
    if (!/^text\/calendar\b/.test(headers["content-type"] ?? "")) return { status: 415 };
    const long = body.split("\r\n").some((line) => Buffer.byteLength(line) > 75);
    if (long || !/^BEGIN:VCALENDAR\r\n[\s\S]*\r\nUID:[\s\S]*END:VCALENDAR\r\n$/.test(body))
      return { status: 400, body: "valid-calendar-data" };
    // Radicale takes what is put beside its calendars.
    if (path.startsWith(EVENTS)) return { status: 403, body: "supported-calendar-component" };
    objects.set(path, body);
    return { status: now === undefined ? 201 : 204, headers: { etag: etagOf(body) } };
  }

  const field = (data: string, name: string) =>
    new RegExp(`^${name}[^:]*:(.*)$`, "m")
      .exec(data.replaceAll(/\r\n[ \t]/g, ""))?.[1]
      ?.trim()
      .replaceAll("\\n", "\n")
      .replaceAll(/\\([,;\\])/g, "$1") ?? "";

  return {
    name: "caldav",
    token,
    match: "/dav/",
    at: TODOS,
    handle(request) {
      const { method, headers, url } = request;
      if (headers.authorization !== `Basic ${Buffer.from(token).toString("base64")}`)
        return { status: 401, headers: { "www-authenticate": "Basic" } };
      const path = decodeURIComponent(url.pathname);
      if (!path.startsWith(HOME)) return { status: 404 };
      const data = objects.get(path);
      if (method === "GET" && path.endsWith(".ics"))
        return data === undefined
          ? { status: 404 }
          : { status: 200, headers: { etag: etagOf(data), "content-type": "text/calendar" }, body: data };
      if (method === "PROPFIND") return propfind(path, headers);
      if (method === "REPORT") return report(path, request);
      if (method === "PUT" && path !== TODOS && path !== EVENTS) return put(path, request);
      return { status: 405 };
    },
    add(title, { done = false, note } = {}) {
      const id = `${objects.size}-å b.ics`;
      const lines = [
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\nBEGIN:VTODO",
        `UID:${objects.size}\r\nDTSTAMP:20260101T000000Z\r\nSUMMARY;LANGUAGE=en:${title.replaceAll(",", "\\,")}`,
        ...(note === undefined ? [] : [`DESCRIPTION:${note.replaceAll(/\r?\n/g, "\\n")}`]),
        ...(done ? ["STATUS:COMPLETED\r\nCOMPLETED:20260101T000000Z"] : []),
        "BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:Alarm\r\nTRIGGER:-PT5M\r\nEND:VALARM",
        "END:VTODO\r\nEND:VCALENDAR\r\n",
      ];
      objects.set(`${TODOS}${id}`, lines.join("\r\n"));
      return id;
    },
    finish: (id) =>
      objects.set(`${TODOS}${id}`, objects.get(`${TODOS}${id}`)!.replace("NEEDS-ACTION", "COMPLETED")),
    remove: (id) => objects.delete(`${TODOS}${id}`),
    all: () =>
      [...objects].map(
        ([href, data]): Seen => ({
          id: href.slice(TODOS.length),
          title: field(data, "SUMMARY"),
          done: data.includes("STATUS:COMPLETED"),
          notes: [field(data.replace(/BEGIN:VALARM[\s\S]*?END:VALARM\r\n/, ""), "DESCRIPTION")].filter(
            Boolean,
          ),
        }),
      ),
  };
}
