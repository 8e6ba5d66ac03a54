// What a server can do of what not all servers can: follow a JSON schema, and tell probabilities. A request first asks for the most, in a
// way that costs as little as possible where the server does less: at most one request of a server is for nothing. When the server refuses
// the field, or ignores it, the wish goes out in a lesser form from then on. What was learned holds for this server and model as long as the
// worker runs. What the words of a refusal mean is in engine-answer.ts.
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { RecentMap } from "../async/recent-map.ts";
import { KamadoError } from "../errors.ts";
import type { ChatAnswer } from "./engine-answer.ts";
import type { ChatRequest } from "./engine-client.ts";
import { type Message, schemaInWords } from "./prompt.ts";
import { readJson, withoutThoughts } from "./read-json.ts";
import type { JsonSchema } from "./schema-fit.ts";

type Send = (request: ChatRequest) => Promise<ChatAnswer>;
/**
 * `engine`: what the server calls itself. `isOwn`: Kamado's own engine, which says exactly what it refuses, request by request: nothing is
 * learned about it in general.
 */
type Asking = { engine: string; isOwn: boolean; signal: AbortSignal };

/** How a schema is asked for: as `json_schema`; then as `json_object` with the schema beside it and in words; then in words alone. */
const BY_SCHEMA = 0;
const AS_OBJECT = 1;
const IN_WORDS = 2;
/**
 * A server may ignore `json_schema`. So the schema stands in the prompt as well, and the answer is of use all the same. A long one would
 * take the room of the input.
 */
const MOST_IN_PROMPT = 4_000;
/** How many alternatives to a token are asked for. A refusal that names no limit leads to the last at once. */
const TOPS = [20, 10, 5];

type Known = {
  schema: number;
  /** The server enforces schemas. So if it refuses one, the fault is that schema's. */
  enforces: boolean;
  /** It is known to do so, so it needs no words for one. */
  needsNoWords: boolean;
  top: number;
  /** The server gives no probabilities. */
  noLogprobs: KamadoError | undefined;
};
const NOTHING_KNOWN: Known = {
  schema: BY_SCHEMA,
  enforces: false,
  needsNoWords: false,
  top: TOPS[0]!,
  noLogprobs: undefined,
};
const ENFORCES = { ...NOTHING_KNOWN, enforces: true, needsNoWords: true };
/** What is known of servers before they are asked, by their `owned_by`. llama-cpp-python ("me") enforces a schema only in `json_object`. */
const KNOWN_SERVERS = new Map<string, Known>([
  ["llamacpp", ENFORCES],
  ["vllm", ENFORCES],
  ["me", { ...NOTHING_KNOWN, schema: AS_OBJECT }],
]);

/** A job can name any model and bring any schema, so only the last ones are remembered. */
const MOST_MODELS = 100;
const MOST_SCHEMAS = 1_000;

export class Capabilities {
  readonly #models = new RecentMap<string, Known>(MOST_MODELS);
  /** Schemas that a server refused although it takes others. */
  readonly #schemas = new RecentMap<string, number>(MOST_SCHEMAS);
  readonly #firsts = new RecentMap<string, Promise<void> | null>(2 * MOST_MODELS);

  /** Sends the request in the best form that the server takes. Throws `engine_rejected` when it asks for probabilities and there are none. */
  chat(request: ChatRequest, send: Send, asking: Asking): Promise<ChatAnswer> {
    const schema = schemaOf(request);
    if (!schema && request.top_logprobs === undefined) return send(request);
    const work = () => this.#inBestForm(request, schema, send, asking);
    if (asking.isOwn) return work();
    return this.#afterFirst(`${schema ? "schema" : "logprobs"} ${request.model}`, asking.signal, work);
  }

