// Runs the answers of one request and sends them, whole or as a stream of server-sent events. When the client goes away,
// or when one answer fails, all of them end. What a request holds in memory meanwhile is charged to its budget.
import { randomUUID } from "node:crypto";
import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Context } from "hono";
import { KamadoError } from "../../errors.ts";
import type { Generation } from "../generation/backend.ts";
import type { Answered } from "../scheduler/generate.ts";
import type { Piece } from "../scheduler/piece.ts";
import type { Admitted, Scheduler } from "../scheduler/scheduler.ts";
import type { Hold } from "./memory-budget.ts";
import type { Metrics } from "./metrics.ts";
import type { OpenAiError } from "./openai-errors.ts";
import type { Choice, Head, ReplyFormat } from "./replies.ts";
import type { ParsedRequest } from "./requests.ts";
import { type Check, checkOf, misfitError, secondTry } from "./schema-check.ts";

export type Responding = {
  scheduler: Scheduler;
  metrics: Metrics;
  /** What this request holds in memory. */
  hold: Hold;
  format: ReplyFormat;
  /** Logs an error that comes after the headers, and gives the form in which the client gets it. */
  report(thrown: unknown): OpenAiError;
};

type Started = {
  parsed: ParsedRequest;
  admitted: readonly Admitted[];
  generation: Generation;
  head: Head;
  startedAt: number;
  check: Check | undefined;
};

export async function respond(c: Context, parsed: ParsedRequest, responding: Responding): Promise<Response> {
  const { scheduler, metrics, hold, format } = responding;
  const startedAt = performance.now();
  const check = await checkOf(parsed.checked);
  const admitted = await scheduler.admit(parsed.request, c.req.raw.signal);
  const { generation } = admitted[0]!.phases;
  hold.keep(sizeOf(generation));
  const id = `${format.idPrefix}${randomUUID()}`;
  const head: Head = { id, created: Math.floor(Date.now() / 1_000), model: scheduler.info!.model };
  const started = { parsed, admitted, generation, head, startedAt, check };
  if (parsed.stream) return eventStream(c, hold, (events) => streamAnswers(events, c, started, responding));
  const choices = await runWhole(started, c.req.raw.signal, responding);
  metrics.requestAnswered(generation, performance.now() - startedAt);
  return c.json(format.whole(head, choices));
}

function runWhole(
  { admitted, parsed, check }: Started,
  clientGone: AbortSignal,
  { scheduler, hold }: Responding,
): Promise<Choice[]> {
  return runAll(admitted, clientGone, async (one, _, ended) => {
    const run = async (admitted: Admitted): Promise<Choice> => {
      const pieces: Piece[] = [];
      const onPiece = (piece: Piece) => {
        pieces.push(piece);
        orAbort(ended, () => hold.add(pieceSize(piece)));
      };
      return { pieces, answered: await scheduler.run(admitted, onPiece, ended.signal) };
    };
    const first = await run(one);
    const reason = await check?.(textOf(first.pieces), first.answered);
    if (reason === undefined) return first;
    const generation = secondTry(one.phases.generation, textOf(first.pieces), reason);
    const request = { ...parsed.request, count: 1, generation: async () => generation };
    const [again] = await scheduler.admit(request, ended.signal);
    const second = await run(again!);
    const stillWrong = await check!(textOf(second.pieces), second.answered);
    if (stillWrong !== undefined) throw misfitError(stillWrong);
    return bothPaid(first, second);
  });
}

/** The text that a schema is about: no thoughts, and no calls. */
const textOf = (pieces: readonly Piece[]) =>
  pieces.map(({ text, thought, call }) => (thought || call ? "" : text)).join("");

/** The second answer, with the tokens of both. */
function bothPaid({ answered: first }: Choice, second: Choice): Choice {
  const { answered } = second;
  const completionTokens = first.completionTokens + answered.completionTokens;
  const reasoningTokens = first.reasoningTokens + answered.reasoningTokens;
  const { promptTokens, cachedTokens } = first;
  return {
    ...second,
    answered: { ...answered, promptTokens, cachedTokens, completionTokens, reasoningTokens },
  };
}

/** The backend that calls it goes on to its next step, where it notices the signal. */
function orAbort(ended: AbortController, work: () => void): void {
  try {
    work();
  } catch (thrown) {
    ended.abort(thrown);
  }
}

