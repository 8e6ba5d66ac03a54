// Whether a value fits a JSON schema from outside. Schemas are compiled and checked in a thread (check-thread.ts) that is ended at its
// limit: what a sender wrote never holds up the event loop.
import { Worker } from "node:worker_threads";
import { Semaphore } from "../async/semaphore.ts";
import { KamadoError } from "../errors.ts";
import type { Question, Reply } from "./check-thread.ts";

const TOO_DEEP: Reply = { is: "too deep" };

/** Undefined when it fits, else why not. Rejects with `invalid_input` when that takes too long or too much memory. */
export async function misfit(schema: string, value: unknown): Promise<string | undefined> {
  const json = jsonOf(value);
  const reply = json === null ? TOO_DEEP : await checker.ask({ schema, value: json });
  return reply.is === "fits" ? undefined : reasonOf(reply);
}

/** Rejects with `invalid_input` when it is not a JSON schema. */
export async function checkSchema(schema: string): Promise<void> {
  const compiled = await checker.ask({ schema });
  if (compiled.is === "no schema") throw badSchema(`is not a JSON schema: ${compiled.why}`);
}

export const badSchema = (what: string) => new KamadoError("invalid_input", `schema: it ${what}.`);

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
  const thread = new Worker(new URL("./check-thread.ts", import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: MAX_MEMORY_MB },
  });
  // An idle thread must not end the process with its error; whoever asks next is told.
  thread.on("error", () => {});
  await new Promise((ready) => thread.once("message", ready).once("exit", ready));
  return thread;
}

async function replyOf(thread: Worker, question: Question): Promise<Reply> {
  const { promise, resolve, reject } = Promise.withResolvers<Reply>();
  const timer = setTimeout(() => reject(badSchema("takes too long to check")), LIMIT_MS);
  const onExit = () => reject(badSchema("takes too much memory to check"));
  thread.once("message", resolve).once("exit", onExit);
  thread.postMessage(question);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    thread.off("message", resolve).off("exit", onExit);
  }
}
