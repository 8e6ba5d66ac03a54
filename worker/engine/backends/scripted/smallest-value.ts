// The smallest value that fits a JSON schema: the scripted backend's answer when its script has none. Pure.
import { modernSchema } from "../../../json-schema/modern.ts";
import type { JsonSchema } from "../../generation/backend.ts";

type Schema = Record<string, unknown>;
const MAX_DEPTH = 32;

export function smallestValue(schema: JsonSchema): unknown {
  const modern = modernSchema(schema);
  return smallest(modern, modern, 0);
}

function smallest(schema: JsonSchema, root: JsonSchema, depth: number): unknown {
  if (typeof schema === "boolean" || depth > MAX_DEPTH) return null;
  if ("const" in schema) return schema.const;
  if (Array.isArray(schema.enum)) return schema.enum[0];
  if (typeof schema.$ref === "string") return smallest(resolve(root, schema.$ref), root, depth + 1);
  const [option] = [schema.anyOf, schema.oneOf].find(Array.isArray) ?? [];
  if (option !== undefined) return smallest({ ...schema, ...option, anyOf: 0, oneOf: 0 }, root, depth + 1);
  if (Array.isArray(schema.allOf))
    return smallest(Object.assign({}, schema, ...schema.allOf, { allOf: 0 }), root, depth + 1);
  return byType(schema, root, depth);
}

function byType(schema: Schema, root: JsonSchema, depth: number): unknown {
  const type = Array.isArray(schema.type) ? schema.type[0] : (schema.type ?? guess(schema));
  if (type === "object") return smallestObject(schema, root, depth);
  if (type === "array") {
    const first = (schema.prefixItems ?? []) as JsonSchema[];
    const item = (schema.items ?? true) as JsonSchema;
    const length = Math.max(first.length, numberOr(schema.minItems, 0));
    return Array.from({ length }, (_, at) => smallest(first[at] ?? item, root, depth + 1));
  }
  if (type === "string") return "x".repeat(numberOr(schema.minLength, 0));
  if (type === "integer" || type === "number") return smallestNumber(schema);
  return type === "boolean" ? false : null;
}

const guess = (schema: Schema) =>
  "properties" in schema ? "object" : "items" in schema || "prefixItems" in schema ? "array" : "null";
const numberOr = (value: unknown, otherwise: number) => (typeof value === "number" ? value : otherwise);

function smallestObject(schema: Schema, root: JsonSchema, depth: number): Schema {
  const properties = (schema.properties ?? {}) as Record<string, JsonSchema>;
  const required = Array.isArray(schema.required) ? (schema.required as string[]) : [];
  const entries = required.map((key) => [key, smallest(properties[key] ?? true, root, depth + 1)]);
  return Object.fromEntries(entries);
}

function smallestNumber({ minimum, exclusiveMinimum, maximum }: Schema): number {
  if (typeof exclusiveMinimum === "number") return Math.floor(exclusiveMinimum) + 1;
  return numberOr(minimum, Math.min(0, numberOr(maximum, 0)));
}

/** Follows `#/a/b` inside the schema. */
function resolve(root: JsonSchema, ref: string): JsonSchema {
  let at: unknown = root;
  for (const key of ref.replace(/^#\/?/, "").split("/").filter(Boolean))
    at = (at as Schema | undefined)?.[decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~")];
  return (at ?? true) as JsonSchema;
}
