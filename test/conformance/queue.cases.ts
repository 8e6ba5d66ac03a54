// What every queue promises the worker. One suite for the fake, the embedded AWS and any other.
import { expect } from "vitest";
import type { Verdict } from "../../worker/aws/rights.ts";
import type { Message, Queue } from "../../worker/queue/queue.ts";
import type { Promises } from "./suite.ts";

export type QueueHarness = {
  /** A new, empty queue; with `maxReceiveCount` messages go to `dead` after so many receives. */
  create(options?: { fifo?: boolean; maxReceiveCount?: number }): Promise<{ queue: Queue; dead: Queue }>;
  /** A queue that does not exist. */
  missing(): Queue;
  /** Asks for every right on a queue, as `kamado doctor` and a worker at its start do. */
  askRights(queue: Queue): Promise<Verdict[]>;
  /** Lets so much time pass for the queue while the work runs. For a real queue time passes by itself. */
  during<T>(work: Promise<T>, seconds: number): Promise<T>;
};

const NONE: Message[] = [];
/** Seconds of a lease that a test lets end. */
const BRIEF = 3;
/** Seconds until such a lease has certainly ended, for a receive that must get nothing. */
const PAST_BRIEF = 4;
/** The longest receive that SQS allows, in seconds. */
const LONGEST = 20;
/** Seconds of a receive that gets something; it returns when a message arrives. */
const SOON = 10;
const take = (queue: Queue, { max = 10, wait = 0, visibility = 60 } = {}) =>
  queue.receive({ max, waitSeconds: wait, visibilitySeconds: visibility });
const wait = ({ during }: QueueHarness, queue: Queue, seconds: number, visibility = 60) =>
  during(take(queue, { wait: seconds, visibility }), seconds);
const bodies = (messages: readonly Message[]) => messages.map(({ body }) => body);

/** Makes calls that must come before a lease of `seconds` ends. If a busy machine was too slow, again with a longer lease. */
async function inTime<T>(calls: (seconds: number) => Promise<T>): Promise<T> {
  for (let seconds = BRIEF; ; seconds *= 2) {
    const began = performance.now();
    const outcome = await calls(seconds);
    if (performance.now() - began < seconds * 1_000) return outcome;
  }
}

/** Receives until there are so many messages: a real queue may answer with fewer than it has. */
async function gather(harness: QueueHarness, queue: Queue, count: number): Promise<Message[]> {
  const all: Message[] = [];
  while (all.length < count) {
    const more = await wait(harness, queue, SOON);
    if (more.length === 0) break;
    all.push(...more);
  }
  return all;
}

