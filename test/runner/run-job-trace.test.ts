// A job's trace goes with it: from the message to the engine and to every receiver, also when a delivery is tried again and when a dead
// letter is sent back.
import { describe, expect, test } from "vitest";
import { DeadLetterQueues } from "../../worker/dead-letters/redrive.ts";
import { KamadoError } from "../../worker/errors.ts";
import { DisabledDestinations } from "../../worker/outbox/disabled-destinations.ts";
import { createResults } from "../../worker/storage/results.ts";
import { createRig, failing, type Rig, type RigOptions } from "../rig.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const traceparent = `00-${TRACE}-00f067aa0ba902b7-01`;
const tracestate = "vendor=1";
const OTHER = `00-${"1".repeat(32)}-${"2".repeat(16)}-01`;
const work = (more: object = {}) => JSON.stringify({ id: "a", kind: "work", input: { name: "a" }, ...more });

async function working(options: RigOptions = {}): Promise<Rig> {
  const rig = createRig(options);
  rig.worker.start();
  await rig.clock.advance(10);
  return rig;
}

const carried = ({ deliveries }: Rig) => deliveries.map(({ job }) => [job.traceparent, job.tracestate]);

const EVENT = { specversion: "1.0", type: "work", source: "s", id: "a", data: { name: "a" } };
const text = (Value: string) => ({ Type: "String", Value });
const lambdaText = (stringValue: string) => ({ dataType: "String", stringValue });

test.each<[string, string, Record<string, string>]>([
  ["a message's attributes", work(), { traceparent, tracestate }],
  ["the job itself", work({ traceparent, tracestate }), {}],
  ["the job itself, whatever the message says", work({ traceparent, tracestate }), { traceparent: OTHER }],
  ["a CloudEvent", JSON.stringify({ ...EVENT, traceparent, tracestate }), {}],
  [
    "a CloudEvent in binary mode",
    JSON.stringify({ name: "a" }),
    {
      "ce-specversion": "1.0",
      "ce-type": "work",
      "ce-source": "s",
      "ce-id": "a",
      "ce-traceparent": traceparent,
      "ce-tracestate": tracestate,
    },
  ],
  [
    "a notification of SNS",
    JSON.stringify({
      Type: "Notification",
      Message: work(),
      MessageAttributes: { traceparent: text(traceparent), tracestate: text(tracestate) },
    }),
    {},
  ],
  [
    "a message that Lambda or a pipe hands on",
    JSON.stringify({
      eventSource: "aws:sqs",
      body: work(),
      messageAttributes: { traceparent: lambdaText(traceparent), tracestate: lambdaText(tracestate) },
    }),
    {},
  ],
])(
  "the trace of %s comes to the engine, to the receiver and into the receipt",
  async (_, body, attributes) => {
    const rig = await working();
    await rig.queue.send(body, { attributes });
    await rig.complete("a");
    expect(rig.traces).toEqual([{ traceparent, tracestate }]);
    expect(carried(rig)).toEqual([[traceparent, tracestate]]);
    expect(rig.deliveries[0]!.result.receipt.traceId).toBe(TRACE);
  },
);

test("a trace that is not valid costs no job, goes nowhere, and is said", async () => {
  const lines: string[] = [];
  const note = (_: unknown, message?: string) => void lines.push(String(message));
  const log = { debug: note, info: note, warn: note, error: note, child: () => log } as never as NonNullable<
    RigOptions["log"]
  >;
  const rig = await working({ log });
  await rig.send("a", { traceparent: "broken\n", tracestate });
  await rig.complete("a");
  expect(rig.endOf("a")).toMatchObject({ outcome: "succeeded" });
  expect(carried(rig)).toEqual([[undefined, undefined]]);
  expect(lines).toContain("received; its traceparent is not valid and has no effect");
});

test("a job without a trace gets none", async () => {
  const rig = await working();
  await rig.send("a");
  await rig.complete("a");
  expect(rig.traces).toEqual([{ traceparent: undefined, tracestate: undefined }]);
  expect(rig.stored("a")!.receipt).not.toHaveProperty("traceId");
});

test("the same job with another trace is the same job", async () => {
  const rig = await working();
  await rig.send("a", { traceparent });
  await rig.complete("a");
  await rig.send("a", { traceparent: OTHER });
  await rig.clock.advance(1_000);
  expect(rig.runs).toHaveLength(1);
  expect(rig.events.filter(({ stage }) => stage === "ended")).toMatchObject([
    { outcome: "succeeded" },
    { outcome: "succeeded" },
  ]);
});

test("a delivery that is tried again from the outbox goes on in the trace", async () => {
  let fails = true;
  const rig = await working({
    deliver: failing(() => (fails ? new KamadoError("delivery_failed", "not now") : null)),
  });
  await rig.send("a", { deliver: [{ callback: "https://a.example/" }], traceparent, tracestate });
  await rig.complete("a");
  fails = false;
  expect(JSON.parse(rig.outbox.messages[0]!.body).trace).toEqual({ traceparent, tracestate });
  await rig.clock.advance(60_000);
  expect(carried(rig)).toEqual([[traceparent, tracestate]]);
});

describe("an event with several jobs", () => {
  test("each goes on in the trace of the message, or in its own; no body has a field that an older worker refuses", async () => {
    const rig = createRig({ slots: 1, prefetch: 0 });
    const list = [{ id: "a" }, { id: "b", traceparent: OTHER }].map((one) => ({
      kind: "work",
      input: { name: one.id },
      ...one,
    }));
    await rig.queue.send(JSON.stringify(list), { attributes: { traceparent } });
    rig.consumer.start();
    await rig.clock.advance(10);
    const sent = rig.queue.messages.filter(({ body }) => body.startsWith("{"));
    expect(sent.map(({ attributes }) => attributes)).toEqual([{ traceparent }, { traceparent: OTHER }]);
    expect(sent.map(({ body }) => Object.keys(JSON.parse(body)))).toEqual(
      sent.map(() => expect.not.arrayContaining(["traceparent"])),
    );
  });
});

describe("a dead letter", () => {
  test("that is sent back goes on in the trace of its job", async () => {
    const rig = await working({ maxAttempts: 1 });
    await rig.queue.send(work(), { attributes: { traceparent, tracestate } });
    await rig.clock.advance(10);
    rig.run("a").fail(new KamadoError("engine_unavailable", "no"));
    await rig.clock.advance(1_000);
    const [dead] = rig.dead.messages;
    // As many as SQS takes.
    expect(Object.keys(dead!.attributes).length).toBeLessThanOrEqual(10);
    const queues = new DeadLetterQueues({
      dead: { jobs: rig.dead, deliveries: rig.deadDeliveries },
      origin: { jobs: [rig.queue], deliveries: rig.outbox },
      bucket: rig.bucket,
      results: createResults(rig.bucket),
      disabledDestinations: new DisabledDestinations(rig),
      clock: rig.clock,
    });
    for (const one of await queues.open()) await queues.redrive(one);
    await rig.complete("a");
    expect(rig.stored("a")).toMatchObject({ status: "succeeded", receipt: { traceId: TRACE } });
    expect(carried(rig).at(-1)).toEqual([traceparent, tracestate]);
  });
});
