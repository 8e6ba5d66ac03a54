// The way to one running llama-server over HTTP: JSON, and answers that come piece by piece. Its errors become ours here.
import { Agent, type IncomingMessage, request } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { KamadoError } from "../../../errors.ts";
import { tooLong } from "../../generation/backend.ts";
import { NO_PARSER } from "./request.ts";
import { dataIn } from "./stream.ts";

type Method = "GET" | "POST";

export class Client {
  readonly #port: number;
  readonly #key: string;
  // A connection that is kept open keeps one of the server's few threads for seconds.
  readonly #agent = new Agent({ keepAlive: false });

  constructor(port: number, key: string) {
    this.#port = port;
    this.#key = key;
  }

  async post<T>(path: string, body: object, signal?: AbortSignal): Promise<T> {
    return JSON.parse(await textOf(await this.#ask("POST", path, JSON.stringify(body), signal)));
  }

  async get(path: string, signal?: AbortSignal): Promise<string> {
    return textOf(await this.#ask("GET", path, undefined, signal));
  }

  /** Leaving the loop closes the connection, which frees the slot at once. */
  async *stream(path: string, body: object, signal: AbortSignal): AsyncGenerator<unknown> {
    const answer = await this.#ask("POST", path, JSON.stringify(body), signal);
    try {
      let rest = "";
      for await (const chunk of answer) {
        const blocks = (rest + chunk).split("\n\n");
        rest = blocks.pop()!;
        for (const block of blocks) {
          const data = dataIn(block);
          if (data === undefined) continue;
          const { error } = data as { error?: ServerError };
          if (error) throw asOurs(error.code ?? 500, error);
          yield data;
        }
      }
    } catch (thrown) {
      throw thrown instanceof KamadoError ? thrown : lost(thrown, signal);
    } finally {
      answer.destroy();
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #ask(method: Method, path: string, body?: string, signal?: AbortSignal): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    if (signal?.aborted) reject(signal.reason);
    const asked = request({
      host: "127.0.0.1",
      port: this.#port,
      method,
      path,
      agent: this.#agent,
      headers: { authorization: `Bearer ${this.#key}`, "content-type": "application/json" },
      ...(signal && { signal }),
    });
    // Always heard: an answer that is cut off tells it here as well.
    asked.on("error", (error) => reject(unheard(error, signal)));
    asked.once("response", (answer) => {
      answer.setEncoding("utf8");
      if (answer.statusCode === 200) return resolve(answer);
      textOf(answer).then((text) => reject(asOurs(answer.statusCode!, errorIn(text))), reject);
    });
    asked.end(body);
    return promise;
  }
}

async function textOf(answer: IncomingMessage): Promise<string> {
  try {
    let text = "";
    for await (const chunk of answer) text += chunk;
    return text;
  } catch (thrown) {
    throw lost(thrown);
  }
}

/** A connection that broke: the client went away, or llama-server did. */
function lost(cause: unknown, signal?: AbortSignal): unknown {
  if (signal?.aborted) return signal.reason;
  const message = "llama-server ended while it answered; it is being started again.";
  return new KamadoError("engine_died", message, { cause, detail: { retryAfterMs: 1_000 } });
}

/** It ended before it had begun with the request, so that the request is not why. */
class Unheard extends KamadoError {}
export const isUnheard = (thrown: unknown) => thrown instanceof Unheard;

function unheard(cause: unknown, signal?: AbortSignal): unknown {
  if (signal?.aborted) return signal.reason;
  const message = "llama-server ended before it could answer; it is being started again.";
  return new Unheard("engine_unavailable", message, { cause, detail: { retryAfterMs: 1_000 } });
}

export function unavailable(message: string, cause?: unknown): KamadoError {
  return new KamadoError("engine_unavailable", message, { cause, detail: { retryAfterMs: 1_000 } });
}

type ServerError = {
  code?: number;
  message?: string;
  type?: string;
  n_prompt_tokens?: number;
  n_ctx?: number;
};

function errorIn(text: string): ServerError {
  try {
    return JSON.parse(text).error ?? {};
  } catch {
    return {};
  }
}

function asOurs(status: number, error: ServerError): KamadoError {
  const { message = `status ${status}`, type, n_prompt_tokens: tokens = 0, n_ctx: room = 0 } = error;
  if (type === "exceed_context_size_error") return tooLong(tokens, room);
  // What a client sent was checked before: this is between the two of us.
  if (status < 500) return new KamadoError("engine_rejected", `llama-server refuses the request: ${message}`);
  return unavailable(`llama-server failed: ${message}`);
}

// One llama-server that serves, as this side knows it: where it is and what it says about itself when it first answers.
export type Server = {
  client: Client;
  /** What stands for a picture in its prompts. */
  marker: string;
  template: string;
  /** of one slot */
  contextSize: number;
  /** Goes with every completion. */
  always: object;
  /** Fires when it has ended. */
  down: AbortSignal;
};
/** One token, at most: of any model. */
const UNDERSTOOD_MS = 60_000;

/** Undefined while it does not serve yet: while it loads it answers 503, before that not at all. */
export async function greet(client: Client, down: AbortSignal): Promise<Server | undefined> {
  const props = await client.get("/props", down).catch(() => undefined);
  if (props === undefined) return undefined;
  return { client, down, always: await understood(client, NO_PARSER, down), ...factsOf(props) };
}

/** The fields, if a completion with them is not refused. */
async function understood(client: Client, fields: object, down: AbortSignal): Promise<object> {
  const body = { prompt: "a", n_predict: 0, cache_prompt: false, ...fields };
  const signal = AbortSignal.any([down, AbortSignal.timeout(UNDERSTOOD_MS)]);
  return client.post("/completion", body, signal).then(
    () => fields,
    () => ({}),
  );
}

function factsOf(props: string): Pick<Server, "marker" | "template" | "contextSize"> {
  const { media_marker, chat_template, default_generation_settings } = JSON.parse(props);
  return {
    marker: media_marker ?? "<__media__>",
    template: chat_template ?? "",
    contextSize: default_generation_settings.n_ctx,
  };
}

export async function freePort(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const server = createServer().once("error", reject);
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo;
    server.close(() => resolve(port));
  });
  return promise;
}

// How often llama-server has decoded, asked of its metrics now and then: whoever reads it gets what was known last.
const EVERY_MS = 1_000;

export class Steps {
  /** of the servers before this one */
  #before = 0;
  #now = 0;
  #askedAt = Number.NEGATIVE_INFINITY;

  count(server: () => Server): number {
    if (performance.now() - this.#askedAt > EVERY_MS) void this.#ask(server).catch(() => {});
    return this.#before + this.#now;
  }

  /** A new server counts from zero. */
  reset(): void {
    this.#before += this.#now;
    this.#now = 0;
  }

  async #ask(server: () => Server): Promise<void> {
    this.#askedAt = performance.now();
    const metrics = await server().client.get("/metrics");
    this.#now = stepsIn(metrics) ?? this.#now;
  }
}

/** From Prometheus' text; undefined when it is not told. */
export function stepsIn(metrics: string): number | undefined {
  const told = /^llamacpp:n_decode_total (\d+)/m.exec(metrics);
  return told ? Number(told[1]) : undefined;
}
