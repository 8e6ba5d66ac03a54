// The scheduler through real HTTP, with a thousand requests at one moment, and by itself, with a listener that throws.
import { Agent, request } from "undici";
import { expect, test, vi } from "vitest";
import { openScripted } from "../../../worker/engine/backends/scripted/open.ts";
import { type Generation, GREEDY } from "../../../worker/engine/generation/backend.ts";
import { INTERACTIVE } from "../../../worker/engine/scheduler/queue-order.ts";
import { Scheduler } from "../../../worker/engine/scheduler/scheduler.ts";
import { running, user } from "../running.ts";

const CROWD = 1_000;
const SLOTS = 8;
const MAX_QUEUE = 120;

/** An engine whose answers begin when `start` resolves. */
async function engineThatWaits(start: Promise<void>) {
  const scripted = await openScripted({ slots: SLOTS });
  const prepare: typeof scripted.prepare = async (generation) => {
    const prepared = await scripted.prepare(generation);
    return { ...prepared, run: (emit, signal) => start.then(() => prepared.run(emit, signal)) };
  };
  return running(async () => ({ ...scripted, prepare }), { slots: SLOTS, maxQueue: MAX_QUEUE });
}

test("a thousand requests at once each get an answer, or a 429 that says when to come back", {
  timeout: 120_000,
}, async () => {
  const start = Promise.withResolvers<void>();
  const engine = await engineThatWaits(start.promise);
  // A busy machine takes its time with a thousand connections; that is not what is asked.
  const dispatcher = new Agent({ connections: null, connectTimeout: 60_000 });
  const refused: number[] = [];
  const ask = async (nth: number) => {
    const priority = nth % 2 === 0 ? {} : { priority: nth % 10 };
    const { statusCode, headers, body } = await request(`${engine.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ messages: user(`this is number ${nth}`), ...priority }),
      dispatcher,
    });
    const answer = (await body.json()) as { choices?: { message: { content: string } }[] };
    if (statusCode === 429) refused.push(Number(headers["retry-after"]));
    if (refused.length === CROWD - SLOTS - MAX_QUEUE) start.resolve();
    return { nth, statusCode, text: answer.choices?.[0]?.message.content };
  };
  const asked = Promise.all(Array.from({ length: CROWD }, (_, nth) => ask(nth)));
  const health = await fetch(`${engine.url}/health`);
  const all = await asked;

  expect(health.status).toBe(200);
  const answered = all.filter(({ statusCode }) => statusCode === 200);
  expect([answered.length, refused.length]).toEqual([SLOTS + MAX_QUEUE, CROWD - SLOTS - MAX_QUEUE]);
  expect(answered.filter(({ nth, text }) => text !== `this is number ${nth}`)).toEqual([]);
  expect(refused.filter((seconds) => !(seconds >= 1 && seconds <= 60))).toEqual([]);
  expect([engine.scheduler.queue.busy, engine.scheduler.queue.waiting]).toEqual([0, 0]);
  await dispatcher.close();
  await engine.close();
});

const GENERATION: Generation = {
  prompt: { text: "x" },
  maxTokens: 5,
  sampling: GREEDY,
  stop: [],
  schema: undefined,
  topLogprobs: undefined,
  conversation: undefined,
};

test("a listener to answers that throws is logged, and spoils neither an answer nor its slot", async () => {
  const error = vi.fn();
  const scheduler = new Scheduler({
    slots: 1,
    maxQueue: 0,
    stallMs: 1_000,
    onAnswered: () => {
      throw new Error("broken");
    },
    log: { error },
  });
  await scheduler.load(async () => openScripted({ script: '{"rules":[{"answer":"yes"}]}', slots: 1 }));
  for (const _ of ["first", "second"]) {
    const request = { generation: async () => GENERATION, count: 1, rank: INTERACTIVE, thinkingBudget: 0 };
    const [admitted] = await scheduler.admit(request, new AbortController().signal);
    let text = "";
    const onPiece = (piece: { text: string }) => {
      text += piece.text;
    };
    const answered = await scheduler.run(admitted!, onPiece, new AbortController().signal);
    expect([text, answered.finish]).toEqual(["yes", "stop"]);
  }
  expect(error).toHaveBeenCalledTimes(2);
  expect(scheduler.health().slots.busy).toBe(0);
});
