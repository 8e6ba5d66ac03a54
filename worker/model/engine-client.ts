// The engine over its OpenAI-compatible HTTP API: one request, one answer or one coded error. Any such server will do.
// What is asked, and what an answer means, is in ask.ts and decide.ts.
import type { Dispatcher } from "undici";
import { KamadoError } from "../errors.ts";
import { readWhole } from "../http/bounded-body.ts";
import { Agent } from "../http/undici.ts";
import { type ChatAnswer, readAnswer } from "./engine-answer.ts";
import { refusal, unreachable } from "./engine-errors.ts";
import type { Message } from "./prompt.ts";

export type EngineOptions = {
  /** With or without a `/v1` at its end. */
  url: string;
  token?: string | undefined;
  /** The longest wait for one answer; a job's own time limit usually comes first. [30 minutes] */
  timeoutMs?: number;
  /** Fields added to every request, for what is no standard: `{ chat_template_kwargs: { enable_thinking: false } }`. */
  extra?: Record<string, unknown>;
};

export type ChatRequest = {
  model?: string | undefined;
  messages: readonly Message[];
  max_tokens: number;
  temperature: number;
  logprobs?: boolean;
  top_logprobs?: number;
  response_format?: unknown;
  priority?: number;
};

export type Identity = { model: string | null; engine: string };
/** `slots` when the engine says how many it has. */
export type Health = { is: "ready"; slots?: number } | { is: "loading" } | { is: "down"; reason: string };

const CONNECT_MS = 5_000;
const PROBE_MS = 5_000;
const IDENTITY_MS = 60_000;

export class EngineClient {
  readonly #base: string;
  readonly #options: EngineOptions;
  readonly #agent: Agent;
  readonly #hide: HideToken;
  #identity: { value: Identity; until: number } | null = null;

