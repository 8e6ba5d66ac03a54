// Runs the answers of one request and sends them, whole or as a stream of server-sent events. When the client goes away,
// or when one answer fails, all of them end.
import { randomUUID } from "node:crypto";
import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Context } from "hono";
import { KamadoError } from "../../errors.ts";
import type { Answered, Piece } from "../scheduler/generate.ts";
import type { Admitted, Scheduler } from "../scheduler/scheduler.ts";
import type { Metrics } from "./metrics.ts";
import type { OpenAiError } from "./openai-errors.ts";
import type { Choice, Head, ReplyFormat } from "./replies.ts";
import type { ParsedRequest } from "./requests.ts";

export type Responding = {
  scheduler: Scheduler;
  metrics: Metrics;
  format: ReplyFormat;
  /** Logs an error that comes after the headers, and gives the form in which the client gets it. */
  report(thrown: unknown): OpenAiError;
};

type Started = { parsed: ParsedRequest; admitted: readonly Admitted[]; head: Head; startedAt: number };

export async function respond(c: Context, parsed: ParsedRequest, responding: Responding): Promise<Response> {
  const { scheduler, metrics, format } = responding;
  const startedAt = performance.now();
  const admitted = await scheduler.admit(parsed.request);
  const id = `${format.idPrefix}${randomUUID()}`;
  const head: Head = { id, created: Math.floor(Date.now() / 1_000), model: scheduler.info!.model };
  const started = { parsed, admitted, head, startedAt };
  if (parsed.stream) return eventStream(c, (events) => streamAnswers(events, c, started, responding));
  const choices = await runWhole(admitted, c.req.raw.signal, scheduler);
  metrics.requestAnswered(parsed.request.generation, performance.now() - startedAt);
  return c.json(format.whole(head, choices));
}

function runWhole(
  admitted: readonly Admitted[],
  clientGone: AbortSignal,
  scheduler: Scheduler,
): Promise<Choice[]> {
  return runAll(admitted, clientGone, async (one, _, signal) => {
    const pieces: Piece[] = [];
    const answered = await scheduler.run(one, (piece) => pieces.push(piece), signal);
    return { pieces, answered };
  });
}

async function streamAnswers(
  { send, clientGone }: EventStream,
  c: Context,
  { parsed, admitted, head, startedAt }: Started,
  { scheduler, metrics, format, report }: Responding,
): Promise<void> {
  const signal = AbortSignal.any([c.req.raw.signal, clientGone]);
  const stream = async (one: Admitted, index: number, signal: AbortSignal): Promise<Answered> => {
    if (format.first) send(format.first(head, index));
    const onPiece = (piece: Piece) => {
      if (isWorthSending(piece)) send(format.chunk(head, index, piece));
    };
    const answered = await scheduler.run(one, onPiece, signal);
    send(format.last(head, index, answered));
    return answered;
  };
  try {
    const all = await runAll(admitted, signal, stream);
    if (parsed.includeUsage) send(format.usage(head, all));
    send("[DONE]");
    metrics.requestAnswered(parsed.request.generation, performance.now() - startedAt);
  } catch (thrown) {
    const error = signal.aborted ? undefined : report(thrown);
    metrics.requestEnded(error?.error.code ?? "client_gone");
    if (error) send(error);
  }
}

const isWorthSending = ({ text, tokens }: Piece) => text !== "" || tokens[0]?.logprob !== undefined;

/** Runs all answers of a request at the same time. When one fails, the others are ended before its error is thrown. */
async function runAll<T>(
  admitted: readonly Admitted[],
  clientGone: AbortSignal,
  run: (one: Admitted, index: number, signal: AbortSignal) => Promise<T>,
): Promise<T[]> {
  const ended = new AbortController();
  // The HTTP server's own reason is not an Error, and hono passes only Errors to its error handler.
  const onGone = () => ended.abort(new KamadoError("canceled", "The client went away."));
  if (clientGone.aborted) onGone();
  else clientGone.addEventListener("abort", onGone, { once: true });
  const all = admitted.map((one, index) => run(one, index, ended.signal));
  try {
    return await Promise.all(all);
  } catch (thrown) {
    ended.abort(thrown);
    await Promise.allSettled(all);
    throw thrown;
  } finally {
    clientGone.removeEventListener("abort", onGone);
    for (const { admission } of admitted) admission.release();
  }
}

type EventStream = {
  /** Sends one event: a string as it is, anything else as JSON. Does nothing once the client has gone. */
  send(data: unknown): void;
  clientGone: AbortSignal;
};

const EVENT_STREAM = {
  "content-type": "text/event-stream",
  "cache-control": "no-cache",
  // Keeps proxies from holding tokens back in a buffer.
  "x-accel-buffering": "no",
};

/**
 * Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), written straight to the socket: by way
 * of web streams each token would cost more than its text does. The response ends when `write` does, which must not throw.
 */
function eventStream(c: Context, write: (events: EventStream) => Promise<void>): Response {
  const { outgoing } = c.env as HttpBindings;
  const gone = new AbortController();
  outgoing.once("close", () => gone.abort());
  outgoing.writeHead(200, EVENT_STREAM);
  outgoing.flushHeaders();
  const send = (data: unknown) => {
    // JSON escapes line breaks, so an event always fits on one line.
    const line = typeof data === "string" ? data : JSON.stringify(data);
    if (!gone.signal.aborted) outgoing.write(`data: ${line}\n\n`);
  };
  void write({ send, clientGone: gone.signal }).finally(() => outgoing.end());
  return RESPONSE_ALREADY_SENT;
}
