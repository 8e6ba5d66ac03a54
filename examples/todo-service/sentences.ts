// What somebody says in their own words: each sentence becomes a `todo.match` job on the queue of a Kamado. The worker sends the change to
// the REST API like any other client; what is kept here, in memory, is only what the page says about each sentence meanwhile.
import { randomUUID } from "node:crypto";
import {
  type Client,
  type ClientOptions,
  createClient,
  type Enqueued,
  KamadoError,
  type Kinds,
  type Result,
} from "kamado/client";
import { z } from "zod";
import type { Changes } from "./changes.ts";

/** As long as `todo.match` reads it. */
export const NewSentence = z.strictObject({ text: z.string().trim().min(1).max(2_000) });

type Problem = { code: string; message: string; hint: string };

export type Sentence = {
  id: string;
  text: string;
  at: string;
  /** `late`: there is no result yet, or it cannot be read. The list changes all the same when the job is done. */
  state: "waiting" | "update" | "create" | "uncertain" | "failed" | "late";
  /** Of the todo that is meant, or of the new one. */
  title?: string;
  error?: Problem;
};

export type SentenceOptions = {
  /** Where the queue is. Throws what to do about it when there is none; asked anew each time, because a Kamado may start later. */
  findQueue(): Promise<ClientOptions>;
  /** Of this service, without a path. */
  url(): string;
  changes: Changes;
  signal: AbortSignal;
  /** How long a result is waited for. [900] */
  waitSeconds?: number;
};

const KEPT = 20;
const WAIT_SECONDS = 900;

export class Sentences {
  readonly #options: SentenceOptions;
  #all: Sentence[] = [];
  readonly #running = new Set<Promise<void>>();

  constructor(options: SentenceOptions) {
    this.#options = options;
  }

  /** The newest first. */
  list(): readonly Sentence[] {
    return this.#all;
  }

  /** Why no sentence can be sent now; null when one can. */
  async problem(): Promise<Problem | null> {
    return this.#options.findQueue().then(() => null, problemOf);
  }

  /** Puts the job on the queue. Throws a KamadoError when it cannot. */
  async say(text: string): Promise<Sentence> {
    const client = createClient(await this.#options.findQueue());
    const url = `${this.#options.url()}/todos`;
    try {
      const input = { text, todosUrl: `${url}?status=open` };
      const job = await client.enqueue("todo.match", input, {
        id: `todo-${randomUUID()}`,
        deliver: [{ rest: url }],
      });
      const sentence: Sentence = { id: job.id, text, at: new Date().toISOString(), state: "waiting" };
      this.#all = [sentence, ...this.#all].slice(0, KEPT);
      this.#options.changes.tell();
      this.#inBackground(this.#follow(job, client).finally(() => client.close()));
      return sentence;
    } catch (thrown) {
      client.close();
      throw thrown;
    }
  }

  forget(id: string): boolean {
    const before = this.#all.length;
    this.#all = this.#all.filter((one) => one.id !== id);
    if (this.#all.length < before) this.#options.changes.tell();
    return this.#all.length < before;
  }

  /** Resolves when nothing is waited for any more, after the signal has fired. */
  async stopped(): Promise<void> {
    await Promise.all(this.#running);
  }

  #inBackground(work: Promise<void>): void {
    const tracked = work.finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
  }

  async #follow(job: Enqueued<"todo.match">, client: Client): Promise<void> {
    const { signal, waitSeconds: timeoutSeconds = WAIT_SECONDS } = this.#options;
    const outcome = await client.wait(job, { timeoutSeconds, signal }).then(outcomeOf, lateOf);
    if (signal.aborted) return;
    this.#all = this.#all.map((one) => (one.id === job.id ? { ...one, ...outcome } : one));
    this.#options.changes.tell();
  }
}

type Outcome = Pick<Sentence, "state" | "title" | "error">;

function outcomeOf({ output, error }: Result<Kinds, "todo.match">): Outcome {
  if (error) return { state: "failed", error: { ...error, hint: error.hint ?? "" } };
  return output === undefined ? { state: "late" } : { state: output.action, title: output.title };
}

/** The job is on the queue whatever becomes of the waiting. */
function lateOf(thrown: unknown): Outcome {
  const isKnown = thrown instanceof KamadoError && thrown.code !== "result_not_ready";
  return { state: "late", ...(isKnown && { error: problemOf(thrown) }) };
}

export function problemOf(thrown: unknown): Problem {
  if (!(thrown instanceof KamadoError)) throw thrown;
  const { code, message, hint } = thrown;
  return { code, message, hint };
}
