// Whether a value fits a schema: a handler's zod schema, or a JSON schema that came from outside and is itself checked
// first. Pure but for the time it may take, which is bounded.
import { createRequire } from "node:module";
import { runInNewContext } from "node:vm";
import type { Options } from "ajv";
import { z } from "zod";
import { describeIssues, KamadoError } from "../errors.ts";

export type JsonSchema = Record<string, unknown>;
export type Fit = { fits: true; value: unknown } | { fits: false; reason: string };
/** A schema as the engine is told it, and as an answer is held against it. */
export type Shape = { schema: JsonSchema; check(value: unknown): Fit };

export function zodShape(type: z.ZodType): Shape {
  // The model writes what the schema takes in; what transforms make of it is ours.
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
const CHECK_MS = 1_000;
const AJV: Options = {
  strict: false,
  validateFormats: false,
  inlineRefs: false,
  logger: false,
};

// Most workers never see a JSON schema from outside; what reads them is loaded with the first.
const require = createRequire(import.meta.url);
const ajvFor = (draft: string) =>
  /draft-0[467]/.test(draft)
    ? new (require("ajv") as typeof import("ajv")).Ajv(AJV)
    : new (require("ajv/dist/2020.js") as typeof import("ajv/dist/2020.js")).Ajv2020(AJV);

/** Throws `invalid_input` when the schema is none, or none that a stranger should be able to send. */
export function foreignShape(foreign: JsonSchema): Shape {
  refuseStrange(foreign, 0);
  if (Buffer.byteLength(JSON.stringify(foreign)) > MAX_SCHEMA_BYTES)
    throw bad(`is longer than ${MAX_SCHEMA_BYTES} bytes`);
  const { $schema: draft, $id: _, ...schema } = foreign;
  const ajv = ajvFor(String(draft));
  // Makes what all schemas are checked with: on a busy machine it takes long, which is no fault of this one.
  ajv.validateSchema({});
  const validate = compile(() => ajv.compile(schema));
  return {
    schema,
    check(value) {
      if (inTime(() => validate(value))) return { fits: true, value };
      return {
        fits: false,
        reason: ajv.errorsText(validate.errors?.slice(0, 5) ?? [], { dataVar: "the value" }),
      };
    },
  };
}

function compile<T>(work: () => T): T {
  try {
    return inTime(work);
  } catch (thrown) {
    if (thrown instanceof KamadoError) throw thrown;
    throw bad(`is no JSON schema: ${thrown instanceof Error ? thrown.message : String(thrown)}`, thrown);
  }
}

function refuseStrange(value: unknown, depth: number): void {
  if (depth > MAX_SCHEMA_DEPTH) throw bad(`is nested deeper than ${MAX_SCHEMA_DEPTH}`);
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (/^\$(ref|dynamicRef|recursiveRef)$/.test(key) && typeof inner === "string" && !inner.startsWith("#"))
      throw bad("refers to another document; only references that begin with # are followed");
    refuseStrange(inner, depth + 1);
  }
}

/** A stranger's `pattern` may take for ever on the wrong text; a script's time limit ends even that. */
function inTime<T>(work: () => T): T {
  try {
    return runInNewContext("work()", { work }, { timeout: CHECK_MS }) as T;
  } catch (thrown) {
    if ((thrown as { code?: string }).code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw thrown;
    throw bad("takes too long to check", thrown);
  }
}

const bad = (what: string, cause?: unknown) =>
  new KamadoError("invalid_input", `schema: it ${what}.`, { cause });
