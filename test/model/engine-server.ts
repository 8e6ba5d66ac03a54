// An HTTP server on loopback that answers like an engine, from a script. Not a test.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Reply = { status?: number; headers?: Record<string, string>; body: unknown } | "hang" | "reset";
// biome-ignore lint/suspicious/noExplicitAny: a request is whatever the code under test sends
export type Seen = { path: string; headers: IncomingMessage["headers"]; body: any };
type Script = (seen: Seen, count: number) => Reply;

export const modelsOf = (engine: string) => ({
  body: { object: "list", data: [{ id: "small-1b", owned_by: engine }] },
});

/** Answers /v1/models with `models`, in the order of its questions; everything else comes from `script`. `dropped` resolves when a client hangs up. */
export async function engineServer(
  script: Script,
  engine = "kamado",
  models: (count: number) => Reply = () => modelsOf(engine),
) {
  const seen: Seen[] = [];
  const asked = { models: 0 };
  const dropped = Promise.withResolvers<void>();
  const server = createServer(async (request, response) => {
    const text = (await request.toArray()).join("");
    const one = { path: request.url!, headers: request.headers, body: text ? JSON.parse(text) : null };
    if (one.path.endsWith("/v1/models")) return send(response, models(++asked.models));
    seen.push(one);
    response.once("close", () => !response.writableFinished && dropped.resolve());
    send(response, script(one, seen.length));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url, seen, asked, dropped: dropped.promise, close, [Symbol.asyncDispose]: close };
}

function send(response: ServerResponse, reply: Reply): void {
  if (reply === "hang") return;
  if (reply === "reset") return void response.destroy();
  const { status = 200, headers = {}, body } = reply;
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}

/** A chat completion as every engine writes it. */
export const says = (
  content: string | null,
  more: { finish?: string; stopReason?: string; logprobs?: unknown } = {},
): Reply => ({
  body: {
    object: "chat.completion",
    model: "small-1b",
    choices: [
      {
        index: 0,
        message: { role: "assistant", content },
        finish_reason: more.finish ?? "stop",
        ...(more.stopReason !== undefined && { stop_reason: more.stopReason }),
        logprobs: more.logprobs ?? null,
      },
    ],
    usage: { prompt_tokens: 100, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 60 } },
  },
});

/** Logprobs from probabilities, one record a position; the likeliest token is the one that was taken. */
export const logprobs = (...positions: Record<string, number>[]) => ({
  content: positions.map((alternatives) => {
    const all = Object.entries(alternatives)
      .toSorted(([, one], [, other]) => other - one)
      .map(([token, p]) => ({ token, logprob: Math.log(p) }));
    return { ...all[0]!, top_logprobs: all };
  }),
});