  async #inBestForm(request: ChatRequest, schema: JsonSchema | undefined, send: Send, asking: Asking) {
    const model = request.model ?? "";
    const known = asking.isOwn ? ENFORCES : this.#known(model, asking.engine);
    const ofSchema = schema && `${model} ${digest(schema)}`;
    const refused = ofSchema === undefined ? undefined : this.#schemas.get(ofSchema);
    const tried = { ...known, schema: Math.max(known.schema, refused ?? BY_SCHEMA) };
    for (let isOfSchema = false; ; ) {
      if (request.top_logprobs !== undefined && tried.noLogprobs) throw tried.noLogprobs;
      try {
        const answer = await send(inForm(request, schema, tried));
        const isGeneral = !asking.isOwn && !isOfSchema && refused === undefined;
        if (isGeneral) this.#learn(model, { request, schema, known, tried, answer });
        else if (ofSchema !== undefined && tried.schema > BY_SCHEMA)
          this.#schemas.set(ofSchema, tried.schema);
        return answer;
      } catch (thrown) {
        const field = refusedField(thrown, request);
        if (field === "response_format" && tried.schema < IN_WORDS) {
          tried.schema = asking.isOwn || takesNoFormat(thrown as Error) ? IN_WORDS : tried.schema + 1;
          isOfSchema ||= known.enforces || OF_THIS_SCHEMA.test((thrown as Error).message);
        } else if (field === "logprobs" && !asking.isOwn)
          this.#lessLogprobs(model, known, tried, thrown as Error);
        else throw thrown;
      }
    }
  }

  #known(model: string, engine: string): Known {
    return this.#models.get(model) ?? KNOWN_SERVERS.get(engine) ?? NOTHING_KNOWN;
  }

  /** Refusals are believed once the lesser form was answered. */
  #learn(model: string, { request, schema, known: before, tried, answer }: Learned): void {
    const known = { ...(this.#models.get(model) ?? before) };
    if (schema) {
      const wasFollowed = followed(answer, schema) === "enforced";
      known.schema = Math.max(
        known.schema,
        wasFollowed ? tried.schema : Math.min(tried.schema + 1, IN_WORDS),
      );
      known.enforces ||= wasFollowed && tried.schema === BY_SCHEMA;
    }
    if (request.top_logprobs !== undefined) {
      known.top = Math.min(known.top, tried.top);
      if (!schema && ignoresLogprobs(answer))
        known.noLogprobs = noLogprobs("it leaves them out of its answers");
    }
    this.#models.set(model, known);
  }

  #lessLogprobs(model: string, before: Known, tried: Known, refusal: Error): void {
    const most = mostIn(refusal.message) ?? (SAYS_NO.test(refusal.message) ? 0 : TOPS.at(-1)!);
    const less = TOPS.find((top) => top < tried.top && top <= most);
    if (less !== undefined) {
      tried.top = less;
      return;
    }
    tried.noLogprobs = noLogprobs(refusal.message);
    const known = this.#models.get(model) ?? before;
    // Some servers give probabilities, but not of an answer under a schema.
    const isGeneral = /logprobs/.test(refusal.message) && !/response_format|schema/.test(refusal.message);
    if (isGeneral) this.#models.set(model, { ...known, noLogprobs: tried.noLogprobs });
  }

  /**
   * A burst of jobs must not be refused one by one. While the first request of its sort is out, the others wait for what it teaches;
   * not for long, since a refusal comes at once and an answer takes its time.
   */
  async #afterFirst<T>(sort: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const first = this.#firsts.get(sort);
    if (first === null) return work();
    if (first) {
      await withinPatience(first, signal);
      return work();
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#firsts.set(sort, promise);
    try {
      const answer = await work();
      this.#firsts.set(sort, null);
      return answer;
    } catch (thrown) {
      this.#firsts.delete(sort);
      throw thrown;
    } finally {
      resolve();
    }
  }
}

type Learned = {
  request: ChatRequest;
  schema: JsonSchema | undefined;
  known: Known;
  tried: Known;
  answer: ChatAnswer;
};

const PATIENCE_MS = 2_000;

async function withinPatience(first: Promise<void>, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const wait = sleep(PATIENCE_MS, undefined, { signal: AbortSignal.any([signal, over.signal]) });
  await Promise.race([first, wait]).catch(() => signal.throwIfAborted());
  over.abort();
  await wait.catch(() => {});
}

function schemaOf({ response_format: format }: ChatRequest): JsonSchema | undefined {
  const { type, json_schema } = Object(format) as { type?: string; json_schema?: { schema?: JsonSchema } };
  return type === "json_schema" ? json_schema?.schema : undefined;
}

const digest = (schema: JsonSchema) => createHash("sha256").update(JSON.stringify(schema)).digest("base64");

function inForm(request: ChatRequest, schema: JsonSchema | undefined, known: Known): ChatRequest {
  const { schema: how, top, needsNoWords } = known;
  const form = {
    ...request,
    ...(request.top_logprobs !== undefined && { top_logprobs: Math.min(top, request.top_logprobs) }),
  };
  if (!schema) return form;
  const words = schemaInWords(schema);
  if (how === BY_SCHEMA && (needsNoWords || words.length > MOST_IN_PROMPT)) return form;
  const { response_format: _, ...rest } = form;
  const inWords = { ...rest, messages: withWords(form.messages, words) };
  if (how === BY_SCHEMA) return { ...form, ...inWords };
  // Some servers follow a schema at this place; others, and OpenAI itself, insist that the prompt speaks of JSON.
  return how === IN_WORDS ? inWords : { ...inWords, response_format: { type: "json_object", schema } };
}

