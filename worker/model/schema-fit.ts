// Whether a value fits a schema: a handler's zod schema, or a JSON schema from a sender, which is checked first. A sender's schema
// may take for ever, so it gets a moment of the event loop; what takes longer is done in a thread, up to its limit.
import { runInNewContext } from "node:vm";
import { z } from "zod";
import { Semaphore } from "../async/semaphore.ts";
import { inThread } from "../async/thread.ts";
import { describeIssues, KamadoError } from "../errors.ts";
import { ajvFor, type Fit, type JsonSchema, validatorOf } from "./json-schema.ts";
import type { Done, Work } from "./schema-thread.ts";

/** A schema in two forms: as the engine gets it, and as a check of the answer. */
export type Shape = { schema: JsonSchema; check(value: unknown): Fit | Promise<Fit> };

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
/** More than nearly all schemas need, and less than anybody notices. */
const MOMENT_MS = 25;
/** With the start of the thread. */
const THREAD_MS = 3_000;
const THREAD_MEMORY_MB = 256;
/** A crowd of such schemas waits for each other. */
const threads = new Semaphore(2);

/** Throws `invalid_input` when it is not a JSON schema, or one that a sender must not send. */
export async function foreignShape(foreign: JsonSchema): Promise<Shape> {
  refuseDangerous(foreign, 0);
  if (Buffer.byteLength(JSON.stringify(foreign)) > MAX_SCHEMA_BYTES)
    throw bad(`is longer than ${MAX_SCHEMA_BYTES} bytes`);
  const { $schema: draft, $id: _, ...schema } = foreign;
  const work: Work = { schema, draft: String(draft) };
  const compiled = compiledAtOnce(work);
  if (compiled === null) await doneInThread(work);
  return {
    schema,
    async check(value) {
      const fit = compiled && atOnce(() => compiled(value));
      if (fit) return fit;
      const done = await doneInThread({ ...work, json: JSON.stringify(value) });
      if (done.is !== "checked") throw bad("cannot be checked");
      return done.fit.fits ? { fits: true, value } : done.fit;
    },
  };
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

/** Null when it takes longer than a moment. */
function compiledAtOnce({ schema, draft }: Work): ((value: unknown) => Fit) | null {
  const ajv = ajvFor(draft);
  try {
    return atOnce(() => validatorOf(schema, ajv));
  } catch (thrown) {
    throw bad(`is not a JSON schema: ${thrown instanceof Error ? thrown.message : String(thrown)}`, thrown);
  }
}

/** Null when it takes longer than a moment, or more than the stack. A sender's `pattern` may take for ever; only the time limit of a script can end it here. */
function atOnce<T extends object>(work: () => T): T | null {
  try {
    return runInNewContext("work()", { work }, { timeout: MOMENT_MS }) as T;
  } catch (thrown) {
    const { code, name } = thrown as { code?: string; name?: string };
    // A thread has a larger stack.
    if (code === "ERR_SCRIPT_EXECUTION_TIMEOUT" || name === "RangeError") return null;
    throw thrown;
  }
}

async function doneInThread(work: Work): Promise<Done> {
  const limits = { timeoutMs: THREAD_MS, maxMemoryMb: THREAD_MEMORY_MB };
  const file = new URL("./schema-thread.ts", import.meta.url);
  const done = await threads
    .take(() => inThread<Done>(file, work, limits))
    .catch((thrown: unknown) => {
      throw bad("takes too long to check", thrown);
    });
  if (done.is === "no schema") throw bad(`is not a JSON schema: ${done.why}`);
  return done;
}

const bad = (what: string, cause?: unknown) =>
  new KamadoError("invalid_input", `schema: it ${what}.`, { cause });
