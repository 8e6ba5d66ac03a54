// What a server that is not ours answered, kept as JSON: recorded through a proxy, and given again by a server on loopback. A request is
// known by what it asks for, not by its words, so that a prompt may change without a new recording.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Answer = { status: number; body: unknown };
export type Recording = {
  /** With its version. */
  server: string;
  /** Recorded, or written down from the server's source or documentation. */
  from: string;
  /** What receipts name. */
  answers: string;
  /** KAMADO_MODEL, for a server that needs it. */
  asks?: string;
  models: Answer;
  /** By what was asked for; several answers to the same wish in their order. */
  chat: Record<string, Answer[]>;
};

// biome-ignore lint/suspicious/noExplicitAny: a request is whatever the code under test sends
type Body = any;
export type Seen = { asks: string; status: number; body: Body; answer: Body };

/** What a chat request asks for. */
export function wishOf({
  model,
  messages,
  temperature,
  top_logprobs: top,
  response_format: format,
}: Body): string {
  const text = JSON.stringify(messages);
  const what = text.includes('"image_url"')
    ? "a picture"
    : top !== undefined
      ? `${top} alternatives`
      : (format?.type ??
        (text.includes("JSON schema") ? "a schema in words" : temperature > 0 ? "a sample" : "a text"));
  return model === undefined ? `${what}, of no model` : what;
}

async function serve(answer: (path: string, text: string) => Promise<Answer>) {
  const server = createServer(async (request: IncomingMessage, response: ServerResponse) => {
    const text = (await request.toArray()).join("");
    const { status, body } = await answer(request.url!, text);
    response.writeHead(status, { "content-type": "application/json" });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const close = async () => {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, [Symbol.asyncDispose]: close };
}

/** A server that answers as it was recorded. A wish that was not recorded gets a 500, which fails the test by its words. */
export async function replay({ models, chat }: Recording) {
  const seen: Seen[] = [];
  const counts = new Map<string, number>();
  const server = await serve(async (path, text) => {
    if (!path.endsWith("/chat/completions"))
      return path.endsWith("/v1/models") ? models : { status: 404, body: "" };
    const body = JSON.parse(text);
    const asks = wishOf(body);
    const count = counts.get(asks) ?? 0;
    counts.set(asks, count + 1);
    const answer = chat[asks]?.[Math.min(count, chat[asks].length - 1)] ?? {
      status: 500,
      body: { error: { message: `Nothing was recorded for ${asks}; record the server again.` } },
    };
    seen.push({ asks, status: answer.status, body, answer: answer.body });
    return answer;
  });
  return { ...server, seen };
}

/** A proxy before a live server. `recorded` fills while requests pass. */
export async function recorder(url: string) {
  const seen: Seen[] = [];
  const recorded: Pick<Recording, "models" | "chat"> = { models: { status: 404, body: "" }, chat: {} };
  const server = await serve(async (path, text) => {
    const post = { method: "POST", headers: { "content-type": "application/json" }, body: text };
    const answered = await fetch(`${url}${path}`, text ? post : {});
    const answer = { status: answered.status, body: read(await answered.text()) };
    if (path.endsWith("/v1/models")) recorded.models = answer;
    if (!path.endsWith("/chat/completions")) return answer;
    const body = JSON.parse(text);
    const asks = wishOf(body);
    seen.push({ asks, status: answer.status, body, answer: answer.body });
    recorded.chat[asks] = [...(recorded.chat[asks] ?? []), answer];
    return answer;
  });
  return { ...server, seen, recorded };
}

function read(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
