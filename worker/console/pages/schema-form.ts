// A form made from a kind's JSON schema, and the value that a filled form stands for. What a form has no field for is written as JSON. Which
// values are allowed is not checked here: the kind's own schema does that when the job is sent.

import { html } from "hono/html";
import { excessOf } from "../../job/structure.ts";
import { line } from "./show.ts";
import { type Html, NONE, type View } from "./view.ts";

type Schema = {
  type?: string | string[];
  title?: string;
  description?: string;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  format?: string;
  contentMediaType?: string;
};

/** What is asked for at one place of the input. */
export type Field = {
  schema: Schema;
  is: "object" | "list" | "objects" | "choice" | "switch" | "number" | "picture" | "text" | "json";
};

export type Filled = {
  /** What was written into each field, by its path such as `input.question`. */
  texts: ReadonlyMap<string, string>;
  /** What is wrong, by path. */
  wrong: ReadonlyMap<string, string>;
};

const MAX_CHOICES = 4;
const MAX_ITEMS = 200;
const PICTURE = /^(image|picture|photo|frame)$/i;
const isNull = ({ type, const: only }: Schema) => type === "null" || only === null;

/** What may also be anything, or null, is asked for as what it should be. */
function plain(schema: Schema): Schema {
  const parts = (schema.anyOf ?? schema.oneOf)?.filter((one) => !isNull(one) && Object.keys(one).length > 0);
  if (parts?.length === 1)
    return {
      ...parts[0]!,
      ...(schema.description && { description: schema.description }),
      ...("default" in schema && { default: schema.default }),
    };
  if (parts?.length && parts.every((one) => "const" in one))
    return { ...schema, enum: parts.map((one) => one.const) };
  if (Array.isArray(schema.type))
    return { ...schema, type: schema.type.find((one) => one !== "null") ?? "string" };
  return schema;
}

export function fieldOf(given: Schema, name = ""): Field {
  const schema = plain(given);
  const { type, properties, items, enum: values } = schema;
  if (values?.every((one) => typeof one !== "object")) return { schema, is: "choice" };
  if (type === "object")
    return { schema, is: properties && Object.keys(properties).length > 0 ? "object" : "json" };
  if (type === "array") return { schema, is: listOf(items) };
  if (type === "boolean") return { schema, is: "switch" };
  if (type === "number" || type === "integer") return { schema, is: "number" };
  if (type !== "string") return { schema, is: "json" };
  const isPicture = PICTURE.test(name) || schema.contentMediaType?.startsWith("image/") === true;
  return { schema, is: isPicture ? "picture" : "text" };
}

function listOf(items: Schema | undefined): Field["is"] {
  if (items === undefined) return "json";
  const { is } = fieldOf(items);
  return is === "text" || is === "number" ? "list" : is === "object" ? "objects" : "json";
}

/** The fields of an object, or of the whole input. */
export function fieldsOf(view: View, schema: object, filled: Filled, path = "input"): Html {
  const { properties = {}, required = [] } = schema as Schema;
  const names = Object.keys(properties).toSorted(
    (one, other) => Number(required.includes(other)) - Number(required.includes(one)),
  );
  return html`${names.map((name) =>
    fieldAt(view, {
      name,
      path: `${path}.${name}`,
      field: fieldOf(properties[name]!, name),
      isRequired: required.includes(name),
      filled,
    }),
  )}`;
}

type At = { name: string; path: string; field: Field; isRequired: boolean; filled: Filled };

function fieldAt(view: View, at: At): Html {
  const { path, field, filled } = at;
  const { is } = field;
  const wrong = filled.wrong.get(path);
  const note = wrong === undefined ? NONE : html`<p class="wrong" id="${path}-wrong">${line(wrong, 500)}</p>`;
  const help = field.schema.description
    ? html`<p class="help" id="${path}-help">${line(field.schema.description, 500)}</p>`
    : NONE;
  if (is === "object" || is === "objects" || (is === "choice" && isRadio(field.schema)))
    return html`<fieldset class="${is === "choice" ? "field" : "nested"}" aria-describedby="${describedBy(at)}"><legend>${label(view, at)}</legend>${help}${is === "choice" ? radios(at) : is === "object" ? html`<div class="form">${fieldsOf(view, field.schema, filled, path)}</div>` : items(view, at)}${note}</fieldset>`;
  if (is === "switch")
    return html`<div class="field"><label class="choice"><input type="checkbox" name="${path}" value="true"${isOn(at) ? html` checked` : ""}> ${label(view, at)}</label>${help}${note}</div>`;
  return html`<div class="field"><label for="${path}">${label(view, at)}</label>${help}${control(view, at)}${note}</div>`;
}

function label({ t }: View, { name, field, isRequired }: At): Html {
  const title = field.schema.title ?? name;
  return html`${line(title, 100)}${isRequired ? NONE : html` <span class="must">${t("optional")}</span>`}`;
}

