// The kinds of a worker for whoever writes a job or a form: their schemas as JSON Schema. Pure.
import { z } from "zod";
import type { Handler } from "./handler.ts";

export type ShownKind = { kind: string; summary: string; input: object; output: object };

/** What zod cannot say in JSON Schema, such as a check in code, is left out. */
export function jsonSchemaOf(type: z.ZodType, io: "input" | "output"): object {
  const { $schema: _, ...schema } = z.toJSONSchema(type, { io, unrepresentable: "any" });
  return schema;
}

export const schemasOf = ({ kind, summary, input, output }: Handler): ShownKind => ({
  kind,
  summary,
  input: jsonSchemaOf(input, "input"),
  output: jsonSchemaOf(output, "output"),
});
