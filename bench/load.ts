// The HTTP client of every table: a closed loop with a fixed number of lanes. Each lane sends its next request when the last one
// has been answered. All token counts are the server's own `usage`.
import { performance } from "node:perf_hooks";
import { Agent, type Dispatcher } from "undici";

export type Call = { path: string; body: Record<string, unknown> };
export type Target = { url: string; token?: string | undefined };
export type Wave = { wallMs: number; answers: Answer[] };

/** Further fields of a completion: the model's name, and what keeps an answer from ending. */
export type More = {
  model?: string | undefined;
  logit_bias?: Record<string, number> | undefined;
  /** For servers that are not ours: Kamado's engine refuses it. */
  ignore_eos?: true;
};

/** A plain greedy completion as a stream. It has `tokens` tokens if `more` keeps it from ending. */
export function completion(prompt: string, tokens: number, more: More = {}): Call {
  const stream = { stream: true, stream_options: { include_usage: true } };
  const greedy = { temperature: 0, max_tokens: tokens };
  return { path: "/v1/completions", body: { ...more, prompt, ...greedy, ...stream } };
}

/** The answers are in the order of the calls. A failed request is an answer too. Rejects when `signal` fires. */
export async function runLoad(
  calls: readonly Call[],
  target: Target,
  concurrency: number,
  signal?: AbortSignal,
): Promise<Wave> {
  // A new connection for each request: some servers close one that is kept open while the next request is being sent.
  const agent = new Agent({ connections: concurrency, pipelining: 0, headersTimeout: 0, bodyTimeout: 0 });
  const answers: Answer[] = [];
  const began = performance.now();
  let next = 0;
  const lane = async () => {
    for (let at = next++; at < calls.length; at = next++)
      answers[at] = await ask(calls[at]!, target, agent, signal);
  };
  try {
    await Promise.all(Array.from({ length: Math.min(concurrency, calls.length) }, lane));
    const wallMs = performance.now() - began;
    signal?.throwIfAborted();
    return { wallMs, answers };
  } finally {
    await agent.close();
  }
}

async function ask(
  { path, body }: Call,
  { url, token }: Target,
  dispatcher: Dispatcher,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  const reader = new AnswerReader(performance.now());
  try {
    const address = new URL(url);
    const {
      statusCode,
      headers,
      body: stream,
    } = await dispatcher.request({
      origin: address.origin,
      path: address.pathname.replace(/\/(v1\/?)?$/, "") + path,
      method: "POST",
      headers: { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify(body),
      ...(signal && { signal }),
    });
    if (statusCode !== 200) reader.fail(`${statusCode}: ${(await stream.text()).slice(0, 300)}`);
    else if (!String(headers["content-type"]).startsWith("text/event-stream"))
      reader.readUsage(JSON.parse(await stream.text()));
    else for await (const piece of stream.setEncoding("utf8")) reader.push(piece);
  } catch (thrown) {
    reader.fail((thrown as Error).message);
  }
  return reader.answer(performance.now());
}

export type Answer = {
  startedMs: number;
  /** When the first text arrived. Undefined when the answer was not streamed. */
  firstMs: number | undefined;
  endedMs: number;
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
  failure?: string;
};

/** A whole answer, or one event of a stream. */
type AnswerBody = {
  choices?: { text?: string; delta?: { content?: string | null } }[];
  usage?: {
    prompt_tokens: number;
    completion_tokens: number;
    prompt_tokens_details?: { cached_tokens?: number } | null;
  } | null;
  error?: { message?: string };
};

/** Builds one answer from what arrives. */
export class AnswerReader {
  readonly #startedMs: number;
  readonly #now: () => number;
  #rest = "";
  #firstMs: number | undefined;
  #usage: AnswerBody["usage"];
  #failure: string | undefined;

  constructor(startedMs: number, now: () => number = () => performance.now()) {
    this.#startedMs = startedMs;
    this.#now = now;
  }

  /** A piece of a stream of server-sent events. It may be cut anywhere. */
  push(piece: string): void {
    const lines = (this.#rest + piece).split("\n");
    this.#rest = lines.pop()!;
    for (const line of lines)
      if (line.startsWith("data:") && !line.includes("[DONE]")) this.#readEvent(JSON.parse(line.slice(5)));
  }

  #readEvent(event: AnswerBody): void {
    const [choice] = event.choices ?? [];
    if (choice?.text || choice?.delta?.content) this.#firstMs ??= this.#now();
    this.readUsage(event);
  }

  readUsage({ usage, error }: AnswerBody): void {
    if (usage) this.#usage = usage;
    if (error) this.fail(error.message ?? "an error without a message");
  }

  fail(failure: string): void {
    this.#failure ??= failure;
  }

  answer(endedMs: number): Answer {
    const failure = this.#failure ?? (this.#usage ? undefined : "the answer has no usage");
    return {
      startedMs: this.#startedMs,
      firstMs: this.#firstMs,
      endedMs,
      promptTokens: this.#usage?.prompt_tokens ?? 0,
      cachedTokens: this.#usage?.prompt_tokens_details?.cached_tokens ?? 0,
      completionTokens: this.#usage?.completion_tokens ?? 0,
      ...(failure !== undefined && { failure }),
    };
  }
}
