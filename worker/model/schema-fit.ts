// Whether a value fits a schema: a handler's zod schema, or a JSON schema from a sender. Senders' schemas are compiled and checked in
// a thread (schema-thread.ts) that is ended at its limit: what a sender wrote never holds up the event loop.
import { Worker } from "node:worker_threads";
import { z } from "zod";
import { Semaphore } from "../async/semaphore.ts";
import { describeIssues, KamadoError } from "../errors.ts";
import type { Question, Reply } from "./schema-thread.ts";

const TOO_DEEP: Reply = { is: "too deep" };

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

/** Rejects with `invalid_input` when it is not a JSON schema, or one that a sender must not send. */
export async function foreignShape(foreign: JsonSchema): Promise<Shape> {
  refuseDangerous(foreign, 0);
  const { $id: _, ...whole } = foreign;
  const text = JSON.stringify(whole);
  if (Buffer.byteLength(text) > MAX_SCHEMA_BYTES) throw bad(`is longer than ${MAX_SCHEMA_BYTES} bytes`);
  const compiled = await checker.ask({ schema: text });
  if (compiled.is === "no schema") throw bad(`is not a JSON schema: ${compiled.why}`);
  const { $schema: __, ...schema } = whole;
  return {
    schema,
    async check(value) {
      const json = jsonOf(value);
      const reply = json === null ? TOO_DEEP : await checker.ask({ schema: text, value: json });
      return reply.is === "fits" ? { fits: true, value } : { fits: false, reason: reasonOf(reply) };
    },
  };
}

function reasonOf(reply: Exclude<Reply, { is: "fits" }>): string {
  if (reply.is === "too deep") return "the value is nested too deeply to be checked";
  return reply.is === "misfit" ? reply.reason : reply.why;
}

/** Null when it is nested more deeply than the stack allows. */
function jsonOf(value: unknown): string | null {
  try {
    return JSON.stringify(value);
  } catch (thrown) {
    if (thrown instanceof RangeError) return null;
    throw thrown;
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

const LIMIT_MS = 2_000;
const MAX_MEMORY_MB = 128;
const IDLE_MS = 60_000;

/** One thread for all senders, started with the first schema: most workers never see one. It answers one question at a time. */
class SchemaChecker {
  readonly #turns = new Semaphore(1);
  #thread: Promise<Worker> | undefined;
  #idle: NodeJS.Timeout | undefined;

  /** Rejects with `invalid_input` when it takes too long or too much memory. The next question gets a new thread. */
  async ask(question: Question): Promise<Reply> {
    return this.#turns.take(async () => {
      clearTimeout(this.#idle);
      this.#thread ??= start();
      const thread = await this.#thread;
      try {
        thread.ref();
        return await replyOf(thread, question);
      } catch (thrown) {
        this.#end();
        throw thrown;
      } finally {
        thread.unref();
        this.#idle = setTimeout(() => this.#end(), IDLE_MS).unref();
      }
    });
  }

  #end(): void {
    void this.#thread?.then((thread) => thread.terminate());
    this.#thread = undefined;
  }
}

const checker = new SchemaChecker();

async function start(): Promise<Worker> {
  const thread = new Worker(new URL("./schema-thread.ts", import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: MAX_MEMORY_MB },
  });
  // An idle thread must not end the process with its error; whoever asks next is told.
  thread.on("error", () => {});
  await new Promise((ready) => thread.once("message", ready).once("exit", ready));
  return thread;
}

async function replyOf(thread: Worker, question: Question): Promise<Reply> {
  const { promise, resolve, reject } = Promise.withResolvers<Reply>();
  const timer = setTimeout(() => reject(bad("takes too long to check")), LIMIT_MS);
  const onExit = () => reject(bad("takes too much memory to check"));
  thread.once("message", resolve).once("exit", onExit);
  thread.postMessage(question);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    thread.off("message", resolve).off("exit", onExit);
  }
}

const bad = (what: string) => new KamadoError("invalid_input", `schema: it ${what}.`);
