// The HTTP client of one running llama-server. It owns the connection, the stream of an answer and the errors that the server's
// become, what the server says about itself when it is ready, and the count of its steps. The body of a request is left to
// request.ts, the events of a stream to stream.ts, starting the server to process.ts.
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
  // An open connection occupies one of the server's few threads for seconds.
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

  /** To leave the loop closes the connection, which frees the slot at once. */
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
      throw thrown instanceof KamadoError ? thrown : brokenOff(thrown, signal);
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
    // It may work on the request from the moment it has all of it, and answers much later: it evaluates the prompt before.
    let isSent = false;
    asked.once("finish", () => {
      isSent = true;
    });
    // On, not once: an answer that breaks off causes an error here too.
    asked.on("error", (error) => reject(isSent ? brokenOff(error, signal) : notReceived(error, signal)));
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
    throw brokenOff(thrown);
  }
}

/** The error for a request that was sent: the client went away, or llama-server ended, and the request may be the cause. */
function brokenOff(cause: unknown, signal?: AbortSignal): unknown {
  if (signal?.aborted) return signal.reason;
  const message = "llama-server ended while it answered; it is being started again.";
  return new KamadoError("engine_died", message, { cause, detail: { retryAfterMs: 1_000 } });
}

/** llama-server ended before it received the whole request, so the request cannot be the cause. */
class NotReceived extends KamadoError {}
export const wasNotReceived = (thrown: unknown) => thrown instanceof NotReceived;
/** Whether llama-server ended, before it received the request or while it worked on it. */
export const hasEnded = (thrown: unknown) =>
  wasNotReceived(thrown) || (thrown instanceof KamadoError && thrown.code === "engine_died");

function notReceived(cause: unknown, signal?: AbortSignal): unknown {
  if (signal?.aborted) return signal.reason;
  const message = "llama-server ended before it could answer; it is being started again.";
  return new NotReceived("engine_unavailable", message, { cause, detail: { retryAfterMs: 1_000 } });
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
  // The client's request was checked before, so this is a fault between Kamado and llama-server.
  if (status < 500) return new KamadoError("engine_rejected", `llama-server refused the request: ${message}`);
  return unavailable(`llama-server failed: ${message}`);
}

/** One llama-server that is ready. */
export type Server = {
  client: Client;
  /** Marks the place of a picture in its prompts. */
  marker: string;
  template: string;
  /** of one slot, in tokens */
  contextSize: number;
  /** fields that go with every completion */
  always: object;
  /** Fires when the server has ended. */
  down: AbortSignal;
};
/** Enough for one token of any model. */
const ACCEPT_MS = 60_000;

/** Undefined while the server is not ready: it answers 503 while it loads, and nothing before that. */
export async function connect(client: Client, down: AbortSignal): Promise<Server | undefined> {
  const props = await client.get("/props", down).catch(() => undefined);
  if (props === undefined) return undefined;
  return { client, down, always: await acceptedFields(client, NO_PARSER, down), ...factsOf(props) };
}

/** The fields, if the server does not refuse a completion with them. */
async function acceptedFields(client: Client, fields: object, down: AbortSignal): Promise<object> {
  const body = { prompt: "a", n_predict: 0, cache_prompt: false, ...fields };
  const signal = AbortSignal.any([down, AbortSignal.timeout(ACCEPT_MS)]);
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

const STEPS_EVERY_MS = 1_000;

/** Counts llama-server's steps. Its metrics are read at most once a second; `count` returns what was read last. */
export class StepCounter {
  /** of earlier servers */
  #before = 0;
  #now = 0;
  #askedAt = Number.NEGATIVE_INFINITY;

  count(server: () => Server): number {
    if (performance.now() - this.#askedAt > STEPS_EVERY_MS) void this.#read(server).catch(() => {});
    return this.#before + this.#now;
  }

  /** A new server has started; it counts from zero. */
  reset(): void {
    this.#before += this.#now;
    this.#now = 0;
  }

  async #read(server: () => Server): Promise<void> {
    this.#askedAt = performance.now();
    const metrics = await server().client.get("/metrics");
    this.#now = stepsIn(metrics) ?? this.#now;
  }
}

/** From Prometheus's text format. Undefined when it is not there. */
export function stepsIn(metrics: string): number | undefined {
  const found = /^llamacpp:n_decode_total (\d+)/m.exec(metrics);
  return found ? Number(found[1]) : undefined;
}
