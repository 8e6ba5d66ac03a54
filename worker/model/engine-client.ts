// The client of any server with an OpenAI-compatible HTTP API: one request, then one answer or one error with a code. What is
// asked is decided in ask.ts and decide.ts; what an answer means, in engine-answer.ts.
import type { Dispatcher } from "undici";
import { KamadoError } from "../errors.ts";
import { readWhole } from "../http/bounded-body.ts";
import { Agent } from "../http/undici.ts";
import type { ApiRequest } from "../job/handler.ts";
import { withoutHalves } from "../job/json.ts";
import { type TraceFields, traceFields } from "../job/trace-context.ts";
import {
  type ChatAnswer,
  type Completed,
  needsModel,
  readAnswer,
  readCompleted,
  refusal,
  unreachable,
  withoutModel,
  wrongModel,
} from "./engine-answer.ts";
import { hasPictures, type Message } from "./prompt.ts";

export type EngineOptions = {
  /** May end with `/v1`. */
  url: string;
  token?: string | undefined;
  /** The model to ask for where a job names none. Without it, the one that the server lists, or the server's own choice. */
  model?: string | undefined;
  /** The longest wait for one answer; the job's own time limit usually ends it earlier. [30 minutes] */
  timeoutMs?: number;
  /** Non-standard fields for every request: `{ chat_template_kwargs: { enable_thinking: false } }`. */
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
  /** False: our own engine leaves the check of an answer to us. */
  check_schema?: false;
};

/** Sends one request of a job. Which model it goes to and with which priority follows from the job. */
export type Chat = (request: Omit<ChatRequest, "model" | "priority" | "check_schema">) => Promise<ChatAnswer>;

type Posted = { url: ApiRequest["url"]; body: object; pictures: boolean };

/** `model`: the one to ask for; null where the server is left to choose, because it lists none, or several. */
export type Identity = { model: string | null; engine: string };
/** `slots`: how many answers the engine generates at once, where it says so. */
/** `reason`: words for the end of a sentence. */
export type Health = { is: "ready"; slots?: number } | { is: "loading" } | { is: "down"; reason: string };

const CONNECT_MS = 5_000;
const PROBE_MS = 5_000;
const IDENTITY_MS = 60_000;
/** The server has no such address. */
const HAS_NO_LIST = [404, 405, 501];

export class EngineClient {
  readonly #base: string;
  readonly #options: EngineOptions;
  readonly #agent: Agent;
  readonly #removeToken: RemoveToken;
  #slots: number | undefined;
  #identity: { value: Identity; until: number } | null = null;
  #listed: readonly string[] = [];
  /** The only model that the server lists, once it has refused a request without one. */
  #needed: string | undefined;

