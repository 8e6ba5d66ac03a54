// Whatever stands in a message, the worker neither falls nor stops, and every message is accounted for: answered with a
// stored result, put aside as it was, asked for nothing, or back in the queue. `HOSTILE_MESSAGES=100000` for a long look.
import { expect, test } from "vitest";
import type { Delivery } from "../../worker/deliver/deliver.ts";
import { KamadoError } from "../../worker/errors.ts";
import fc from "../properties.ts";
import { createRig, type Rig } from "../rig.ts";

const { HOSTILE_MESSAGES: asked } = process.env;
const MESSAGES = Number(asked ?? 2_000);
const LIMIT_MS = asked ? 3_600_000 : 120_000;
const BATCH = 50;
const LIMIT = 1024 * 1024;

const KEYS = [
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "hasOwnProperty",
  "then",
  "toJSON",
  "",
  "id",
];
const NUMBERS = ["1e400", "-1e400", "1e-400", "-0", "9".repeat(400), "0.1e1", "9007199254740993", "1E+2"];
const STRINGS = [
  "\ud800",
  "\udfff\ud800",
  "\u0000",
  "\u202e",
  "../../x",
  "%2e%2e",
  "e\u0301".repeat(200),
  "👩‍👩‍👧‍👦",
  "\u2028",
  "s3://a/b",
];

const anyString = fc.oneof(
  fc.string({ unit: "binary", maxLength: 200 }),
  fc.string({ maxLength: 60 }),
  fc.constantFrom(...STRINGS, ...KEYS),
);
const anyValue: fc.Arbitrary<unknown> = fc.oneof(
  fc.jsonValue({ maxDepth: 4 }),
  anyString,
  fc.double(),
  fc.maxSafeInteger(),
  fc.constantFrom(null, true, false, {}, []),
  fc.dictionary(fc.oneof(fc.constantFrom(...KEYS), anyString), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 6 }),
);

const id = fc.oneof(
  { weight: 8, arbitrary: fc.uuid() },
  {
    weight: 1,
    arbitrary: fc.constantFrom("constructor", "toString", "hasOwnProperty", "a".repeat(128), "probe"),
  },
);
const destination = fc.constantFrom(
  { callback: "https://example.org/hook" },
  { sns: "arn:aws:sns:us-east-1:000000000000:t" },
  { sqs: "https://example.org/q" },
);
const rightJob = fc.record({
  id,
  kind: fc.constant("work"),
  input: fc.record({ name: anyString }),
  deliver: fc.array(destination, { maxLength: 3 }),
  policy: fc.record({ priority: fc.nat({ max: 9 }) }, { requiredKeys: [] }),
});
const FIELDS = ["id", "kind", "input", "deliver", "policy", "extra", ...KEYS];
/** A right envelope with one field off: another value, gone, or one too many. */
const oneOff = fc
  .tuple(rightJob, fc.constantFrom(...FIELDS), fc.option(anyValue, { nil: undefined }))
  .map(([job, field, value]) => {
    const { [field]: _, ...rest } = job as Record<string, unknown>;
    return Object.fromEntries([...Object.entries(rest), ...(value === undefined ? [] : [[field, value]])]);
  });
const oddPolicy = fc
  .tuple(
    rightJob,
    fc.dictionary(
      fc.constantFrom("expiresAt", "timeoutSeconds", "priority", "model", ...KEYS),
      fc.oneof(
        anyValue,
        fc.constantFrom(
          "2020-01-01T00:00:00Z",
          "+275760-09-13T00:00:00Z",
          "2026-13-40T99:99:99Z",
          1e308,
          39_601,
        ),
      ),
    ),
  )
  .map(([job, policy]) => ({ ...job, policy }));

const envelope = fc.oneof(rightJob, oneOff, oddPolicy, anyValue);
const json = (value: unknown) => JSON.stringify(value) ?? "undefined";
const wrapped = envelope.chain((value) =>
  fc.oneof(
    fc.constant({ Type: "Notification", Message: json(value) }),
    fc.record({ Type: fc.constant("Notification"), Message: anyValue }),
    fc.record({
      specversion: fc.oneof(fc.constant("1.0"), anyValue),
      id: fc.oneof(id, anyValue),
      type: fc.oneof(fc.constant("work"), anyValue),
      source: anyValue,
      data: fc.constant(value),
      data_base64: anyValue,
    }),
    fc.record({ Event: fc.constantFrom("s3:TestEvent", "s3:Other") }),
    fc.record({
      Records: fc.array(
        fc.oneof(
          anyValue,
          fc.record({
            eventSource: fc.constant("aws:s3"),
            s3: fc.oneof(anyValue, fc.record({ object: anyValue })),
          }),
        ),
        { maxLength: 4 },
      ),
    }),
    fc.tuple(
      anyString,
      fc.record({ s3BucketName: fc.oneof(fc.constant("kamado"), anyValue), s3Key: anyValue }),
    ),
  ),
);
/** As deep as a message is long. */
const deep = fc
  .tuple(
    fc.constantFrom(["[", "]"], ['{"a":', "}"], ['[{"input":', "}]"]),
    fc.nat({ max: 100_000 }),
    fc.boolean(),
  )
  .map(([[open, close], depth, isInput]) => {
    const nest = open!.repeat(Math.min(depth, 400_000 / open!.length));
    const value = `${nest}1${close!.repeat(nest.length / open!.length)}`;
    return isInput
      ? `{"id":"deep","kind":"work","deliver":[{"sqs":"https://example.org/q"}],"input":${value}}`
      : value;
  });
