// The adapters of todo services: those that Kamado brings, and what is said of a mistake in one of the destinations file.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadDestinations } from "../../worker/outbound/destinations.ts";
import { todoAdapters } from "../../worker/outbound/todo-services.ts";
import { DONETICK } from "../todos/stubs/donetick.ts";

function load(todos: unknown, more: object = {}) {
  const path = join(mkdtempSync(join(tmpdir(), "kamado-adapters-")), "d.json");
  writeFileSync(path, JSON.stringify([{ match: "https://todo.home/", todos, ...more }]));
  return loadDestinations(path)[0]!;
}
const headerOf = (todos: unknown, more: object = {}) =>
  Object.fromEntries(
    Object.entries(load(todos, more).headers).map(([name, value]) => [name, value.reveal()]),
  );

test("the services that Kamado knows are in one file", () => {
  expect(Object.keys(todoAdapters())).toEqual([
    "kamado",
    "vikunja",
    "todoist",
    "super-productivity",
    "home-assistant",
    "caldav",
  ]);
  for (const { title } of Object.values(todoAdapters())) expect(title).toBeTruthy();
});

test.each([
  ["todoist", "abc", { authorization: "Bearer abc" }],
  ["todoist", "Bearer abc", { authorization: "Bearer abc" }],
  ["caldav", "kim:pass", { authorization: "Basic a2ltOnBhc3M=" }],
  ["caldav", "Basic a2ltOnBhc3M=", { authorization: "Basic a2ltOnBhc3M=" }],
])("the token of %s, written as %j, is sent as the service wants it", (service, token, headers) => {
  expect(headerOf({ service, token })).toEqual(headers);
});

test("a header of the entry may be the token too, and a service without one needs none", () => {
  const headers = { Authorization: "Bearer abc" };
  expect(headerOf({ service: "todoist" }, { headers })).toEqual({ authorization: "Bearer abc" });
  expect(headerOf({ service: "kamado" })).toEqual({});
  expect(headerOf({ adapter: DONETICK, token: "abc" })).toEqual({ secretkey: "abc" });
});

const { create, note, todos } = DONETICK;
const own = (change: object) => ({ adapter: { ...DONETICK, ...change }, token: "x" });

test.each<[unknown, RegExp]>([
  [
    { service: "vikunia", token: "x" },
    /0\.todos\.service: there is no todo service "vikunia"; did you mean vikunja\?/,
  ],
  [{ service: "Home Assistant", token: "x" }, /did you mean home-assistant\?/],
  [{ service: "wunderlist", token: "x" }, /"wunderlist"; the services are kamado, vikunja, todoist, /],
  [{ token: "x" }, /0\.todos\.service: give either service or adapter/],
  [{ service: "todoist", adapter: DONETICK, token: "x" }, /give either service or adapter/],
  [{ service: "todoist", tokn: "x" }, /"tokn"; did you mean token\?/],
  [{ service: "todoist" }, /0\.todos\.token: the service asks for one/],
  [{ service: "todoist", token: { file: "missing" } }, /0\.todos\.token: .*ENOENT/],
  [{ service: "caldav", list: "x" }, /0\.todos\.list: the address of this service is the list itself/],
  ["todoist", /0\.todos: /],
  [own({ creat: create }), /"creat"; did you mean create\?/],
  [own({ note: { ...note, mehtod: "PUT" } }), /0\.todos\.adapter\.note: .*"mehtod"; did you mean method\?/],
  [own({ note: { ...note, method: "DELETE" } }), /0\.todos\.adapter\.note\.method: .*"GET"\|"POST"/],
  [
    own({ note: { ...note, body: { note: "{nte} {mark}" } } }),
    /there is no \{nte\}; did you mean \{note\}\?/,
  ],
  [own({ note: { ...note, path: "/{whatever}" } }), /there is no \{whatever\}; there are \{list\}, \{id\}/],
  [
    own({ note: { ...note, find: undefined, body: { n: "{note}" } } }),
    /adapter\.note: a delivery may be repeated: give find/,
  ],
  [
    own({ note: { ...note, body: { n: "{note}" } } }),
    /adapter\.note: with find, the body must hold \{mark\}/,
  ],
  [own({ create: undefined }), /adapter: give todos, create and note/],
  [
    own({ todos: { ...todos, next: { page: "page", from: "next" } } }),
    /todos\.next: give page, or query and from/,
  ],
  [own({ listLike: "(" }), /listLike: expected a regular expression/],
  [own({ auth: undefined }), /0\.todos\.token: the adapter has no auth/],
])("%j is refused, naming the field and what was meant", (given, message) => {
  expect(() => load(given)).toThrowError(message);
  expect(() => load(given)).toThrow(expect.objectContaining({ code: "config_invalid" }));
});

test("two ways to give the token are one too many", () => {
  expect(() =>
    load({ service: "todoist", token: "x" }, { headers: { authorization: "Bearer y" } }),
  ).toThrowError(/0\.todos\.token: give either token or the header authorization/);
});
