// The todo services that Kamado knows, as data: todo-services.json, one adapter for each, and the same form for one that the owner writes
// into the destinations file. Owns what an adapter may say and how a mistake in it is named. What is done with it is left to todos/.
import { readFileSync } from "node:fs";
import { z } from "zod";
import { nearest } from "../nearest.ts";

/** What may stand in braces. */
const PLACEHOLDERS = ["list", "id", "title", "note", "text", "mark", "hash", "key", "uuid"];

const braces = (value: unknown): string[] =>
  [...JSON.stringify(value ?? "").matchAll(/\{([A-Za-z_]\w*)\}/g)].map(([, name]) => name!);

/** Fields of an answer one below the other, with dots between them; "" is the answer itself. */
const Field = z.string().max(200);
const Text = z.string().max(2_000);

const Call = {
  method: z.enum(["GET", "POST", "PUT", "PATCH"]),
  path: Text.describe("Below the address; {list} and {id} are escaped."),
  query: z.record(z.string(), Text).optional().describe("A parameter whose {list} is not set is left out."),
  headers: z.record(z.string(), Text).optional(),
  body: z
    .json()
    .optional()
    .describe("Sent as JSON; a field that is only {list} is left out where there is none."),
  form: z.record(z.string(), z.json()).optional().describe("Sent as a form; what is not a string, as JSON."),
};

/** How the following pages are asked for. */
const Next = z
  .strictObject({
    page: z.string().min(1).optional().describe("The query parameter that counts pages from 1."),
    pages: z.string().min(1).optional().describe("The header that says how many there are."),
    query: z.string().min(1).optional().describe("The query parameter that takes what `from` holds."),
    from: Field.optional(),
  })
  .refine(({ page, pages, query, from }) => {
    const [counted, followed] = [
      [page, pages],
      [query, from],
    ].map((fields) => fields.some((one) => one !== undefined));
    return counted !== followed && (counted ? page !== undefined : query !== undefined && from !== undefined);
  }, "give page, or query and from");

const List = { ...Call, items: Field.default("").describe("Where the list is."), next: Next.optional() };

const Find = z.strictObject({
  ...List,
  id: Field.optional().describe("The field that is the todo's id, where the call gives other todos too."),
  text: Field.describe("The field that holds {mark} once the change is made."),
});

const Needs = z.strictObject({
  path: Text,
  field: Field,
  bits: z.int().min(1).describe("All of these must be set."),
  else: z.string().min(1).describe("Why the list cannot do it."),
});

const Ok = z.strictObject({
  path: Field,
  is: z.union([z.string(), z.number(), z.boolean()]),
  status: Field.optional().describe("Below path: the HTTP status that a refusal stands for."),
});

const Change = z
  .strictObject({
    needs: Needs.optional().describe("What the list must be able to do."),
    find: Find.optional().describe("Asked first: a repeated delivery finds what the first one left."),
    ...Call,
    ok: Ok.optional().describe("What an answer with a good status must say too."),
  })
  .refine((change) => change.find !== undefined || braces(change).some((name) => /^(key|uuid)$/.test(name)), {
    message: "a delivery may be repeated: give find, or put {key} or {uuid} where the service remembers it",
  })
  .refine(({ find, body, form }) => find === undefined || braces([body, form]).includes("mark"), {
    message: "with find, the body must hold {mark}",
  })
  .refine(({ find, body, form }) => !braces([body, form]).includes("text") || find !== undefined, {
    message: "{text} is what find gives",
  });

function isPattern(text: string): boolean {
  try {
    return new RegExp(text, "u").test("") !== undefined;
  } catch {
    return false;
  }
}

export const TodoAdapter = z
  .strictObject({
    title: z.string().max(200).optional(),
    protocol: z.enum(["rest", "caldav"]).default("rest"),
    address: z
      .enum(["service", "collection"])
      .default("service")
      .describe("What a job's address is: the entry's match with a list behind it, or the list itself."),
    list: z.enum(["none", "optional", "required"]).default("none"),
    listLike: z
      .string()
      .max(200)
      .refine(isPattern, "expected a regular expression")
      .optional()
      .describe("What a list's name must look like."),
    auth: z
      .strictObject({
        header: z.string().min(1),
        value: z.string().describe("{token}, or {base64}, which is the token in base64."),
        optional: z.boolean().default(false),
      })
      .optional(),
    text: z.enum(["plain", "html"]).default("plain"),
    todos: z
      .strictObject({
        ...List,
        done: z.record(Field, z.json()).optional().describe("A todo whose field has this value is left out."),
        id: Field,
        title: Field,
        category: Field.optional(),
      })
      .optional(),
    create: Change.optional(),
    note: Change.optional(),
  })
  .refine(
    ({ protocol, todos, create, note }) => protocol === "caldav" || [todos, create, note].every(Boolean),
    "give todos, create and note",
  )
  .superRefine(({ auth: _, ...adapter }, context) => {
    const wrong = braces(adapter).find((name) => !PLACEHOLDERS.includes(name));
    if (wrong === undefined) return;
    const near = nearest(wrong, PLACEHOLDERS);
    const meant = near === undefined ? `there are {${PLACEHOLDERS.join("}, {")}}` : `did you mean {${near}}?`;
    context.addIssue({ code: "custom", message: `there is no {${wrong}}; ${meant}`, path: [] });
  });

export type TodoAdapter = z.output<typeof TodoAdapter>;
export type TodoCall = Pick<TodoAdapter["todos"] & object, keyof typeof Call>;
export type TodoFind = z.output<typeof Find>;
export type TodoChangeCall = z.output<typeof Change>;

const FILE = new URL("todo-services.json", import.meta.url);
let read: Readonly<Record<string, TodoAdapter>> | undefined;

/** By name. */
export function todoAdapters(): Readonly<Record<string, TodoAdapter>> {
  read ??= z.record(z.string(), TodoAdapter).parse(JSON.parse(readFileSync(FILE, "utf8")));
  return read;
}

/** The name of an adapter, as the destinations file may say it. */
export const TodoServiceName = z.string().superRefine((name, context) => {
  const names = Object.keys(todoAdapters());
  if (names.includes(name)) return;
  const near = nearest(name.toLowerCase().replaceAll(/[ _]/g, "-"), names);
  const meant = near === undefined ? `the services are ${names.join(", ")}` : `did you mean ${near}?`;
  context.addIssue({
    code: "custom",
    message: `there is no todo service ${JSON.stringify(name.slice(0, 60))}; ${meant}`,
  });
});
