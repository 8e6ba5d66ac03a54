// Runs one request's answers and sends them, whole or as a stream of server-sent events. A client that goes away ends all of
// them, and so does one that fails.
import { randomUUID } from "node:crypto";
import type { Context } from "hono";
import { KamadoError } from "../../errors.ts";
import type { Answered, Piece } from "../scheduler/generate.ts";
import { type Admitted, operationOf, type Scheduler } from "../scheduler/scheduler.ts";
import type { OpenAiError } from "./openai-errors.ts";
import type { Choice, Dialect, Head } from "./reply.ts";
import type { Asked } from "./request-fields.ts";
import { type Events, eventStream } from "./sse.ts";

export type Answering = {
  scheduler: Scheduler;
  dialect: Dialect;
  /** How an error that comes after the headers is told and logged. */
  report(thrown: unknown): OpenAiError;
};

type Begun = { asked: Asked; admitted: readonly Admitted[]; head: Head; startedAt: number };

export async function answer(c: Context, asked: Asked, answering: Answering): Promise<Response> {
  const { scheduler, dialect } = answering;
  const startedAt = performance.now();
  const admitted = await scheduler.admit(asked.question);
  const id = `${dialect.idPrefix}${randomUUID()}`;
  const head: Head = { id, created: Math.floor(Date.now() / 1_000), model: scheduler.info!.model };
  const begun = { asked, admitted, head, startedAt };
  if (asked.wishes.stream) return eventStream(c, (events) => streamAnswers(events, c, begun, answering));
  const choices = await whole(c, begun, answering);
  return c.json(dialect.whole(head, choices));
}

async function whole(c: Context, begun: Begun, { scheduler }: Answering): Promise<Choice[]> {
  const choices = await together(begun.admitted, c.req.raw.signal, async (one, _, signal) => {
    const pieces: Piece[] = [];
    const answered = await scheduler.run(one, (piece) => pieces.push(piece), signal);
    return { pieces, answered };
  });
  tellAnswered(scheduler, begun);
  return choices;
}

async function streamAnswers(
  { send, gone }: Events,
  c: Context,
  begun: Begun,
  { scheduler, dialect, report }: Answering,
): Promise<void> {
  const { asked, admitted, head } = begun;
  const signal = AbortSignal.any([c.req.raw.signal, gone]);
  const one = async (admitted: Admitted, index: number, signal: AbortSignal): Promise<Answered> => {
    if (dialect.first) send(dialect.first(head, index));
    const onPiece = (piece: Piece) => void (worthSending(piece) && send(dialect.chunk(head, index, piece)));
    const answered = await scheduler.run(admitted, onPiece, signal);
    send(dialect.last(head, index, answered));
    return answered;
  };
  try {
    const all = await together(admitted, signal, one);
    if (asked.wishes.includeUsage) send(dialect.usage(head, all));
    send("[DONE]");
    tellAnswered(scheduler, begun);
  } catch (thrown) {
    const told = signal.aborted ? undefined : report(thrown);
    scheduler.metrics.requestEnded(told?.error.code ?? "client_gone");
    if (told) send(told);
  }
}

/** All of a request's answers at once, each in its own turn. When one fails the others are cut before the error goes on. */
async function together<T>(
  admitted: readonly Admitted[],
  gone: AbortSignal,
  run: (one: Admitted, index: number, signal: AbortSignal) => Promise<T>,
): Promise<T[]> {
  const cut = new AbortController();
  // The reason the HTTP server gives is no error, and hono lets only errors through to where they are told.
  const onGone = () => cut.abort(new KamadoError("canceled", "The client went away."));
  if (gone.aborted) onGone();
  else gone.addEventListener("abort", onGone, { once: true });
  const all = admitted.map((one, index) => run(one, index, cut.signal));
  try {
    return await Promise.all(all);
  } catch (thrown) {
    cut.abort(thrown);
    await Promise.allSettled(all);
    throw thrown;
  } finally {
    gone.removeEventListener("abort", onGone);
    for (const { place } of admitted) place.leave();
  }
}

function tellAnswered({ metrics }: Scheduler, { asked, startedAt }: Begun): void {
  metrics.requestAnswered(operationOf(asked.question.generation), performance.now() - startedAt);
}

const worthSending = ({ text, tokens }: Piece) => text !== "" || tokens[0]?.logprob !== undefined;
