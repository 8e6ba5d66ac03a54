// Whether a value fits a schema: a handler's zod schema, or a JSON schema from a sender, which is checked first. A check has a
// time limit.
import { createRequire } from "node:module";
import { runInNewContext } from "node:vm";
import type { Options } from "ajv";
import { z } from "zod";
import { describeIssues, KamadoError } from "../errors.ts";
import { printable } from "../printable.ts";

export type JsonSchema = Record<string, unknown>;
export type Fit = { fits: true; value: unknown } | { fits: false; reason: string };
/** A schema in two forms: as the engine gets it, and as a check of the answer. */
export type Shape = { schema: JsonSchema; check(value: unknown): Fit };

export function zodShape(type: z.ZodType): Shape {
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
const CHECK_MS = 1_000;
const AJV: Options = {
  strict: false,
  validateFormats: false,
  inlineRefs: false,
  logger: false,
};

// Loaded with the first JSON schema from a sender: most workers never see one.
const require = createRequire(import.meta.url);
const ajvFor = (draft: string) =>
  /draft-0[467]/.test(draft)
    ? new (require("ajv") as typeof import("ajv")).Ajv(AJV)
    : new (require("ajv/dist/2020.js") as typeof import("ajv/dist/2020.js")).Ajv2020(AJV);

/** Throws `invalid_input` when it is not a JSON schema, or one that a sender must not send. */
export function foreignShape(foreign: JsonSchema): Shape {
  refuseDangerous(foreign, 0);
  if (Buffer.byteLength(JSON.stringify(foreign)) > MAX_SCHEMA_BYTES)
    throw bad(`is longer than ${MAX_SCHEMA_BYTES} bytes`);
  const { $schema: draft, $id: _, ...schema } = foreign;
  const ajv = ajvFor(String(draft));
  // Compiles ajv's own schema first, outside the time limit: on a busy machine that takes long.
  ajv.validateSchema({});
  const validate = compile(() => ajv.compile(schema));
  return {
    schema,
    check(value) {
      if (inTime(() => validate(value))) return { fits: true, value };
      return {
        fits: false,
        reason: printable(ajv.errorsText(validate.errors?.slice(0, 5) ?? [], { dataVar: "the value" })),
      };
    },
  };
}

function compile<T>(work: () => T): T {
  try {
    return inTime(work);
  } catch (thrown) {
    if (thrown instanceof KamadoError) throw thrown;
    throw bad(`is not a JSON schema: ${thrown instanceof Error ? thrown.message : String(thrown)}`, thrown);
  }
}

function refuseDangerous(value: unknown, depth: number): void {
  if (depth > MAX_SCHEMA_DEPTH) throw bad(`is nested deeper than ${MAX_SCHEMA_DEPTH}`);
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (/^\$(ref|dynamicRef|recursiveRef)$/.test(key) && typeof inner === "string" && !inner.startsWith("#"))
      throw bad("refers to another document; only references that begin with # are followed");
    refuseDangerous(inner, depth + 1);
  }
}

/** A sender's `pattern` may take for ever on certain texts; only the time limit of a script can end it. */
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