  constructor(options: EngineOptions) {
    this.#base = options.url.replace(/\/+$/, "").replace(/\/v1$/, "");
    this.#options = options;
    this.#removeToken = removeToken(options.token);
    const timeout = options.timeoutMs ?? 30 * 60_000;
    // The headers come with the finished answer, so to wait for them is to wait for the model.
    this.#agent = new Agent({
      connect: { timeout: CONNECT_MS },
      headersTimeout: timeout,
      bodyTimeout: timeout,
    });
  }

  /** An aborted request closes its connection; that is how the engine learns that it can free the slot. `trace`: in which the request is made. */
  async chat(request: ChatRequest, signal: AbortSignal, trace: TraceFields = {}): Promise<ChatAnswer> {
    const model = request.model ?? this.#needed;
    try {
      return await this.#ask({ ...request, ...(model !== undefined && { model }) }, signal, trace);
    } catch (thrown) {
      if (model !== undefined || !(thrown instanceof KamadoError) || !needsModel(thrown)) throw thrown;
      const [only, ...others] = this.#listed;
      if (only === undefined || others.length > 0) throw withoutModel(thrown, this.#listed);
      this.#needed = only;
      return this.#ask({ ...request, model: only }, signal, trace);
    }
  }

  async #ask(request: ChatRequest, signal: AbortSignal, trace: TraceFields): Promise<ChatAnswer> {
    const pictures = hasPictures(request.messages);
    const posted: Posted = { url: "/v1/chat/completions", body: request, pictures };
    return readAnswer(await this.#post(posted, signal, trace));
  }

  /** The whole answer to a request that somebody else wrote. */
  async complete(
    { url, body }: ApiRequest,
    signal: AbortSignal,
    trace: TraceFields = {},
  ): Promise<Completed> {
    return readCompleted(await this.#post({ url, body, pictures: false }, signal, trace));
  }

  async #post(
    { url, body: fields, pictures }: Posted,
    signal: AbortSignal,
    trace: TraceFields,
  ): Promise<string> {
    // Strict servers refuse half of a UTF-16 pair, as a text has that was cut inside an emoji.
    const body = withoutHalves(JSON.stringify({ ...fields, ...this.#options.extra, stream: false }));
    const { status, headers, text } = await this.#send("POST", url, signal, body, trace);
    if (status === 200) return text;
    // The engine may have loaded another model meanwhile.
    if (status === 404) this.#identity = null;
    const refused = refusal(status, headers, text, this.#removeToken.fromErrors, { pictures });
    throw refused.code === "model_not_loaded" ? wrongModel(refused, this.#listed) : refused;
  }

  /**
   * The model to ask for, and the engine's name. Asked once a minute; what could not be learned is asked again. Throws an error with
   * which the job is tried again if the engine does not say it now: a request without the model or the priority could fail for good, or
   * go before others.
   */
  async identify(signal: AbortSignal): Promise<Identity> {
    if (this.#identity && this.#identity.until > performance.now()) return this.#identity.value;
    const { status, headers, text } = await this.#askModels(signal);
    const hasNoList = HAS_NO_LIST.includes(status);
    if (status !== 200 && !hasNoList) {
      const refused = refusal(status, headers, text, this.#removeToken.fromErrors);
      if (refused.retry) throw refused;
    }
    const listed = status === 200 ? modelsIn(text) : [];
    const value = {
      model: this.#options.model ?? servedModel(listed) ?? null,
      engine: listed[0]?.owner ?? new URL(this.#base).host,
    };
    this.#listed = listed.map(({ id }) => id);
    if (listed.length > 0 || hasNoList) this.#identity = { value, until: performance.now() + IDENTITY_MS };
    return value;
  }

  /** How many answers the engine generates at once, as it said last. */
  get slots(): number | undefined {
    return this.#slots;
  }

  /** A connection that breaks here cannot have been broken by a job. */
  async #askModels(signal: AbortSignal) {
    try {
      return await this.#send("GET", "/v1/models", signal);
    } catch (thrown) {
      if (!(thrown instanceof KamadoError) || thrown.code !== "engine_died") throw thrown;
      throw new KamadoError("engine_unavailable", thrown.message, { cause: thrown });
    }
  }

  /** Asks `/health`; where there is none, whether `/v1/models` answers. Never throws. */
  async health(): Promise<Health> {
    try {
      const signal = AbortSignal.timeout(PROBE_MS);
      const { status, text } = await this.#send("GET", "/health", signal);
      if (status === 200) {
        const { slots } = slotsIn(text);
        this.#slots = slots;
        return { is: "ready", ...(slots !== undefined && { slots }) };
      }
      if (status === 503) return { is: "loading" };
      const { status: models } = await this.#send("GET", "/v1/models", signal);
      return models === 200 ? { is: "ready" } : { is: "down", reason: `/v1/models answers ${models}` };
    } catch (thrown) {
      if ((thrown as Error | null)?.name === "TimeoutError")
        return { is: "down", reason: `no answer within ${PROBE_MS / 1_000} s` };
      const message = thrown instanceof Error ? thrown.message : String(thrown);
      return { is: "down", reason: message.replace(/\.$/, "") };
    }
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  async #send(
    method: Dispatcher.HttpMethod,
    path: string,
    signal: AbortSignal,
    body?: string,
    trace: TraceFields = {},
  ) {
    signal.throwIfAborted();
    const { token } = this.#options;
    const headers = {
      ...(body !== undefined && { "content-type": "application/json" }),
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...traceFields(trace),
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
        // A connection is used once. An engine may close an idle one just when the next request is sent on it, and that would look as
        // if it had died of the request.
        reset: true,
      });
      const { statusCode: status } = answer;
      const text = await textOf(answer);
      return {
        status,
        headers: answer.headers,
        text: status === 200 ? this.#removeToken.fromAnswers(text) : text,
      };
    } catch (thrown) {
      this.#identity = null;
      signal.throwIfAborted();
      throw thrown instanceof KamadoError ? thrown : unreachable(this.#base, thrown);
    }
  }
}

/** More than the longest answer with all of its probabilities. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

async function textOf({ headers, body }: Dispatcher.ResponseData): Promise<string> {
  const tooLarge = () =>
    new KamadoError("answer_invalid", `The engine's answer is longer than ${MAX_ANSWER_BYTES} bytes.`);
  const announced = [headers["content-length"]].flat()[0];
  return (await readWhole(body, { maxBytes: MAX_ANSWER_BYTES, announced, tooLarge })).toString();
}

/** Kamado's own engine reports its slots. */
function slotsIn(text: string): { slots?: number } {
  try {
    const total: unknown = JSON.parse(text).slots.total;
    return typeof total === "number" && Number.isInteger(total) && total > 0 ? { slots: total } : {};
  } catch {
    return {};
  }
}

type Listed = { id: string; owner: string | undefined };

function modelsIn(text: string): Listed[] {
  try {
    const { data } = JSON.parse(text) as { data?: { id?: unknown; owned_by?: unknown }[] };
    return (data ?? []).flatMap(({ id, owned_by: owner }) =>
      typeof id === "string"
        ? [{ id, owner: typeof owner === "string" && owner !== "" ? owner : undefined }]
        : [],
    );
  } catch {
    return [];
  }
}

/** LM Studio lists its models for embeddings among the others, and has one from the start. */
const EMBEDS = /^text-embedding-/;

/**
 * The only one in the list that writes text. A server that lists several lists what it could load, not what it runs, and would load what is asked for.
 * Such a list may happen to have one entry; mlx-lm's, of what was downloaded, has no owners.
 */
function servedModel(listed: readonly Listed[]): string | undefined {
  const [only, ...others] = listed.filter(({ id }) => !EMBEDS.test(id));
  return others.length === 0 && only?.owner !== undefined ? only.id : undefined;
}

// An engine may repeat the token it was sent, in an error or in an answer. Both are stored and delivered, so the token is
// removed from them.
const SHOWN = "[secret]";
/** A shorter form of the token occurs inside ordinary words, so it is not looked for. */
const MIN_FORM = 4;
/** A shorter token may be an ordinary word ("EMPTY", "lm-studio") that an answer must be able to contain. */
const MIN_IN_ANSWERS = 16;

type RemoveToken = { fromErrors(text: string): string; fromAnswers(text: string): string };

/** Removes the token in every encoding in which it may travel. */
export function removeToken(token = ""): RemoveToken {
  const forms = encodingsOf(token).filter((form) => form.length >= MIN_FORM);
  const pattern = new RegExp(forms.map(escaped).join("|") || "(?!)", "gi");
  const fromErrors = (text: string) => text.replaceAll(pattern, SHOWN);
  return { fromErrors, fromAnswers: token.length < MIN_IN_ANSWERS ? (text) => text : fromErrors };
}

/** The token itself, in JSON, in a URL, in hex and in base64, the longest form first. */
function encodingsOf(token: string): string[] {
  const bytes = Buffer.from(token);
  const base64 = [0, 1, 2].flatMap((before) => {
    const text = insideBase64(bytes, before);
    return [text, text.replaceAll("+", "-").replaceAll("/", "_")];
  });
  const plain = [token, JSON.stringify(token).slice(1, -1), encodeURIComponent(token), bytes.toString("hex")];
  return [...plain, ...base64].toSorted((one, other) => other.length - one.length);
}

/** The characters that depend on the token alone when base64 encodes it with `before` bytes in front of it. */
function insideBase64(bytes: Buffer, before: number): string {
  const text = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64");
  const whole = Math.floor(((before + bytes.length) * 4) / 3);
  return text.slice(Math.ceil((before * 4) / 3), whole);
}

const escaped = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