const numbers = fc
  .tuple(fc.constantFrom(...NUMBERS), fc.constantFrom("priority", "timeoutSeconds", "id"))
  .map(([number, field]) =>
    field === "id"
      ? `{"id":${number},"kind":"work","input":{"name":"n"}}`
      : `{"kind":"work","input":{"name":"n"},"policy":{"${field}":${number}}}`,
  );
const torn = fc
  .tuple(envelope.map(json), fc.nat())
  .map(([text, at]) => text.slice(0, at % (text.length + 1)));
const nearLimit = fc.tuple(fc.integer({ min: -3, max: 3 }), fc.boolean()).map(([more, isName]) => {
  const frame = (text: string) => (isName ? `{"kind":"work","input":{"name":"${text}"}}` : `"${text}"`);
  return frame("x".repeat(LIMIT - frame("").length + more));
});

const body = fc.oneof(
  { weight: 6, arbitrary: envelope.map(json) },
  { weight: 4, arbitrary: wrapped.map(json) },
  { weight: 2, arbitrary: torn },
  { weight: 2, arbitrary: numbers },
  { weight: 2, arbitrary: anyString },
  {
    weight: 2,
    arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString("utf8")),
  },
  { weight: 1, arbitrary: deep },
);
const anyBody = fc.oneof({ weight: 200, arbitrary: body }, { weight: 1, arbitrary: nearLimit });

/** How the handler of a job that got so far ends. */
const end = fc.oneof(
  fc.constant({ finish: undefined }),
  anyValue.map((value) => ({ finish: value })),
  fc.constantFrom<{ fail: unknown }>(
    { fail: undefined },
    { fail: null },
    { fail: "text" },
    { fail: { message: 7 } },
    { fail: new KamadoError("engine_unavailable", "down") },
    { fail: new KamadoError("engine_died", "it ended") },
    { fail: new KamadoError("invalid_input", "no") },
  ),
);
type End = { finish: unknown } | { fail: unknown };

/** A receiver that takes nothing, and one that takes nothing now. */
const deliver = async ({ destination }: Delivery): Promise<void> => {
  if ("sqs" in destination) throw new KamadoError("delivery_rejected", "no");
  if ("callback" in destination) throw new KamadoError("delivery_failed", "not now");
};
const fates = new Map<string, number>();

test(
  `${MESSAGES} hostile messages: no crash, no hang, each accounted for`,
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyBody, { minLength: BATCH, maxLength: BATCH, size: "max" }),
        fc.array(end, { minLength: 1, maxLength: 8 }),
        async (bodies, ends) => {
          const rig = createRig({ slots: 8, prefetch: 8, deliver });
          rig.consumer.start();
          const sent = await sendAll(rig, bodies);
          await workOff(rig, ends);
          for (const [message, text] of sent) {
            const fate = fateOf(rig, message, text);
            fates.set(fate, (fates.get(fate) ?? 0) + 1);
            expect([text.slice(0, 300), fate]).not.toContain("lost");
          }
          expect(rig.consumer.health).toBe("ok");
        },
      ),
      {
        numRuns: Math.ceil(MESSAGES / BATCH),
        seed: Number(process.env.HOSTILE_SEED ?? 4),
        endOnFailure: true,
      },
    );
    if (asked) console.log(Object.fromEntries(fates));
    expect([...fates.keys()].toSorted()).toEqual([
      "answered",
      "asked for nothing",
      "given back",
      "put aside",
    ]);
  },
  LIMIT_MS,
);

/** By message id. What the queue itself does not take never reaches a worker. */
async function sendAll({ queue }: Rig, bodies: readonly string[]): Promise<Map<string, string>> {
  const sent = new Map<string, string>();
  for (const text of bodies) {
    const message = await queue.send(text).catch((error: KamadoError) => {
      expect(error.code).toBe("body_too_large");
      return null;
    });
    if (message !== null) sent.set(message, text);
  }
  return sent;
}

async function workOff({ clock, runs, consumer, queue }: Rig, ends: readonly End[]): Promise<void> {
  let ended = 0;
  for (let round = 0; round < 20 && (queue.messages.length > 0 || consumer.running > 0); round++) {
    await clock.advance(round < 12 ? 100 : 10_000);
    for (const run of runs.slice(ended)) {
      const how = ends[ended++ % ends.length]!;
      if ("fail" in how) run.fail(how.fail);
      else run.finish(how.finish);
    }
  }
  await clock.advance(1_000);
}

/** Delivered, in the outbox, or among the dead deliveries. */
const isTold = ({ deliveries, outbox, deadDeliveries }: Rig, job: string) =>
  deliveries.some((delivery) => delivery.job.id === job) ||
  [outbox, deadDeliveries].some(({ messages }) =>
    messages.some(({ body: one }) => one.includes(JSON.stringify(job))),
  );

function fateOf(rig: Rig, message: string, text: string): string {
  const { events, queue, dead, stored } = rig;
  if (queue.messages.some(({ id: one }) => one === message)) return "given back";
  if (dead.messages.some(({ body: one }) => one === text)) return "put aside";
  const job = events.find((event) => event.stage === "received" && event.message === message)?.job;
  if (job === undefined) return "lost";
  if (stored(job) && isTold(rig, job)) return "answered";
  const ended = events.find((event) => event.stage === "ended" && event.job === job);
  return ended?.stage === "ended" && ended.outcome === "ignored" ? "asked for nothing" : "lost";
}
