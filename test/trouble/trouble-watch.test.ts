// Trouble reaches a person: over a real HTTP receiver and over the topic, at most once an hour, and never in the way of a job.
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { loadConfig } from "../../worker/config/config.ts";
import { secret } from "../../worker/config/secret.ts";
import type { JobEvent } from "../../worker/logging/job-events.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { loadDestinations } from "../../worker/outbound/destinations.ts";
import { createOutbound } from "../../worker/outbound/outbound.ts";
import { type Channel, checkWebhook, topicChannel, webhookChannel } from "../../worker/trouble/channels.ts";
import type { Watched } from "../../worker/trouble/conditions.ts";
import { type TroubleOptions, TroubleWatch } from "../../worker/trouble/trouble-watch.ts";
import { FakeClock } from "../fakes/clock.ts";
import { type Receiver, startReceiver, status } from "../fakes/receiver.ts";
import { FakeTopic } from "../fakes/topic.ts";
import { createRig } from "../rig.ts";

const MINUTE = 60_000;
const WELL: Watched = { ...createRig().worker.state(), engine: { answers: true } };
const DOWN: Watched["queue"] = { url: "https://q", health: "network", hint: "Check the network." };
const folder = () => mkdtempSync(join(tmpdir(), "kamado-trouble-"));

let receiver: Receiver;
beforeAll(async () => {
  receiver = await startReceiver();
});
afterAll(() => receiver.close());

function webhook(path: string, more: object = {}, format: "auto" | "ntfy" = "auto") {
  const file = join(folder(), "destinations.json");
  const match = `${receiver.url}/`;
  writeFileSync(
    file,
    JSON.stringify([{ match, allowPrivate: true, headers: { authorization: "Bearer t0ken" }, ...more }]),
  );
  const destinations = loadDestinations(file);
  const outbound = createOutbound({ destinations });
  onTestFinished(() => outbound.close());
  receiver.received.length = 0;
  receiver.respond(status(200));
  const clock = { wall: () => Date.UTC(2026, 0, 1) };
  return webhookChannel({
    url: secret(`${receiver.url}${path}`),
    format,
    worker: "mac",
    outbound,
    destinations,
    clock,
  });
}

function watched(options: Partial<TroubleOptions> = {}) {
  const clock = new FakeClock();
  const now = { state: WELL, dead: { jobs: 0, deliveries: 0 }, off: [] as string[], counts: 0, asks: 0 };
  const said: string[] = [];
  const say = (_: object, text = "") => void said.push(text);
  const log = { ...silentLog, info: say, warn: say } as unknown as typeof silentLog;
  const sent: string[] = [];
  const channel: Channel = {
    name: "a test",
    send: async ({ is, condition }) => void sent.push(`${is} ${condition.name}`),
  };
  const all: TroubleOptions = {
    state: () => now.state,
    askEngine: () => {
      now.asks += 1;
    },
    countDead: async () => {
      now.counts += 1;
      return now.dead;
    },
    listOff: async () => now.off,
    channels: [channel],
    dataDir: folder(),
    clock,
    log,
    ...options,
  };
  const watch = new TroubleWatch(all);
  return { ...all, clock, now, said, sent, watch };
}

describe("a real receiver", () => {
  test.each([
    ["/hooks/x", "auto", "application/json", '{"text":"*Kamado: '],
    ["/else", "auto", "application/json", '{"type":"kamado.trouble"'],
    ["/kamado", "ntfy", "text/plain; charset=utf-8", "mac: https://q: network."],
  ] as const)(
    "%s is told through the safe client, with the headers of the destinations file",
    async (path, format, type, begin) => {
      const one = watched({ channels: [webhook(path, {}, format)] });
      one.now.state = { ...WELL, queue: DOWN };
      one.watch.start();
      await one.clock.advance(2 * MINUTE);
      await expect.poll(() => receiver.received.length).toBe(1);
      expect(receiver.received[0]).toMatchObject({
        method: "POST",
        path,
        headers: { "content-type": type, authorization: "Bearer t0ken" },
        body: expect.stringContaining(begin),
      });
      await one.watch.stop();
    },
  );

  test("JSON is signed where the destinations file has a secret", async () => {
    const send = webhook("/else", { secret: `whsec_${Buffer.alloc(32, 1).toString("base64")}` });
    const condition = { name: "queue", title: "T", message: "M", hint: "" } as const;
    await send.send({ is: "begun", condition, since: 0, at: 1 }, new AbortController().signal);
    expect(receiver.received[0]!.headers).toMatchObject({
      "webhook-id": expect.stringMatching(/^trouble_/),
      "webhook-signature": expect.stringMatching(/^v1,/),
    });
  });

  test("one that fails is tried again, and the log says it once, without the address", async () => {
    const one = watched({ channels: [webhook("/hooks/s3cret-path")] });
    receiver.respond(status(503));
    one.now.state = { ...WELL, queue: DOWN };
    one.watch.start();
    for (let tries = 1; tries <= 3; tries++) {
      await expect
        .poll(async () => {
          await one.clock.advance(10_000);
          return receiver.received.length;
        })
        .toBeGreaterThanOrEqual(tries);
      if (tries === 2) receiver.respond(status(200));
    }
    const failures = one.said.filter((text) => text.includes("could not be told"));
    expect(failures).toEqual([
      expect.stringContaining(
        "the webhook at 127.0.0.1 could not be told of trouble: 127.0.0.1 answered 503",
      ),
    ]);
    expect(one.said.join()).not.toContain("s3cret");
    await one.watch.stop();
  });

  test("one that refuses is not asked again for this message", async () => {
    const one = watched({ channels: [webhook("/hooks/x")] });
    receiver.respond(status(404));
    one.now.state = { ...WELL, queue: DOWN };
    one.watch.start();
    await one.clock.advance(MINUTE);
    await expect.poll(() => one.said.some((text) => text.includes("answered 404"))).toBe(true);
    await one.clock.advance(30 * MINUTE);
    expect(receiver.received).toHaveLength(1);
    await one.watch.stop();
  });
});

