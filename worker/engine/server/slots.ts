// GET /slots: what the engine is doing at this moment, for the console. No text of any prompt or answer.

import { INTERACTIVE } from "../scheduler/queue-order.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import type { Json } from "./reply.ts";

/** Of each class no more than so many are listed, the oldest; the count is of all. */
const LISTED = 100;

export function slotsOf(scheduler: Scheduler): Json {
  const { state, model, backend, waiting: count } = scheduler.health();
  const waiting = scheduler.queue.list().map(({ rank, waitedMs }) => {
    return { ...classOf(rank), waitedSeconds: round(waitedMs / 1_000) };
  });
  const ofClass = (wanted: string) => waiting.filter((one) => one.class === wanted).slice(0, LISTED);
  return {
    state,
    model,
    backend,
    slots: scheduler.seats.list().map(({ state, since, tokens, rank }, id) => {
      const who = rank === null ? { class: null, priority: null } : classOf(rank);
      return { id, state, since: new Date(since).toISOString(), tokens, ...who };
    }),
    waiting: { count, interactive: ofClass("interactive"), jobs: ofClass("job") },
    tokensPerSecond: round(scheduler.seats.tokensPerSecond),
    inside: scheduler.inside ?? null,
  };
}

const classOf = (rank: number) =>
  rank === INTERACTIVE ? { class: "interactive", priority: null } : { class: "job", priority: rank };
const round = (value: number) => Math.round(value * 100) / 100;