/** Characters may take two bytes. */
function sizeOf({ prompt }: Generation): number {
  if ("text" in prompt) return 2 * prompt.text.length;
  const parts = prompt.messages.flatMap(({ parts }) => parts);
  const calls = prompt.messages.flatMap(({ toolCalls = [] }) => toolCalls);
  return (
    parts.reduce(
      (sum, part) => sum + (part.type === "text" ? 2 * part.text.length : part.image.dataUri.length),
      0,
    ) + calls.reduce((sum, call) => sum + 2 * call.arguments.length, 0)
  );
}

/** Of the objects for a token, or for an alternative to it, as was measured. */
const TOKEN_BYTES = 150;

function pieceSize({ text, tokens }: Piece): number {
  const count = tokens.reduce((sum, { top = [] }) => sum + 1 + top.length, 0);
  return 2 * text.length + TOKEN_BYTES * (1 + count);
}

async function streamAnswers(
  { send, clientGone }: EventStream,
  c: Context,
  { parsed, admitted, generation, head, startedAt, check }: Started,
  { scheduler, metrics, format, report }: Responding,
): Promise<void> {
  const signal = AbortSignal.any([c.req.raw.signal, clientGone]);
  const reply = format.stream(head, parsed.includeUsage);
  const sendAll = (events: readonly unknown[]) => events.forEach(send);
  const stream = async (one: Admitted, index: number, { signal }: AbortController): Promise<Answered> => {
    sendAll(reply.first(index));
    const pieces: Piece[] = [];
    const onPiece = (piece: Piece) => {
      if (check) pieces.push(piece);
      sendAll(reply.piece(index, piece));
    };
    const answered = await scheduler.run(one, onPiece, signal);
    // What has been sent cannot be taken back: the client gets an error in place of the end.
    const reason = await check?.(textOf(pieces), answered);
    if (reason !== undefined) throw misfitError(reason);
    sendAll(reply.last(index, answered));
    return answered;
  };
  try {
    sendAll(reply.end(await runAll(admitted, signal, stream)));
    metrics.requestAnswered(generation, performance.now() - startedAt);
  } catch (thrown) {
    const error = signal.aborted ? undefined : report(thrown);
    metrics.requestEnded(error?.error.code ?? "client_gone");
    if (error) sendAll(reply.failed(error));
  }
}

/** Runs all answers of a request at the same time. When one fails, the others are ended before its error is thrown. */
async function runAll<T>(
  admitted: readonly Admitted[],
  clientGone: AbortSignal,
  run: (one: Admitted, index: number, ended: AbortController) => Promise<T>,
): Promise<T[]> {
  const ended = new AbortController();
  // The HTTP server's own reason is not an Error, and hono passes only Errors to its error handler.
  const onGone = () => ended.abort(new KamadoError("canceled", "The client went away."));
  if (clientGone.aborted) onGone();
  else clientGone.addEventListener("abort", onGone, { once: true });
  const all = admitted.map((one, index) => run(one, index, ended));
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

/** The events of /v1/responses have a type, which is their name too. */
function eventLine(data: unknown): string {
  const { type } = Object(data) as { type?: unknown };
  return typeof type === "string" ? `event: ${type}\n` : "";
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

/** A client that is so far behind with reading does not read. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;

/**
 * Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), written straight to the socket: by way
 * of web streams each token would cost more than its text does. The response ends when `write` does, which must not throw. The model
 * does not wait for a client that reads too slowly: what it has not read counts as held, and past the limit its connection is closed.
 */
function eventStream(c: Context, hold: Hold, write: (events: EventStream) => Promise<void>): Response {
  const { outgoing } = c.env as HttpBindings;
  const gone = new AbortController();
  outgoing.once("close", () => gone.abort());
  outgoing.writeHead(200, EVENT_STREAM);
  outgoing.flushHeaders();
  let unread = 0;
  const charge = () => {
    hold.add(outgoing.writableLength - unread);
    unread = outgoing.writableLength;
    if (unread > MAX_UNREAD_BYTES) throw new KamadoError("canceled", "The client does not read.");
  };
  const send = (data: unknown) => {
    // JSON escapes line breaks, so an event always fits on one line.
    const line = typeof data === "string" ? data : JSON.stringify(data);
    if (gone.signal.aborted || outgoing.write(`${eventLine(data)}data: ${line}\n\n`)) return;
    orAbort(gone, charge);
    if (gone.signal.aborted) outgoing.destroy();
  };
  void write({ send, clientGone: gone.signal }).finally(() => outgoing.end());
  return RESPONSE_ALREADY_SENT;
}
