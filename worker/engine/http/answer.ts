// Runs one request and sends its answer, whole or as a stream of server-sent events. A client that goes away ends its request.
import { randomUUID } from "node:crypto";
import type { Context } from "hono";
import { type SSEStreamingApi, streamSSE } from "hono/streaming";
import type { Admitted, Core, Piece } from "../core.ts";
import type { Asked } from "./chat-request.ts";
import type { OpenAiError } from "./errors.ts";
import type { Dialect, Head } from "./reply.ts";

export type Answering = {
  core: Core;
  dialect: Dialect;
  /** How an error that comes after the headers is told and logged. */
  report(thrown: unknown): OpenAiError;
};

export async function answer(c: Context, asked: Asked, answering: Answering): Promise<Response> {
  const { core, dialect } = answering;
  const admitted = await core.admit(asked.generation);
  const head: Head = {
    id: `${dialect.idPrefix}${randomUUID()}`,
    created: Math.floor(Date.now() / 1_000),
    model: core.info!.model,
  };
  if (asked.wishes.stream)
    return streamSSE(c, (stream) => streamAnswer(stream, { c, asked, admitted, head }, answering));
  const pieces: Piece[] = [];
  const outcome = await core.run(admitted, (piece) => pieces.push(piece), c.req.raw.signal);
  return c.json(dialect.whole(head, pieces, outcome));
}

type Begun = { c: Context; asked: Asked; admitted: Admitted; head: Head };

async function streamAnswer(
  stream: SSEStreamingApi,
  { c, asked, admitted, head }: Begun,
  { core, dialect, report }: Answering,
): Promise<void> {
  const gone = new AbortController();
  stream.onAbort(() => gone.abort());
  const signal = AbortSignal.any([c.req.raw.signal, gone.signal]);
  const send = (data: unknown) => stream.writeSSE({ data: JSON.stringify(data) });
  const onPiece = (piece: Piece) => void (worthSending(piece) && send(dialect.chunk(head, piece)));
  try {
    if (dialect.first) await send(dialect.first(head));
    const outcome = await core.run(admitted, onPiece, signal);
    await send(dialect.last(head, outcome));
    if (asked.wishes.includeUsage) await send(dialect.usage(head, outcome));
    await stream.writeSSE({ data: "[DONE]" });
  } catch (thrown) {
    if (!signal.aborted) await send(report(thrown));
  } finally {
    admitted.place.leave();
  }
}

const worthSending = ({ text, tokens }: Piece) => text !== "" || tokens[0]?.logprob !== undefined;