const describedBy = ({ path, field, filled }: At): string =>
  [field.schema.description && `${path}-help`, filled.wrong.has(path) && `${path}-wrong`]
    .filter(Boolean)
    .join(" ");

const asText = (value: unknown): string =>
  value === undefined || value === null
    ? ""
    : typeof value === "object"
      ? JSON.stringify(value)
      : String(value);

const valueAt = ({ path, field, filled }: At): string =>
  filled.texts.get(path) ?? asText(field.schema.default);

function attributes(at: At): Html {
  const by = describedBy(at);
  return html` id="${at.path}" name="${at.path}"${by === "" ? "" : html` aria-describedby="${by}"`}${at.filled.wrong.has(at.path) ? html` aria-invalid="true"` : ""}${at.isRequired ? html` aria-required="true"` : ""}`;
}

const isRadio = ({ enum: values = [] }: Schema) => values.length <= MAX_CHOICES;
const isOn = (at: At) => valueAt(at) === "true";

function control(view: View, at: At): Html {
  const { schema, is } = at.field;
  const value = valueAt(at);
  if (is === "choice")
    return html`<select${attributes(at)}>${at.isRequired ? NONE : html`<option value=""></option>`}${(schema.enum ?? []).map((one) => html`<option${asText(one) === value ? html` selected` : ""}>${asText(one)}</option>`)}</select>`;
  if (is === "number")
    return html`<input type="number"${attributes(at)} value="${value}" step="${schema.type === "integer" ? "1" : "any"}" inputmode="${schema.type === "integer" ? "numeric" : "decimal"}"${schema.minimum === undefined ? "" : html` min="${schema.minimum}"`}${schema.maximum === undefined ? "" : html` max="${schema.maximum}"`}>`;
  if (is === "picture") return picture(view, at, value);
  if (is === "json" || is === "list") {
    const text = is === "list" ? listText(at) : value === "" ? "" : value;
    const how = is === "list" ? "one_a_line" : takesText(schema) ? undefined : "as_json";
    return html`${how === undefined ? NONE : html`<p class="help">${view.t(how)}</p>`}<textarea${attributes(at)}${is === "json" ? html` class="mono" spellcheck="false"` : ""}>${text}</textarea>`;
  }
  return isLong(schema)
    ? html`<textarea${attributes(at)}>${value}</textarea>`
    : html`<input type="${schema.format === "uri" ? "url" : "text"}"${attributes(at)} value="${value}">`;
}

/** What may be long is long. */
const isLong = ({ maxLength = 0, format }: Schema) => maxLength > 200 && format === undefined;

function listText({ path, field, filled }: At): string {
  const written = filled.texts.get(path);
  if (written !== undefined) return written;
  return Array.isArray(field.schema.default) ? field.schema.default.map(asText).join("\n") : "";
}

function radios(at: At): Html {
  const value = valueAt(at);
  return html`<div class="choices">${(at.field.schema.enum ?? []).map(
    (one) =>
      html`<label class="choice"><input type="radio" name="${at.path}" value="${asText(one)}"${asText(one) === value ? html` checked` : ""}> ${line(asText(one), 100)}</label>`,
  )}</div>`;
}

function picture({ t }: View, at: At, value: string): Html {
  const { path } = at;
  return html`<div class="drop"><p class="only-js soft">${t("picture_drop")}</p><img alt="${t("picture_chosen")}" hidden><p class="soft small" data-name></p>
<div class="choose"><label class="button"><span>${t("picture_choose")}</span><input type="file" name="${path}.file" accept="image/*"></label><label class="button only-js only-phone"><span>${t("picture_camera")}</span><input type="file" name="${path}.camera" accept="image/*" capture="environment"></label></div>
<details${value === "" ? "" : html` open`}><summary>${t("picture_address")}</summary><input type="text"${attributes(at)} value="${value}" placeholder="s3://… https://…" aria-label="${t("picture_address")}"></details></div>`;
}

/** As many as there are, and at least one. "Add" sends the form, and it comes back with one more. */
function items(view: View, at: At): Html {
  const { path, filled, field } = at;
  const count = itemsOf(filled.texts, path);
  return html`<div class="stack">${Array.from({ length: Math.max(1, count) }, (_, index) => html`<fieldset class="nested"><legend>${index + 1}</legend><div class="form">${fieldsOf(view, plain(field.schema.items!), filled, `${path}.${index}`)}</div></fieldset>`)}<p><button name="add" value="${path}" class="small-button" formnovalidate>${view.t("add_item")}</button></p></div>`;
}

