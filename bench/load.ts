// The client of every table: a closed loop of N lanes, each sending its next request when its last one is answered.
// Reads streams and whole answers; all figures about tokens are the server's own `usage`.
import { performance } from "node:perf_hooks";
import { Agent, type Dispatcher } from "undici";

export type Call = { path: string; body: Record<string, unknown> };
export type Target = { url: string; token?: string | undefined };
export type Answer = {
  startedMs: number;
  /** Of the first piece of text; undefined when the answer came whole. */
  firstMs: number | undefined;
  endedMs: number;
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
  failure?: string;
};
export type Wave = { wallMs: number; answers: Answer[] };

/** A plain completion as a stream: greedy, exactly `tokens` long where the server honours ignore_eos. */
export function completion(prompt: string, tokens: number, model?: string): Call {
  const stream = { stream: true, stream_options: { include_usage: true } };
  const greedy = { temperature: 0, max_tokens: tokens, ignore_eos: true };
  return { path: "/v1/completions", body: { ...(model && { model }), prompt, ...greedy, ...stream } };
}

/** Answers are in the order of the calls. A request that fails is an answer too. */
export async function runLoad(calls: readonly Call[], target: Target, concurrency: number): Promise<Wave> {
  // A new connection for each request: some servers close one that stays, at times in the middle of what is sent next.
  const agent = new Agent({ connections: concurrency, pipelining: 0, headersTimeout: 0, bodyTimeout: 0 });
  const answers: Answer[] = [];
  const began = performance.now();
  let next = 0;
  const lane = async () => {
    for (let at = next++; at < calls.length; at = next++) answers[at] = await ask(calls[at]!, target, agent);
  };
  try {
    await Promise.all(Array.from({ length: Math.min(concurrency, calls.length) }, lane));
    return { wallMs: performance.now() - began, answers };
  } finally {
    await agent.close();
  }
}

async function ask({ path, body }: Call, { url, token }: Target, dispatcher: Dispatcher): Promise<Answer> {
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
    });
    if (statusCode !== 200) reader.fail(`${statusCode}: ${(await stream.text()).slice(0, 300)}`);
    else if (!String(headers["content-type"]).startsWith("text/event-stream"))
      reader.hear(JSON.parse(await stream.text()));
    else for await (const piece of stream.setEncoding("utf8")) reader.push(piece);
  } catch (thrown) {
    reader.fail((thrown as Error).message);
  }
  return reader.answer(performance.now());
}

type Heard = {
  choices?: { text?: string; delta?: { content?: string | null } }[];
  usage?: {
    prompt_tokens: number;
    completion_tokens: number;
    prompt_tokens_details?: { cached_tokens?: number } | null;
  } | null;
  error?: { message?: string };
};

/** Puts one answer together from what comes over the wire. */
export class AnswerReader {
  readonly #startedMs: number;
  readonly #now: () => number;
  #rest = "";
  #firstMs: number | undefined;
  #usage: Heard["usage"];
  #failure: string | undefined;

  constructor(startedMs: number, now: () => number = () => performance.now()) {
    this.#startedMs = startedMs;
    this.#now = now;
  }

  /** A piece of a stream of server-sent events, cut anywhere. */
  push(piece: string): void {
    const lines = (this.#rest + piece).split("\n");
    this.#rest = lines.pop()!;
    for (const line of lines)
      if (line.startsWith("data:") && !line.includes("[DONE]")) this.#event(JSON.parse(line.slice(5)));
  }

  #event(event: Heard): void {
    const [choice] = event.choices ?? [];
    if (choice?.text || choice?.delta?.content) this.#firstMs ??= this.#now();
    this.hear(event);
  }

  hear({ usage, error }: Heard): void {
    if (usage) this.#usage = usage;
    if (error) this.fail(error.message ?? "an error without words");
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