test.each([
  ["http://example.org/x", "plain http is only allowed"],
  ["https://127.0.0.1/x", "it is a private address"],
])("%s that is not in the destinations file ends the start with what to do", (url, why) => {
  const check = () => checkWebhook(loadConfig({}, { KAMADO_TROUBLE_URL: url }).trouble.url!, []);
  expect(check).toThrow(why);
  expect(check).toThrow(/^KAMADO_TROUBLE_URL: /);
});

test("the address is a secret: it is in no message about a wrong setting", () => {
  expect(() => loadConfig({}, { KAMADO_TROUBLE_URL: "ftp://h/s3cret" })).toThrow(
    /^KAMADO_TROUBLE_URL: .*a string of/,
  );
});

test("the topic gets a message of its own kind, which a filter on kinds of jobs does not pass", async () => {
  const topic = new FakeTopic();
  for (const arn of ["arn:aws:sns:x:1:results", "arn:aws:sns:x:1:results.fifo"]) {
    topic.create(arn);
    const [all, jobs] = [topic.subscribe(arn), topic.subscribe(arn, { kind: ["image.check"] })];
    const one = watched({ channels: [topicChannel(topic, arn, "mac")] });
    one.now.state = { ...WELL, queue: DOWN };
    one.watch.start();
    await one.clock.advance(MINUTE);
    one.now.state = WELL;
    await one.clock.advance(2 * MINUTE);
    expect(
      all.map(({ attributes, message }) => [attributes.kind, attributes.status, JSON.parse(message).worker]),
    ).toEqual([
      ["kamado.trouble", "begun", "mac"],
      ["kamado.trouble", "over", "mac"],
    ]);
    expect(jobs).toEqual([]);
    await one.watch.stop();
  }
});

test("dead letters that are there at the first look are no news; new ones are, and that they are gone", async () => {
  const one = watched();
  one.now.dead = { jobs: 4, deliveries: 0 };
  one.watch.start();
  await one.clock.advance(10 * MINUTE);
  expect(one.sent).toEqual([]);
  one.now.dead = { jobs: 6, deliveries: 0 };
  await one.clock.advance(10 * MINUTE);
  expect(one.sent).toEqual(["begun dead_jobs"]);
  one.now.dead = { jobs: 0, deliveries: 0 };
  await one.clock.advance(10 * MINUTE);
  one.now.dead = { jobs: 1, deliveries: 0 };
  await one.clock.advance(90 * MINUTE);
  expect(one.sent).toEqual(["begun dead_jobs", "over dead_jobs", "begun dead_jobs"]);
  await one.watch.stop();
});

test("the engine is asked once a minute, for nobody else does while no job comes", async () => {
  const one = watched();
  one.watch.start();
  await one.clock.advance(10 * MINUTE);
  expect(one.now.asks).toBe(11);
  await one.watch.stop();
});

test("queues are counted rarely, and sooner after a job failed", async () => {
  const one = watched();
  one.watch.start();
  await one.clock.advance(60 * MINUTE);
  expect(one.now.counts).toBeLessThan(15);
  const before = one.now.counts;
  await one.clock.advance(MINUTE);
  one.watch.onEvent({ stage: "ended", outcome: "rejected", job: "a", ending: "", at: 0 } as JobEvent);
  one.now.off = ["callback:https://a"];
  await one.clock.advance(2 * MINUTE);
  expect([one.now.counts, one.sent]).toEqual([before + 1, ["begun destinations_off"]]);
  await one.watch.stop();
});

