// Whether a value fits a schema: a handler's zod schema, or a JSON schema from a sender, which json-schema/checker.ts checks.
import { z } from "zod";
import { describeIssues } from "../errors.ts";
import { badSchema, checkSchema, misfit } from "../json-schema/checker.ts";
import { modernSchema } from "../json-schema/modern.ts";

export type JsonSchema = Record<string, unknown>;
export type Fit = { fits: true; value: unknown } | { fits: false; reason: string };
/** A schema in two forms: as the engine gets it, and as a check of the answer. */
export type Shape = { schema: JsonSchema; check(value: unknown): Fit | Promise<Fit> };

/** A handler asks hundreds of questions with one schema. */
const shapes = new WeakMap<z.ZodType, Shape>();

export function zodShape(type: z.ZodType): Shape {
  const known = shapes.get(type);
  if (known) return known;
  const shape = makeShape(type);
  shapes.set(type, shape);
  return shape;
}

function makeShape(type: z.ZodType): Shape {
  // The model writes the schema's input; the handler gets what its transforms make of it.
  const { $schema: _, ...schema } = z.toJSONSchema(type, { io: "input", unrepresentable: "any" });
  return {
    schema,
    check(value) {
      const parsed = type.safeParse(value);
      if (parsed.success) return { fits: true, value: parsed.data };
      return { fits: false, reason: describeIssues(parsed.error, value) };
    },
  };
}

const MAX_SCHEMA_BYTES = 64 * 1024;
const MAX_SCHEMA_DEPTH = 32;

/**
 * The engine gets the schema in the form of 2020-12. Rejects with `invalid_input` when it is not a JSON schema, or one that a sender must
 * not send.
 */
export async function foreignShape(foreign: JsonSchema): Promise<Shape> {
  refuseDeep(foreign, 0);
  const schema = modernSchema(foreign);
  refuseForeign(schema);
  const text = JSON.stringify(schema);
  if (Buffer.byteLength(text) > MAX_SCHEMA_BYTES) throw badSchema(`is longer than ${MAX_SCHEMA_BYTES} bytes`);
  await checkSchema(text);
  return {
    schema,
    async check(value) {
      const reason = await misfit(text, value);
      return reason === undefined ? { fits: true, value } : { fits: false, reason };
    },
  };
}

function refuseDeep(value: unknown, depth: number): void {
  if (depth > MAX_SCHEMA_DEPTH) throw badSchema(`is nested deeper than ${MAX_SCHEMA_DEPTH}`);
  if (typeof value !== "object" || value === null) return;
  for (const inner of Object.values(value)) refuseDeep(inner, depth + 1);
}

function refuseForeign(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (key === "$ref" && typeof inner === "string" && !inner.startsWith("#"))
      throw badSchema("refers to another document; only references into the schema itself are followed");
    refuseForeign(inner);
  }
}