  constructor(options: EngineOptions) {
    this.#base = options.url.replace(/\/+$/, "").replace(/\/v1$/, "");
    this.#options = options;
    this.#hide = hidingToken(options.token);
    const timeout = options.timeoutMs ?? 30 * 60_000;
    // An answer's headers come when the whole answer is there, so the wait for them is the wait for the model.
    this.#agent = new Agent({
      connect: { timeout: CONNECT_MS },
      headersTimeout: timeout,
      bodyTimeout: timeout,
      keepAliveTimeout: 30_000,
    });
  }

  /** An aborted request closes its connection, which is how an engine learns to free the slot. */
  async chat(request: ChatRequest, signal: AbortSignal): Promise<ChatAnswer> {
    const body = JSON.stringify({ ...request, ...this.#options.extra, stream: false });
    const { status, headers, text } = await this.#send("POST", "/v1/chat/completions", signal, body);
    if (status === 200) return readAnswer(text);
    // Another model may have been loaded meanwhile.
    if (status === 404) this.#identity = null;
    throw refusal(status, headers, text, this.#hide.inErrors);
  }

  /** Which model answers when none is named, and what runs it. Asked for once a minute; nulls when the engine does not say. */
  async identify(signal: AbortSignal): Promise<Identity> {
    if (this.#identity && this.#identity.until > performance.now()) return this.#identity.value;
    const { status, text } = await this.#send("GET", "/v1/models", signal);
    const value = { model: null, engine: new URL(this.#base).host, ...(status === 200 && firstModel(text)) };
    this.#identity = { value, until: performance.now() + IDENTITY_MS };
    return value;
  }

  /** `/health` where there is one, else whether `/v1/models` answers. Never throws. */
  async health(): Promise<Health> {
    try {
      const signal = AbortSignal.timeout(PROBE_MS);
      const { status, text } = await this.#send("GET", "/health", signal);
      if (status === 200) return { is: "ready", ...slotsIn(text) };
      if (status === 503) return { is: "loading" };
      const { status: models } = await this.#send("GET", "/v1/models", signal);
      return models === 200 ? { is: "ready" } : { is: "down", reason: `/v1/models answers ${models}` };
    } catch (thrown) {
      return { is: "down", reason: thrown instanceof Error ? thrown.message : String(thrown) };
    }
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  async #send(method: Dispatcher.HttpMethod, path: string, signal: AbortSignal, body?: string) {
    signal.throwIfAborted();
    const { token } = this.#options;
    const headers = {
      ...(body !== undefined && { "content-type": "application/json" }),
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    };
    const { origin, pathname } = new URL(this.#base);
    try {
      const answer = await this.#agent.request({
        origin,
        path: `${pathname.replace(/\/$/, "")}${path}`,
        method,
        headers,
        body: body ?? null,
        signal,
      });
      const { statusCode: status } = answer;
      const text = await textOf(answer);
      return { status, headers: answer.headers, text: status === 200 ? this.#hide.inAnswers(text) : text };
    } catch (thrown) {
      this.#identity = null;
      signal.throwIfAborted();
      throw thrown instanceof KamadoError ? thrown : unreachable(this.#base, thrown);
    }
  }
}

/** The longest answer with all of its probabilities takes less. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

async function textOf({ headers, body }: Dispatcher.ResponseData): Promise<string> {
  const tooLarge = () =>
    new KamadoError("answer_invalid", `The engine's answer is longer than ${MAX_ANSWER_BYTES} bytes.`);
  const announced = [headers["content-length"]].flat()[0];
  return (await readWhole(body, { maxBytes: MAX_ANSWER_BYTES, announced, tooLarge })).toString();
}

/** Kamado's own engine says how many answers it makes at once. */
function slotsIn(text: string): { slots?: number } {
  try {
    const total: unknown = JSON.parse(text).slots.total;
    return typeof total === "number" && Number.isInteger(total) && total > 0 ? { slots: total } : {};
  } catch {
    return {};
  }
}

function firstModel(text: string): Partial<Identity> {
  try {
    const { data } = JSON.parse(text) as { data?: { id?: unknown; owned_by?: unknown }[] };
    const { id, owned_by: engine } = data?.[0] ?? {};
    return {
      ...(typeof id === "string" && { model: id }),
      ...(typeof engine === "string" && engine !== "" && { engine }),
    };
  } catch {
    return {};
  }
}

// An engine may say the token it was sent, in an error's words or in an answer, and what it says is stored and told on. Pure.
const SHOWN = "[secret]";
/** Fewer letters stand in too many words to be taken out of them. */
const MIN_FORM = 4;
/** What is shorter may be a word like any other ("EMPTY", "lm-studio"), which an answer must be able to say. */
const MIN_IN_ANSWERS = 16;

/** Takes the token out of a text in every form it travels in; `answers` leaves alone what is hardly a secret. */
export type HideToken = { inErrors(text: string): string; inAnswers(text: string): string };

export function hidingToken(token = ""): HideToken {
  const forms = formsOf(token).filter((form) => form.length >= MIN_FORM);
  const pattern = new RegExp(forms.map(escaped).join("|") || "(?!)", "gi");
  const inErrors = (text: string) => text.replaceAll(pattern, SHOWN);
  return { inErrors, inAnswers: token.length < MIN_IN_ANSWERS ? (text) => text : inErrors };
}

function formsOf(token: string): string[] {
  const bytes = Buffer.from(token);
  const base64 = [0, 1, 2].flatMap((before) => {
    const text = insideBase64(bytes, before);
    return [text, text.replaceAll("+", "-").replaceAll("/", "_")];
  });
  const plain = [token, JSON.stringify(token).slice(1, -1), encodeURIComponent(token), bytes.toString("hex")];
  return [...plain, ...base64].toSorted((one, other) => other.length - one.length);
}

/** What of the base64 of a longer text only the token decides, so many bytes standing before it. */
function insideBase64(bytes: Buffer, before: number): string {
  const text = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64");
  const whole = Math.floor(((before + bytes.length) * 4) / 3);
  return text.slice(Math.ceil((before * 4) / 3), whole);
}

const escaped = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
