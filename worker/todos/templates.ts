// What an adapter says, with the values of one change filled in. Pure.
import { createHash } from "node:crypto";
import { KamadoError } from "../errors.ts";
import type { TodoAdapter, TodoCall } from "../outbound/todo-services.ts";

export type Values = Partial<
  Record<"list" | "id" | "title" | "note" | "text" | "mark" | "hash" | "key" | "uuid", string>
>;

/** What makes one delivery recognisable to a service. The same delivery has the same in every try. */
export function marksOf(key: string): Required<Pick<Values, "key" | "hash" | "mark" | "uuid">> {
  const digest = createHash("sha256").update(key).digest("hex");
  const hash = digest.slice(0, 16);
  const [a, b, c, d] = [digest.slice(0, 8), digest.slice(8, 12), digest.slice(13, 16), digest.slice(17, 20)];
  return { key, hash, mark: `[kamado:${hash}]`, uuid: `${a}-${b}-8${c}-a${d}-${digest.slice(20, 32)}` };
}

/** Escaped where the service takes HTML, so that a sentence stays the text that it is. Titles are plain text everywhere. */
export const shown = (text: string, form: TodoAdapter["text"]): string =>
  form === "plain"
    ? text
    : text
        .replaceAll("&", "&amp;")
        .replaceAll("<", "&lt;")
        .replaceAll(">", "&gt;")
        .replaceAll('"', "&quot;")
        .replaceAll(/\r?\n/g, "<br>");

const BRACES = /\{([a-z]+)\}/g;

const filled = (template: string, values: Values, write = (value: string) => value): string =>
  template.replaceAll(BRACES, (whole, name: keyof Values) =>
    values[name] === undefined ? whole : write(values[name]),
  );

const isMissing = (template: unknown, { list }: Values) =>
  typeof template === "string" && template.includes("{list}") && list === undefined;

/** Strings anywhere in `template`. What would name a list where there is none is left out. */
export function fill(template: unknown, values: Values): unknown {
  if (typeof template === "string") return filled(template, values).trim();
  if (Array.isArray(template)) return template.map((one) => fill(one, values));
  if (typeof template !== "object" || template === null) return template;
  const kept = Object.entries(template).filter(([, value]) => !isMissing(value, values));
  return Object.fromEntries(kept.map(([name, value]) => [name, fill(value, values)]));
}

/** The value at a path of fields. The names of lists may have dots. */
export function at(answer: unknown, path: string, values: Values): unknown {
  if (path === "") return answer;
  return path.split(".").reduce<unknown>((inner, name) => {
    const own = filled(name, values);
    const isObject = typeof inner === "object" && inner !== null && Object.hasOwn(inner, own);
    return isObject ? (inner as Record<string, unknown>)[own] : undefined;
  }, answer);
}

export type Filled = { url: string; headers: Record<string, string>; body?: string };

/** The request at `address`, whose query is kept. `more` are parameters that only a page has. */
export function requestAt(
  address: string,
  call: Pick<TodoCall, "path" | "query" | "headers" | "body" | "form">,
  values: Values,
  more: Record<string, string> = {},
): Filled {
  const url = new URL(address);
  const [path = "", query = ""] = filled(call.path, values, segment).split("?");
  url.pathname = url.pathname.replace(/(?<!\/)\/+$/, "") + path;
  for (const [name, value] of new URLSearchParams(query)) url.searchParams.append(name, value);
  const own = Object.entries(call.query ?? {}).filter(([, value]) => !isMissing(value, values));
  for (const [name, value] of own) url.searchParams.append(name, filled(value, values));
  for (const [name, value] of Object.entries(more)) url.searchParams.append(name, value);
  return { url: url.href, ...contentOf(call, values) };
}

function contentOf({ headers, body, form }: Pick<TodoCall, "headers" | "body" | "form">, values: Values) {
  const own = fill(headers ?? {}, values) as Record<string, string>;
  const all = { accept: "application/json", ...own };
  if (body !== undefined)
    return {
      headers: { "content-type": "application/json", ...all },
      body: JSON.stringify(fill(body, values)),
    };
  if (form === undefined) return { headers: all };
  const fields = Object.entries(fill(form, values) as object).map(([name, value]) => [
    name,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
  const text = new URLSearchParams(Object.fromEntries(fields)).toString();
  return { headers: { "content-type": "application/x-www-form-urlencoded", ...all }, body: text };
}

/** One part of a path. Where these values would mean another path, no escape helps. */
export function segment(value: string): string {
  if (!["", ".", ".."].includes(value)) return encodeURIComponent(value);
  throw new KamadoError("address_refused", "A todo's id leads out of its list.");
}
