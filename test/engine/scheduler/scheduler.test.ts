// A thousand requests at one moment, through real HTTP: as many as there is room for are answered, the rest is told when to
// come back, and all of them rightly.
import { Agent, request } from "undici";
import { expect, test } from "vitest";
import { openScripted } from "../../../worker/engine/backends/scripted/open.ts";
import { running, user } from "../running.ts";

const CROWD = 1_000;
const SLOTS = 8;
const MAX_QUEUE = 120;

/** An engine whose answers begin when the door is opened. */
async function engineBehind(door: Promise<void>) {
  const scripted = await openScripted({ slots: SLOTS });
  const prepare: typeof scripted.prepare = async (generation) => {
    const prepared = await scripted.prepare(generation);
    return { ...prepared, run: (emit, signal) => door.then(() => prepared.run(emit, signal)) };
  };
  return running(async () => ({ ...scripted, prepare }), { slots: SLOTS, maxQueue: MAX_QUEUE });
}

test("a thousand requests at once are each answered or told when to come back", {
  timeout: 120_000,
}, async () => {
  const door = Promise.withResolvers<void>();
  const engine = await engineBehind(door.promise);
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
    if (refused.length === CROWD - SLOTS - MAX_QUEUE) door.resolve();
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
