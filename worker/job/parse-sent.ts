// Checks a value that a sender wrote against a schema, whatever serializer wrote it. Owns which differences between serializers mean
// nothing: null or "" where a field may be absent, a number or a boolean as a string, a structure as a string of JSON, a list of one as its
// entry. A difference counts only where the schema refuses the value as it is and there is one way to read it. What a field means is left to its schema. Pure.
import { z } from "zod";
import { sayNearestField } from "../nearest.ts";
import { isNumber, numberIn, parseJson } from "./json.ts";
import { excessOf } from "./structure.ts";

export type Sent<T> = { success: true; data: T } | { success: false; error: z.ZodError; value: unknown };

/** A string of JSON may hold fields that are to be read so as well. */
const MAX_ROUNDS = 4;

/** As `safeParse`. With an error comes the value that it is about, because it may stand in a string of the one that was sent. */
export function parseSent<S extends z.ZodType>(schema: S, sent: unknown): Sent<z.output<S>> {
  const read = rereadAll(schema, sent);
  if (read.success) return read;
  // Only if that is all that was wrong: of a field that must be there, the error should say that it is empty.
  const holder = { value: structuredClone(read.value) };
  const isLess = read.error.issues.map((issue) => dropEmpty(holder, issue, ["value"])).includes(true);
  const again = isLess ? rereadAll(schema, holder.value) : read;
  return again.success ? again : { ...read, error: inWords(read.error, read.value) };
}

function rereadAll<S extends z.ZodType>(schema: S, sent: unknown): Sent<z.output<S>> {
  const read = (one: unknown) => schema.safeParse(one, { error: sayNearestField });
  let [value, parsed] = [sent, read(sent)];
  for (let round = 0; round < MAX_ROUNDS && !parsed.success; round++) {
    const holder = { value: structuredClone(value) };
    if (!parsed.error.issues.map((issue) => reread(holder, issue, ["value"])).includes(true)) break;
    value = holder.value;
    parsed = read(value);
  }
  return parsed.success ? parsed : { success: false, error: parsed.error, value };
}

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];
type Fields = Record<PropertyKey, unknown>;

/** Go writes "" for a text that is not set. Leaves out the field that an issue is about if it holds that. */
function dropEmpty(root: object, issue: Issue, above: Path): boolean {
  const path = [...above, ...issue.path];
  const [parent, key] = [at(root, path.slice(0, -1)), path.at(-1)!];
  if (!isObject(parent) || Array.isArray(parent) || path.length < 2 || parent[key] !== "") return false;
  return delete parent[key];
}

/** Reads the value that an issue is about in the way that its schema expects. False where there is none. */
function reread(root: object, issue: Issue, above: Path): boolean {
  const path = [...above, ...issue.path];
  if (issue.code === "invalid_union")
    return issue.errors
      .flat()
      .map((inner) => reread(root, inner, path))
      .includes(true);
  if (issue.code === "unrecognized_keys") return dropUnset(at(root, path), issue.keys);
  const [parent, key] = [at(root, path.slice(0, -1)), path.at(-1)!];
  if (!isObject(parent) || !Object.hasOwn(parent, key)) return false;
  if (parent[key] === null) return !Array.isArray(parent) && path.length > 1 && delete parent[key];
  if (issue.code !== "invalid_type") return false;
  const value = valueIn(parent[key], issue.expected);
  if (value === undefined) return false;
  parent[key] = value;
  return true;
}

function dropUnset(fields: unknown, names: readonly string[]): boolean {
  if (!isObject(fields)) return false;
  const unset = names.filter((name) => fields[name] === null || fields[name] === "");
  for (const name of unset) delete fields[name];
  return unset.length > 0;
}

/** What a value of another type can only mean where this one is expected. Undefined where it means nothing. */
function valueIn(sent: unknown, expected: string): unknown {
  switch (expected) {
    case "number":
      return typeof sent === "string" ? (numberIn(sent.trim()) ?? undefined) : undefined;
    case "boolean":
      return typeof sent === "string" ? { true: true, false: false }[sent.trim().toLowerCase()] : undefined;
    case "object":
    case "record":
      return fieldsIn(typeof sent === "string" ? jsonIn(sent) : sent);
    case "array":
      return listIn(typeof sent === "string" ? (jsonIn(sent) ?? sent) : sent);
    default:
      return undefined;
  }
}

/** PHP writes an object without fields as a list. */
function fieldsIn(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? {} : undefined;
  return isObject(value) ? value : undefined;
}

/** PHP writes a list from which entries were removed as an object; others write a list of one as its entry. */
function listIn(value: unknown): unknown {
  if (Array.isArray(value)) return value;
  if (!isObject(value)) return typeof value === "string" && value !== "" ? [value] : undefined;
  const names = Object.keys(value);
  return names.length > 0 && names.every((name) => /^\d+$/.test(name)) ? Object.values(value) : [value];
}

/** Undefined for what is no JSON, or has too much structure. */
function jsonIn(text: string): unknown {
  if (excessOf(text) !== null) return undefined;
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

const isObject = (value: unknown): value is Fields => typeof value === "object" && value !== null;

const at = (root: unknown, path: Path): unknown =>
  path.reduce<unknown>(
    (inner, key) => (isObject(inner) && Object.hasOwn(inner, key) ? inner[key] : undefined),
    root,
  );

const TOO_LONG =
  "expected number, received one with more digits than a number keeps; round it, or send another field";

/** A string of digits where a number is expected is most likely a number that `parseJson` could not keep. */
function inWords(error: z.ZodError, value: unknown): z.ZodError {
  return new z.ZodError(
    error.issues.map((issue) => {
      const found = at(value, issue.path);
      const isTooLong =
        issue.code === "invalid_type" &&
        issue.expected === "number" &&
        typeof found === "string" &&
        isNumber(found);
      return isTooLong ? { ...issue, message: TOO_LONG } : issue;
    }),
  );
}