/** In the instructions, so that questions with one schema share the beginning of their prompt. */
function withWords(messages: readonly Message[], words: string): Message[] {
  const [system, ...others] = messages as [Message, ...Message[]];
  return [{ ...system, content: `${system.content}\n${words}` }, ...others];
}

/** A server answers these for reasons of its own, whatever its words. */
const NEVER_OF_A_FIELD = [401, 403, 407, 408, 413, 429, 502, 503, 504];
/** A client's fault by its status, and no word of what is wrong. */
const SAYS_NOTHING =
  /^The engine answered (400|405|415|422|501): (nothing|<.*|bad request|invalid request( body)?|unprocessable( entity| content)?|not implemented)\W*$/i;

/** The field that the server refuses, if the request has it. A server that failed is not one that refused. */
function refusedField(thrown: unknown, request: ChatRequest): "response_format" | "logprobs" | undefined {
  if (!(thrown instanceof KamadoError)) return undefined;
  const { httpStatus, param } = thrown.detail ?? {};
  if (httpStatus === undefined || NEVER_OF_A_FIELD.includes(httpStatus)) return undefined;
  const asked = { response_format: schemaOf(request), logprobs: request.top_logprobs };
  if (param === "response_format" || param === "logprobs")
    return asked[param] === undefined ? undefined : param;
  if (!SAYS_NOTHING.test(thrown.message)) return undefined;
  return asked.response_format ? "response_format" : "logprobs";
}

/** What is wrong is in the schema, so other schemas may work. */
const OF_THIS_SCHEMA =
  /grammar|conver(t|sion)|features?|keyword|\$ref|unresolv|pattern|too (complex|deep|large|many)|invalid (json )?schema/i;

/** The whole field is refused, not a form of it. */
const takesNoFormat = ({ message }: Error) =>
  /response_format/.test(message) && SAYS_NO.test(message) && !/schema|json_object|type/i.test(message);

const SAYS_NO =
  /not (supported|implemented|available|allowed|permitted)|unsupported|unknown|unrecognized|extra/i;
const noLogprobs = (why: string) =>
  new KamadoError("engine_rejected", `The engine gives no probabilities (logprobs): ${why}`);

/** "must be at most 11", "between 0 and 5", "less than or equal to 5", "max 5". */
function mostIn(message: string): number | undefined {
  const range =
    /(?:at most|and|or equal to|<=?|maximum(?: of| is)?|max(?: allowed)?(?: of| is|:)?|exceeds?|up to)\s*(\d+)/i;
  const found = range.exec(message.replace(/^The engine answered \d+/, ""))?.[1];
  return found === undefined ? undefined : Number(found);
}

/** Half a character has no text, so some servers have nothing to report of it. */
const ignoresLogprobs = ({ tokens, text }: ChatAnswer) =>
  tokens === null && text !== "" && !text.includes("\ufffd");

/**
 * An enforced answer is JSON and nothing else, of the schema's type and with its required fields. `asked`: such JSON is in it, but the
 * model wrote it by itself. `not`: it says nothing of the sort, so the server has ignored the schema.
 */
function followed({ text, cutOff }: ChatAnswer, schema: JsonSchema): "enforced" | "asked" | "not" {
  const json = withoutThoughts(text);
  // A model that said nothing, or refused in a field of its own, says nothing about the server.
  if (json === "") return "enforced";
  // Of an answer that was cut off only the beginning tells: what is whole in it may be a part of something else.
  if (cutOff && !isJson(json)) return beginsAs(schema).test(json) ? "enforced" : "not";
  const read = readJson(json);
  if (read.is === "none" || !hasShape(read.value, schema)) return "not";
  return isJson(json) ? "enforced" : "asked";
}

const beginsAs = ({ type }: JsonSchema) => (type === "object" ? /^\{/ : /^[[{"\d\-tfn]/);

function hasShape(value: unknown, { type, required }: JsonSchema): boolean {
  if (type !== "object") return true;
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject && (!Array.isArray(required) || required.every((name) => Object.hasOwn(value, name)));
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