test("a worker that may not count says so once and tells of everything else", async () => {
  const refuse = async () => {
    throw new Error("not authorized to perform: sqs:GetQueueAttributes");
  };
  const one = watched({ countDead: refuse, listOff: refuse });
  one.now.state = { ...WELL, queue: DOWN };
  one.watch.start();
  await one.clock.advance(60 * MINUTE);
  expect(one.sent).toEqual(["begun queue"]);
  expect(one.said.filter((text) => text.includes("cannot be counted"))).toHaveLength(1);
  await one.watch.stop();
});

describe("a restart", () => {
  test("tells nothing twice", async () => {
    const first = watched();
    first.now.state = { ...WELL, queue: DOWN };
    first.watch.start();
    await first.clock.advance(MINUTE);
    await first.watch.stop();
    const second = watched({ dataDir: first.dataDir });
    second.now.state = { ...WELL, queue: DOWN };
    second.watch.start();
    await second.clock.advance(10 * MINUTE);
    expect([first.sent, second.sent]).toEqual([["begun queue"], []]);
    second.now.state = WELL;
    await second.clock.advance(10 * MINUTE);
    expect(second.sent).toEqual(["over queue"]);
    await second.watch.stop();
  });

  test("forgets no dead letter that came shortly before it", async () => {
    const first = watched();
    first.watch.start();
    await first.clock.advance(MINUTE);
    await first.watch.stop();
    const second = watched({ dataDir: first.dataDir });
    second.now.dead = { jobs: 1, deliveries: 0 };
    second.watch.start();
    await second.clock.advance(MINUTE);
    expect(second.sent).toEqual(["begun dead_jobs"]);
    await second.watch.stop();
  });

  test("tells what had not arrived anywhere", async () => {
    const hanging: Channel = { name: "hangs", send: () => new Promise(() => {}) };
    const first = watched({ channels: [hanging] });
    first.now.state = { ...WELL, queue: DOWN };
    first.watch.start();
    await first.clock.advance(10 * MINUTE);
    await first.watch.stop();
    const second = watched({ dataDir: first.dataDir });
    second.now.state = { ...WELL, queue: DOWN };
    second.watch.start();
    await second.clock.advance(10 * MINUTE);
    expect(second.sent).toEqual(["begun queue"]);
    await second.watch.stop();
  });

  test.each(["", "{", '{"episodes":{"queue":7,"unknown":{}},"dead":3}'])(
    "with a damaged file (%j) begins anew",
    async (text) => {
      const dataDir = folder();
      writeFileSync(join(dataDir, "trouble.json"), text);
      const one = watched({ dataDir });
      one.now.state = { ...WELL, queue: DOWN };
      one.watch.start();
      await one.clock.advance(MINUTE);
      expect(one.sent).toEqual(["begun queue"]);
      expect(JSON.parse(readFileSync(join(dataDir, "trouble.json"), "utf8")).episodes.queue.isTold).toBe(
        true,
      );
      await one.watch.stop();
    },
  );
});

test("a data folder that cannot be written costs nothing but a line in the log", async () => {
  const file = join(folder(), "a-file");
  writeFileSync(file, "");
  const one = watched({ dataDir: join(file, "below") });
  one.now.state = { ...WELL, queue: DOWN };
  one.watch.start();
  await one.clock.advance(60 * MINUTE);
  expect(one.sent).toEqual(["begun queue"]);
  expect(one.said.filter((text) => text.includes("cannot be written"))).toHaveLength(1);
  await one.watch.stop();
});

test("a channel that hangs holds up neither the watch, another channel, nor a stop", async () => {
  const sent: string[] = [];
  const hanging: Channel = { name: "hangs", send: () => new Promise(() => {}) };
  const other: Channel = { name: "works", send: async ({ condition }) => void sent.push(condition.name) };
  const one = watched({ channels: [hanging, other] });
  one.now.state = { ...WELL, queue: DOWN };
  one.watch.start();
  await one.clock.advance(5 * MINUTE);
  one.now.state = {
    ...WELL,
    queue: DOWN,
    engine: { answers: false, error: { code: "c", message: "m", hint: "h" } },
  };
  await one.clock.advance(5 * MINUTE);
  expect(sent).toEqual(["queue", "engine"]);
  await one.watch.stop();
});

test("a worker that ends because its engine is given up says so before it ends", async () => {
  const one = watched();
  one.watch.start();
  await one.watch.tellLast({
    name: "engine",
    title: "The worker ends without its engine",
    message: "m",
    hint: "h",
  });
  expect(one.sent).toEqual(["begun engine"]);
  // Its service manager starts it again and again.
  const next = watched({ dataDir: one.dataDir });
  await next.watch.tellLast({
    name: "engine",
    title: "The worker ends without its engine",
    message: "m",
    hint: "h",
  });
  expect(next.sent).toEqual([]);
  await one.watch.stop();
});

test("with nobody to tell nothing is asked and nothing written", async () => {
  const one = watched({ channels: [] });
  one.watch.start();
  await one.clock.advance(60 * MINUTE);
  expect(one.now.counts).toBe(0);
  await one.watch.stop();
});