export const queueCases = {
  async "a message arrives as it was sent, with its id and a count of one"({ create }) {
    const { queue } = await create();
    const body = JSON.stringify({ text: '牛乳を買う 🥛 <input> "quotes"\n' });
    const id = await queue.send(body, { attributes: { source: "test" } });
    const [message] = await take(queue, { wait: SOON });
    expect(message).toMatchObject({ id, body, receiveCount: 1, group: null });
    expect(message!.sentAt).toBeTypeOf("number");
  },

  async "a trace beside a message arrives with it, sent alone or with others"(harness) {
    const { queue } = await harness.create();
    const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    await queue.send("alone", { attributes: { traceparent, tracestate: "vendor=1" } });
    await queue.sendAll([{ body: "beside others", attributes: { traceparent } }, { body: "without" }]);
    const messages = await gather(harness, queue, 3);
    expect(new Map(messages.map(({ body, trace }) => [body, trace]))).toEqual(
      new Map([
        ["alone", { traceparent, tracestate: "vendor=1" }],
        ["beside others", { traceparent }],
        ["without", undefined],
      ]),
    );
  },

  async "asking for rights takes, hides and sends no message, even where a single receive would be one too many"({
    create,
    askRights,
    missing,
  }) {
    const { queue, dead } = await create({ maxReceiveCount: 1 });
    await queue.send("kept");
    const granted = await askRights(queue);
    expect(granted.map(({ is }) => is)).toEqual(["granted", "granted", "granted", "granted"]);
    expect((await askRights(missing())).map(({ is }) => is)).toEqual(Array(4).fill("missing"));
    expect(await take(queue, { wait: SOON })).toMatchObject([{ body: "kept", receiveCount: 1 }]);
    expect(await take(queue)).toEqual(NONE);
    expect(await take(dead)).toEqual(NONE);
  },

  async "a CloudEvent in binary mode arrives with its attributes in the body"({ create }) {
    const { queue } = await create();
    const attributes = { ce_specversion: "1.0", ce_id: "1", ce_source: "/a", ce_type: "prompt" };
    await queue.send('{"id":9007199254740993}', { attributes });
    const [message] = await take(queue, { wait: SOON });
    const event =
      '{"specversion":"1.0","id":"1","source":"/a","type":"prompt","data":{"id":9007199254740993}}';
    const fields = (text: string) => text.slice(1, -1).split(",").toSorted();
    expect(fields(message!.body)).toEqual(fields(event));
  },

  async "a message that is not deleted comes back when its visibility ends, and is counted"(harness) {
    const { queue, id, first, meanwhile } = await inTime(async (visibility) => {
      const { queue } = await harness.create();
      const id = await queue.send("again");
      const [first] = await take(queue, { visibility });
      return { queue, id, first, meanwhile: await take(queue) };
    });
    expect(meanwhile).toEqual(NONE);
    const [second] = await wait(harness, queue, LONGEST);
    expect(second).toMatchObject({ id, receiveCount: 2 });
    expect(second!.handle).not.toBe(first!.handle);
  },

  async "extending a lease hides the message for longer"(harness) {
    const { queue, extended, seconds } = await inTime(async (seconds) => {
      const { queue } = await harness.create();
      await queue.send("long work");
      const [message] = await take(queue, { visibility: seconds });
      const extended = await queue.extend([{ handle: message!.handle, seconds: 60 }]);
      return { queue, extended, seconds };
    });
    expect(extended).toEqual(["ok"]);
    expect(await wait(harness, queue, Math.min(seconds + 1, LONGEST))).toEqual(NONE);
  },

  async "giving a message back makes it visible at once"({ create }) {
    const { queue } = await create();
    const id = await queue.send("not now");
    const [message] = await take(queue);
    expect(await queue.extend([{ handle: message!.handle, seconds: 0 }])).toEqual(["ok"]);
    expect(await take(queue, { wait: SOON })).toMatchObject([{ id, receiveCount: 2 }]);
  },

  async "a deleted message never comes back"(harness) {
    const { queue } = await harness.create();
    await queue.send("done");
    const [message] = await take(queue, { visibility: BRIEF });
    expect(await queue.remove([message!.handle])).toEqual(["ok"]);
    expect(await wait(harness, queue, PAST_BRIEF)).toEqual(NONE);
  },

  async "a lease that another worker has by now is reported as lost"(harness) {
    const { queue } = await harness.create();
    await queue.send("slow");
    const [mine] = await take(queue, { visibility: BRIEF });
    const [theirs] = await wait(harness, queue, SOON);
    expect(await queue.extend([{ handle: mine!.handle, seconds: 30 }])).toEqual(["lost"]);
    expect(await queue.extend([{ handle: theirs!.handle, seconds: 30 }])).toEqual(["ok"]);
  },

  async "the lease of a deleted message is reported as lost"({ create }) {
    const { queue } = await create();
    await queue.send("gone");
    const [message] = await take(queue);
    await queue.remove([message!.handle]);
    expect(await queue.extend([{ handle: message!.handle, seconds: 30 }])).toEqual(["lost"]);
  },

  async "deleting twice is no error"({ create }) {
    const { queue } = await create();
    await queue.send("twice");
    const [message] = await take(queue);
    expect(await queue.remove([message!.handle])).toEqual(["ok"]);
    expect(await queue.remove([message!.handle])).toEqual(["ok"]);
  },

  async "an invalid receipt handle cannot extend a lease: lost"({ create }) {
    const { queue } = await create();
    expect(await queue.extend([{ handle: "garbage", seconds: 30 }])).toEqual(["lost"]);
  },

  async "an invalid receipt handle cannot delete: lost"({ create }) {
    const { queue } = await create();
    expect(await queue.remove(["garbage"])).toEqual(["lost"]);
  },

  async "one bad entry of a batch fails alone"(harness) {
    const { queue } = await harness.create();
    for (const body of ["a", "b"]) await queue.send(body);
    const [one, two] = await gather(harness, queue, 2);
    const handles = [one!.handle, "garbage", two!.handle];
    expect(await queue.extend(handles.map((handle) => ({ handle, seconds: 30 })))).toEqual([
      "ok",
      "lost",
      "ok",
    ]);
  },

  async "more than ten entries are cut into batches and answered in order"(harness) {
    const { queue } = await harness.create();
    await Promise.all(Array.from({ length: 23 }, (_, index) => queue.send(`m${index}`)));
    const handles = (await gather(harness, queue, 23)).map(({ handle }) => handle);
    const entries = handles.with(11, "garbage").map((handle) => ({ handle, seconds: 30 }));
    expect(await queue.extend(entries)).toEqual(entries.map((_, index) => (index === 11 ? "lost" : "ok")));
    expect(await queue.remove(handles)).toEqual(handles.map(() => "ok"));
    expect(await take(queue)).toEqual(NONE);
  },

  async "no entries need no call"({ create }) {
    const { queue } = await create();
    expect(await queue.extend([])).toEqual([]);
    expect(await queue.remove([])).toEqual([]);
  },

  async "many messages are sent in one go, each with its own body"(harness) {
    const { queue } = await harness.create();
    const sent = Array.from({ length: 23 }, (_, index) => `m${index} 🥛`);
    await queue.sendAll(sent.map((body) => ({ body })));
    expect(bodies(await gather(harness, queue, 23)).toSorted()).toEqual(sent.toSorted());
    await queue.sendAll([]);
  },

  async "many long messages are sent in one go, though together they are longer than a call may be"(harness) {
    const { queue } = await harness.create();
    const sent = ["a", "b", "c", "d", "e"].map((letter) => letter.repeat(250_000));
    await queue.sendAll(sent.map((body) => ({ body })));
    const got = bodies(await gather(harness, queue, 5));
    expect(got.map((body) => body[0]).toSorted()).toEqual(["a", "b", "c", "d", "e"]);
  },

  async "many messages to a FIFO queue keep their order; sent again, each is kept once"(harness) {
    const { queue } = await harness.create({ fifo: true });
    const sent = Array.from({ length: 12 }, (_, index) => `m${index}`);
    const send = () =>
      queue.sendAll(sent.map((body) => ({ body, group: "a", deduplicationId: `id-${body}` })));
    await send();
    await send();
    const got: string[] = [];
    for (const _ of sent) {
      const [message] = await take(queue, { max: 1, wait: SOON });
      got.push(message!.body);
      await queue.remove([message!.handle]);
    }
    expect(got).toEqual(sent);
    expect(await take(queue)).toEqual(NONE);
  },

  async "a receive never gives more than was asked for"(harness) {
    const { queue } = await harness.create();
    await Promise.all(["a", "b", "c"].map((body) => queue.send(body)));
    expect((await take(queue, { max: 2 })).length).toBeLessThanOrEqual(2);
  },

  async "a delayed message waits for its time"(harness) {
    const { queue, meanwhile } = await inTime(async (delaySeconds) => {
      const { queue } = await harness.create();
      await queue.send("later", { delaySeconds });
      return { queue, meanwhile: await take(queue) };
    });
    expect(meanwhile).toEqual(NONE);
    expect(bodies(await wait(harness, queue, LONGEST))).toEqual(["later"]);
  },

  async "a long poll wakes when a message is sent"({ create }) {
    const { queue } = await create();
    const poll = take(queue, { wait: 20 });
    await queue.send("wake up");
    expect(bodies(await poll)).toEqual(["wake up"]);
  },

  async "a long poll wakes when a message is given back"(harness) {
    const { queue } = await harness.create();
    await queue.send("returned");
    const [message] = await take(queue);
    const poll = take(queue, { wait: 20 });
    await queue.extend([{ handle: message!.handle, seconds: 0 }]);
    expect(bodies(await poll)).toEqual(["returned"]);
  },

  async "an empty long poll ends with nothing"(harness) {
    const { queue } = await harness.create();
    expect(await wait(harness, queue, 1)).toEqual(NONE);
  },

  async "the messages of a FIFO group arrive in order, one lease at a time"({ create }) {
    const { queue } = await create({ fifo: true });
    for (const body of ["a1", "a2"]) await queue.send(body, { group: "a", deduplicationId: body });
    const [first] = await take(queue, { max: 1, wait: SOON });
    expect(first).toMatchObject({ body: "a1", group: "a" });
    expect(await take(queue)).toEqual(NONE);
    await queue.remove([first!.handle]);
    expect(bodies(await take(queue, { wait: SOON }))).toEqual(["a2"]);
  },

  async "a FIFO message that is given back arrives before those behind it"({ create }) {
    const { queue } = await create({ fifo: true });
    for (const body of ["a1", "a2"]) await queue.send(body, { group: "a", deduplicationId: body });
    const [first] = await take(queue, { max: 1, wait: SOON });
    await queue.extend([{ handle: first!.handle, seconds: 0 }]);
    expect(bodies(await take(queue, { max: 1, wait: SOON }))).toEqual(["a1"]);
  },

  async "FIFO groups do not wait for each other"({ create }) {
    const { queue } = await create({ fifo: true });
    for (const group of ["a", "b"]) await queue.send(group, { group, deduplicationId: group });
    const first = await take(queue, { max: 1, wait: SOON });
    const second = await take(queue, { max: 1, wait: SOON });
    expect(bodies([...first, ...second]).toSorted()).toEqual(["a", "b"]);
  },

  async "a FIFO message sent twice is kept once"({ create }) {
    const { queue } = await create({ fifo: true });
    const send = () => queue.send("once", { group: "a", deduplicationId: "same" });
    await send();
    await send();
    const [message] = await take(queue, { wait: SOON });
    await queue.remove([message!.handle]);
    expect(await take(queue)).toEqual(NONE);
  },

  async "a message that is received too often goes to the dead-letter queue"(harness) {
    const { queue, dead } = await harness.create({ maxReceiveCount: 2 });
    await queue.send("unlucky");
    for (const _ of [1, 2]) {
      const [message] = await take(queue, { wait: SOON });
      await queue.extend([{ handle: message!.handle, seconds: 0 }]);
    }
    expect(await take(queue)).toEqual(NONE);
    expect(bodies(await wait(harness, dead, SOON))).toEqual(["unlucky"]);
  },

  async "a queue that does not exist has a health state of its own"({ missing }) {
    const error = { code: "queue_unavailable", detail: { awsFailure: "missing_queue" } };
    await expect(take(missing())).rejects.toMatchObject(error);
    await expect(missing().send("x")).rejects.toMatchObject(error);
    await expect(missing().sendAll([{ body: "x" }])).rejects.toMatchObject(error);
  },

  async "extending and deleting never throw; a call that fails makes its entries failed"({ missing }) {
    expect(await missing().extend([{ handle: "r", seconds: 1 }])).toEqual(["failed"]);
    expect(await missing().remove(["r", "s"])).toEqual(["failed", "failed"]);
  },

  async "a body of 1 MiB is carried"({ create }) {
    const { queue } = await create();
    await queue.send("x".repeat(1024 * 1024));
    const [message] = await take(queue, { wait: SOON });
    expect(message!.body.length).toBe(1024 * 1024);
  },

  async "a body past 1 MiB is refused by name, bytes counted and not characters"({ create }) {
    const { queue } = await create();
    const tooLong = { code: "body_too_large" };
    await expect(queue.send("x".repeat(1024 * 1024 + 1))).rejects.toMatchObject(tooLong);
    await expect(queue.send("犬".repeat(400_000))).rejects.toMatchObject(tooLong);
    const long = [{ body: "fits" }, { body: "x".repeat(1024 * 1024 + 1) }];
    await expect(queue.sendAll(long)).rejects.toMatchObject(tooLong);
    await expect(queue.send("x".repeat(1024 * 1024), { attributes: { a: "b" } })).rejects.toMatchObject(
      tooLong,
    );
  },
} satisfies Promises<QueueHarness>;
