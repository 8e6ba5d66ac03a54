// Which field of a kind's input a file fills, as the kind's own schema says. Pure.
import { KamadoError } from "../../errors.ts";
import type { Handler, InputRef } from "../../job/handler.ts";
import { jsonSchemaOf } from "../../job/kind-schemas.ts";

/** A file as its name tells it. `rows`: each row or line is an input. */
export type FileType = "picture" | "pdf" | "html" | "text" | "csv" | "json" | "jsonl";

const TYPES: Record<string, FileType> = {
  ...Object.fromEntries(
    "png jpg jpeg webp gif tif tiff avif heic heif".split(" ").map((end) => [end, "picture" as const]),
  ),
  ...{ pdf: "pdf", html: "html", htm: "html", xhtml: "html" },
  ...{ csv: "csv", tsv: "csv", json: "json", jsonl: "jsonl", ndjson: "jsonl" },
};
export const typeOfFile = (path: string): FileType =>
  TYPES[/\.(\w+)$/.exec(path)?.[1]?.toLowerCase() ?? ""] ?? "text";

export type KindFields = {
  kind: string;
  /** All names; `null` where the schema does not say, or is not known here. */
  names: readonly string[] | null;
  required: ReadonlySet<string>;
  /** Of free text. */
  texts: readonly string[];
  /** Addresses that the worker fetches, and as what. */
  fetched: ReadonlyMap<string, InputRef["as"]>;
};

type Schema = { properties?: Record<string, { type?: unknown; enum?: unknown }>; required?: string[] };

export function fieldsOf(kind: string, handler: Handler | undefined): KindFields {
  if (!handler) return { kind, names: null, required: new Set(), texts: [], fetched: new Map() };
  const { properties, required = [] } = jsonSchemaOf(handler.input, "input") as Schema;
  const fetched = fetchedIn(handler, Object.keys(properties ?? {}));
  const isText = ([name, { type, enum: options }]: [string, { type?: unknown; enum?: unknown }]) =>
    type === "string" && options === undefined && !fetched.has(name);
  return {
    kind,
    names: properties ? Object.keys(properties) : null,
    required: new Set(required),
    texts: Object.entries(properties ?? {})
      .filter(isText)
      .map(([name]) => name),
    fetched,
  };
}

/** The handler is asked with inputs whose fields are their own names: with all of them, and with each alone, where only one may be given. */
function fetchedIn({ inputs }: Handler, names: readonly string[]): ReadonlyMap<string, InputRef["as"]> {
  const all = new Proxy({}, { get: (_, name) => name });
  const refs = [all, ...names.map((name) => ({ [name]: name }))].flatMap((named) => {
    try {
      return Object.values(inputs?.(named) ?? {});
    } catch {
      return [];
    }
  });
  return new Map(refs.flatMap((ref) => (ref ? [[ref.from, ref.as] as const] : [])));
}

/** `upload`: the field gets the address of the file; otherwise its text. */
export type Place = { field: string; upload: boolean };

/** `given`: fields that every input has already. Throws `invalid_input` where no field or several would do. */
export function placeOf(
  type: FileType,
  { as, given, ...fields }: KindFields & { as: string | undefined; given: ReadonlySet<string> },
): Place {
  const { kind, names, fetched } = fields;
  if (as !== undefined) {
    if (names && !names.includes(as))
      throw new KamadoError(
        "invalid_input",
        `--as ${as}: ${kind} has no such field; it has ${names.join(", ")}.`,
      );
    return { field: as, upload: fetched.has(as) };
  }
  const left = { ...fields, texts: fields.texts.filter((name) => !given.has(name)) };
  const addresses = [...fetched].filter(([name]) => !given.has(name));
  const found = candidatesFor(type, left, addresses);
  if (found.length === 1) return found[0]!;
  throw new KamadoError(
    "invalid_input",
    found.length === 0
      ? `${kind} has no field for ${WORDS[type]}${names ? `; it has ${names.join(", ")}` : ""}.`
      : `${WORDS[type]} could be ${found.map(({ field }) => field).join(" or ")} of ${kind}.`,
    {
      hint: `Say which field the files fill: --as ${found[0]?.field ?? "FIELD"}. \`kamado kinds ${kind}\` shows them.`,
    },
  );
}

const WORDS: Record<FileType, string> = {
  picture: "a picture",
  pdf: "a PDF",
  html: "a page",
  text: "a text",
  csv: "a table",
  json: "JSON",
  jsonl: "JSON",
};

type Left = Pick<KindFields, "texts" | "required">;
type Addresses = readonly (readonly [string, InputRef["as"]])[];

function candidatesFor(type: FileType, { texts, required }: Left, addresses: Addresses): Place[] {
  const uploads = (...as: InputRef["as"][]) =>
    best(
      addresses.filter(([, one]) => as.includes(one)).map(([name]) => name),
      required,
      ["pdf", "file", "document", "url", "s3"],
    ).map((field) => ({ field, upload: true }));
  if (type === "picture") return uploads("image");
  if (type === "pdf") return uploads("page", "text");
  if (type === "html" && texts.includes("html")) return [{ field: "html", upload: false }];
  // In a field of text its marks would be read as text.
  if (type === "html" && uploads("page").length > 0) return uploads("page");
  const found = best(texts, required, ["text", "prompt", "content"]);
  return found.length > 0 ? found.map((field) => ({ field, upload: false })) : uploads("page", "text");
}

/** The one that has to be there, else the one whose name says it; else all of them. */
function best(names: readonly string[], required: ReadonlySet<string>, usual: readonly string[]): string[] {
  const needed = names.filter((name) => required.has(name));
  const named = usual.find((name) => (needed.length > 0 ? needed : names).includes(name));
  if (needed.length === 1) return needed;
  if (named !== undefined) return [named];
  return needed.length > 0 ? needed : [...names];
}