/** How many entries of a list a form holds. */
export function itemsOf(texts: ReadonlyMap<string, string>, path: string): number {
  const counted = [...texts.keys()]
    .filter((name) => name.startsWith(`${path}.`))
    .map((name) => Number(name.slice(path.length + 1).split(".")[0]));
  return Math.min(MAX_ITEMS, Math.max(0, ...counted.filter(Number.isInteger).map((index) => index + 1)));
}

/** The value that the texts stand for. What cannot be read is named in `wrong`; an empty field is no value. */
export function inputFrom(
  schema: object,
  texts: ReadonlyMap<string, string>,
  wrong: Map<string, string>,
  notJson: string,
): unknown {
  return objectAt(schema as Schema, texts, wrong, notJson, "input");
}

type Read = (given: Schema, path: string, name: string) => unknown;

function objectAt(
  schema: Schema,
  texts: ReadonlyMap<string, string>,
  wrong: Map<string, string>,
  notJson: string,
  path: string,
): Record<string, unknown> | undefined {
  const read: Read = (given, at, name) => {
    const field = fieldOf(given, name);
    if (field.is === "object") return objectAt(field.schema, texts, wrong, notJson, at);
    if (field.is === "objects") {
      const each = Array.from({ length: itemsOf(texts, at) }, (_, index) =>
        objectAt(plain(field.schema.items!), texts, wrong, notJson, `${at}.${index}`),
      );
      const whole = each.filter((one) => one !== undefined);
      return whole.length > 0 ? whole : undefined;
    }
    const text = texts.get(at) ?? "";
    if (field.is === "switch") return switchOf(field.schema, text);
    return text.trim() === "" ? undefined : simpleOf(field, text, () => wrong.set(at, notJson));
  };
  const entries = Object.entries(schema.properties ?? {})
    .map(([name, given]) => [name, read(given, `${path}.${name}`, name)] as const)
    .filter(([, value]) => value !== undefined);
  return entries.length > 0 || path === "input" ? Object.fromEntries(entries) : undefined;
}

/** A box that is not ticked is not sent by browsers. */
const switchOf = ({ default: usual }: Schema, text: string): boolean | undefined =>
  text === "true" ? true : usual === true ? false : undefined;

function simpleOf({ schema, is }: Field, text: string, fail: () => void): unknown {
  if (is === "number") return numberOf(text);
  if (is === "choice") return schema.enum?.find((one) => asText(one) === text) ?? text;
  if (is === "list") {
    const all = text
      .split(/\r?\n/)
      .map((one) => one.trim())
      .filter(Boolean);
    return fieldOf(schema.items!).is === "number" ? all.map(numberOf) : all;
  }
  if (is !== "json") return text.replaceAll("\r\n", "\n");
  try {
    if (excessOf(text) === null) return JSON.parse(text);
    fail();
    return undefined;
  } catch {
    if (takesText(schema)) return text.trim();
    fail();
    return undefined;
  }
}

/** Of several forms one is a text: `short`, or a number. It needs no quotation marks. */
const takesText = ({ type, enum: values, anyOf, oneOf }: Schema): boolean =>
  type === "string" ||
  values?.some((one) => typeof one === "string") === true ||
  (anyOf ?? oneOf ?? []).some(takesText);

/** What is no number is left for the kind's schema to refuse. */
function numberOf(text: string): unknown {
  const value = Number(text.trim());
  return Number.isNaN(value) ? text : value;
}

/** The places in which the form has a file: a picture field's path. */
export function picturePaths(schema: object, path = "input"): string[] {
  return Object.entries((schema as Schema).properties ?? {}).flatMap(([name, given]) => {
    const field = fieldOf(given, name);
    const at = `${path}.${name}`;
    if (field.is === "picture") return [at];
    return field.is === "object" ? picturePaths(field.schema, at) : [];
  });
}

/** `image: expected …; input.size.width: …` said of fields, and what is said of none. */
export function wrongFields(message: string, schema: object): { wrong: Map<string, string>; rest: string[] } {
  const wrong = new Map<string, string>();
  const rest: string[] = [];
  for (const part of message.replace(/\.$/, "").split(/; (?=[\w.]+: )/)) {
    const [, place, words] = /^([\w.]+): (.+)$/s.exec(part) ?? [];
    const path = place === undefined ? undefined : place.startsWith("input.") ? place : `input.${place}`;
    if (path !== undefined && isField(schema as Schema, path.split(".").slice(1))) wrong.set(path, words!);
    else rest.push(part);
  }
  return { wrong, rest };
}

function isField(schema: Schema, [first, ...others]: string[]): boolean {
  if (first === undefined) return false;
  const { is, schema: inner } =
    /^\d+$/.test(first) && schema.items
      ? fieldOf(schema.items)
      : fieldOf(schema.properties?.[first] ?? {}, first);
  if (!schema.properties?.[first] && !schema.items) return false;
  return others.length === 0 || is === "list" || isField(inner, others);
}
