// Checks what somebody sent, and what goes into a handler and comes out of it, against its schema, and names every wrong field. Pure.
import { z } from "zod";
import { describeIssues, type ErrorCode, KamadoError } from "../errors.ts";
import { parseSent } from "./parse-sent.ts";

/** What somebody sent as its schema reads it, whatever serializer wrote it. Throws `invalid_input` with every wrong field named. */
export function checkSent<S extends z.ZodType>(schema: S, sent: unknown): z.output<S> {
  const parsed = parseSent(schema, sent);
  if (parsed.success) return parsed.data;
  throw new KamadoError("invalid_input", describeIssues(parsed.error, parsed.value));
}

/** The same of a job's input: the fields are named as they stand in the job. */
export function checkInput(schema: z.ZodType, sent: unknown): unknown {
  const parsed = parseSent(schema, sent);
  if (parsed.success) return parsed.data;
  throw naming("input", "invalid_input", parsed.error, parsed.value);
}

/** The value as its schema reads it. Throws `output_invalid` with every wrong field named. */
export function checkOutput(schema: z.ZodType, value: unknown): unknown {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw naming("output", "output_invalid", parsed.error, value);
}

function naming(name: string, code: ErrorCode, { issues }: z.ZodError, value: unknown): KamadoError {
  const named = issues.map((issue) => ({ ...issue, path: [name, ...issue.path] }));
  return new KamadoError(code, describeIssues(new z.ZodError(named), { [name]: value }));
}
