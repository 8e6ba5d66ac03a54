// The client of every table: a closed loop of N lanes, each sending its next request when its last one is answered.
import { performance } from "node:perf_hooks";
import { Agent, type Dispatcher } from "undici";
import { type Answer, AnswerReader } from "./answer-reader.ts";

export type Call = { path: string; body: Record<string, unknown> };
export type Target = { url: string; token?: string | undefined };
export type Wave = { wallMs: number; answers: Answer[] };

/** What goes into a completion besides: the name of a model, biases that keep an answer from ending. */
export type More = { model?: string | undefined; logit_bias?: Record<string, number> | undefined };

/** A plain completion as a stream, greedy. `tokens` long where its end cannot be said, or ignore_eos is honoured. */
export function completion(prompt: string, tokens: number, more: More = {}): Call {
  const stream = { stream: true, stream_options: { include_usage: true } };
  const greedy = { temperature: 0, max_tokens: tokens, ignore_eos: true };
  return { path: "/v1/completions", body: { ...more, prompt, ...greedy, ...stream } };
}

/** Answers are in the order of the calls. A request that fails is an answer too. Rejects when `signal` fires. */
export async function runLoad(
  calls: readonly Call[],
  target: Target,
  concurrency: number,
  signal?: AbortSignal,
): Promise<Wave> {
  // A new connection for each request: some servers close one that stays, at times in the middle of what is sent next.
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
      reader.hear(JSON.parse(await stream.text()));
    else for await (const piece of stream.setEncoding("utf8")) reader.push(piece);
  } catch (thrown) {
    reader.fail((thrown as Error).message);
  }
  return reader.answer(performance.now());
}
