// CloudEvents: which job an event is, in every mode and version, and whatever its attributes are.
import { describe, expect, test } from "vitest";
import { asStructured, jobIdOf } from "../../worker/job/cloud-event.ts";
import { JobId, parseBody } from "../../worker/job/envelope.ts";
import fc from "../properties.ts";

const parse = (body: unknown) =>
  parseBody(typeof body === "string" ? body : JSON.stringify(body), { messageId: "m", rules: [] });
const jobOf = (body: unknown) => {
  const parsed = parse(body);
  if (parsed.is !== "job") throw new Error(`expected a job, got ${JSON.stringify(parsed)}`);
  return parsed.job;
};
const data = { prompt: "buy milk" };
const event = { specversion: "1.0", id: "order-7", source: "/shop/a", type: "prompt", data };
const base64 = (text: string) => Buffer.from(text).toString("base64");

describe("an event is the job of its source and id", () => {
  test("the same id from another source is another job", () => {
    const [one, other] = [jobOf(event), jobOf({ ...event, source: "/shop/b" })];
    expect(one.id).not.toBe(other.id);
    expect([one.id, other.id].map((id) => id.split(".")[0])).toEqual(["order-7", "order-7"]);
    expect(jobOf({ ...event, time: "2026-01-01T00:00:00Z" }).id).toBe(one.id);
  });

  test.each([
    ["letters", "a/b c#ü", /^a-b-c-\.[0-9a-f]{32}$/],
    ["none that is safe", "日本", /^-?event\.|^event\./],
    ["a start that no id may have", "../../etc/passwd", /^etc-passwd\./],
    ["a line end", "a\nb", /^a-b\./],
    ["half of a pair", "a\ud800", /^a-\./],
    ["many", "x".repeat(5_000), /^x{80}\./],
    ["digits, as a number", 42, /^42\./],
  ])("whatever characters the id has: %s", (_, id, expected) => {
    expect(jobOf({ ...event, id }).id).toMatch(expected);
  });

  test("every id is a safe key, and no two events share one", () => {
    const some = fc.tuple(fc.string({ minLength: 1 }), fc.string({ minLength: 1, unit: "binary" }));
    fc.assert(
      fc.property(some, some, ([source, id], [otherSource, otherId]) => {
        const [one, other] = [jobIdOf(id, source), jobIdOf(otherId, otherSource)];
        expect(JobId.safeParse(one).success).toBe(true);
        expect(one === other).toBe(source === otherSource && id === otherId);
      }),
    );
    // Nor do those whose texts read the same when one follows the other, or that look alike once they are made safe.
    expect(jobIdOf("b", "a/")).not.toBe(jobIdOf("/b", "a"));
    expect(jobIdOf("a b", "/")).not.toBe(jobIdOf("a/b", "/"));
  });

  test("its id is made as docs/senders.md says, so that a sender can tell it", () => {
    expect(jobIdOf("order-7", "/shop/a")).toBe("order-7.a471c9cdfe30afca2bbc475cbb1c73f5");
  });

  test("a source that is a number tells events apart too", () => {
    expect(jobOf({ ...event, source: 5 }).id).not.toBe(jobOf({ ...event, source: 6 }).id);
    expect(jobOf({ ...event, source: 5 }).id).toBe(jobOf({ ...event, source: "5" }).id);
  });

  test.each([
    ["id", true],
    ["id", { a: 1 }],
    ["source", ["/a"]],
    ["source", false],
  ])("its %s cannot be %j: without it two events would be one job", (name, value) => {
    expect(parse({ ...event, [name]: value })).toMatchObject({
      is: "malformed",
      error: { code: "invalid_envelope", message: expect.stringMatching(`^${name}: `) },
    });
  });

  test("without an id it is the job of its message", () => {
    for (const id of [undefined, null, ""]) expect(jobOf({ ...event, id }).id).toBe("m");
  });
});

describe("attributes", () => {
  test("that are no fields of a job are allowed", () => {
    const extensions = {
      traceparent: "00-0",
      partitionkey: "k",
      subject: "s",
      kind: "x",
      input: "y",
      comexample: 1,
    };
    expect(jobOf({ ...event, ...extensions })).toMatchObject({ kind: "prompt", input: data });
  });

  test("deliver and policy may be strings, because extensions can be nothing else", () => {
    const deliver = JSON.stringify([{ sns: "arn:aws:sns:us-east-1:000000000000:kamado-results" }]);
    const policy = JSON.stringify({ priority: 7, expiresAt: "2036-01-01T00:00Z", model: null });
    expect(jobOf({ ...event, deliver, policy })).toMatchObject({
      deliver: JSON.parse(deliver),
      policy: { priority: 7, expiresAt: "2036-01-01T00:00:00Z" },
    });
  });

  test.each([
    ["beside no policy", { tenant: "acme" }, { tenant: "acme" }],
    ["beside a policy", { tenant: "acme", policy: { priority: 7 } }, { tenant: "acme", priority: 7 }],
    [
      "beside a policy as a string",
      { tenant: "acme", policy: '{"priority":7}' },
      { tenant: "acme", priority: 7 },
    ],
    ["after the policy's own", { tenant: "acme", policy: { tenant: "own" } }, { tenant: "own" }],
  ])("tenant names the tenant %s", (_, more, policy) => {
    expect(jobOf({ ...event, ...more }).policy).toEqual(policy);
  });

  test.each(["with spaces", "", 42, { a: 1 }, "x".repeat(129)])(
    "a tenant that is no name is somebody else's extension: %j",
    (tenant) => expect(jobOf({ ...event, tenant }).policy).toEqual({}),
  );

  test("a deliver that cannot be read is refused by name, never dropped", () => {
    const parsed = parse({ ...event, deliver: "to me" });
    expect(parsed).toMatchObject({ is: "malformed", error: { code: "invalid_envelope" } });
    expect(parsed.is === "malformed" && parsed.error.message).toContain("deliver");
  });

  test.each(["1.0", "1.0.2", 1, "0.3"])("version %j is understood", (specversion) => {
    expect(jobOf({ ...event, specversion }).input).toEqual(data);
  });

  test.each(["0.1", "2.0", "", 10])("version %j is refused", (specversion) => {
    expect(parse({ ...event, specversion })).toMatchObject({
      is: "malformed",
      error: { code: "invalid_envelope" },
    });
  });
});

describe("data", () => {
  const { data: _, ...bare } = event;
  test.each([
    ["as bytes", { data_base64: base64(JSON.stringify(data)) }],
    ["as bytes beside null", { data: null, data_base64: base64(JSON.stringify(data)) }],
    ["as bytes with a byte order mark", { data_base64: base64(`\ufeff${JSON.stringify(data)}`) }],
    [
      "as bytes of version 0.3",
      { specversion: "0.3", datacontentencoding: "base64", data: base64(JSON.stringify(data)) },
    ],
    ["of a type of JSON's family", { datacontenttype: "application/vnd.x+json; charset=utf-8", data }],
  ])("%s", (_, fields) => {
    expect(jobOf({ ...bare, ...fields }).input).toEqual(data);
  });

  test("of another type is text", () => {
    expect(jobOf({ ...bare, datacontenttype: "text/plain", data: "{}" }).input).toBe("{}");
    expect(jobOf({ ...bare, datacontenttype: "text/plain", data_base64: base64("milk") }).input).toBe("milk");
  });

  test("is JSON by the type's own name, whatever its parameters say", () => {
    const given = { datacontenttype: "text/plain; profile=application/json", data_base64: base64("milk") };
    expect(jobOf({ ...bare, ...given }).input).toBe("milk");
  });

  test("that is not JSON although it says so is refused", () => {
    expect(parse({ ...bare, data_base64: base64("milk") })).toMatchObject({
      error: { code: "malformed_json" },
    });
  });
});

test("an event that Dapr made of a message holds the job as its data", () => {
  const type = "com.dapr.event.sent";
  const more = { topic: "jobs", pubsubname: "sqs", traceid: "00-0", datacontenttype: "application/json" };
  const job = { kind: "prompt", input: data, policy: { priority: 7 } };
  expect(jobOf({ ...event, ...more, type, data: job })).toEqual({ ...jobOf(event), policy: { priority: 7 } });
  expect(parse({ ...event, ...more, type, data: "milk" })).toMatchObject({ is: "job", job: { kind: type } });
});

describe("a batch", () => {
  test("is several jobs, each by its own source and id", () => {
    const parsed = parse([event, { ...event, source: "/shop/b" }, { ...event, id: undefined }]);
    expect(parsed).toMatchObject({
      is: "several",
      jobs: [{ source: "/shop/a" }, { source: "/shop/b" }, { id: "m.2" }],
      refused: [],
    });
  });

  test("an event in it that is no job costs that event alone", () => {
    const bad = { ...event, deliver: "to me" };
    expect(parse([event, bad, null])).toMatchObject({
      is: "several",
      jobs: [{ input: data }],
      refused: [
        { id: "m.1", body: JSON.stringify(bad), error: { code: "invalid_envelope" } },
        { id: "m.2", body: "null", error: { code: "invalid_envelope" } },
      ],
    });
  });

  test("of one event is that job", () => {
    expect(parse([event])).toMatchObject({ is: "job", job: { input: data } });
  });
});

describe("binary mode: the attributes stand beside the body", () => {
  const attributes = (prefix: string) => ({
    [`${prefix}specversion`]: "1.0",
    [`${prefix}id`]: "order-7",
    [`${prefix}source`]: "/shop/a",
    [`${prefix}type`]: "prompt",
  });

  test.each(["ce-", "ce_", "Ce-", "CE_", "cloudEvents_", "cloudEvents:", "cloudEvents-", "ce."])(
    "as %s…",
    (prefix) => {
      const body = asStructured(JSON.stringify(data), attributes(prefix));
      expect(jobOf(body)).toEqual(jobOf(event));
    },
  );

  test("with deliver as an attribute, percent-encoded as HTTP has it", () => {
    const deliver = [{ sns: "arn:x" }];
    const of = (prefix: string, value: string) => ({ ...attributes(prefix), [`${prefix}deliver`]: value });
    for (const given of [
      of("ce_", JSON.stringify(deliver)),
      of("ce-", encodeURIComponent(JSON.stringify(deliver))),
    ])
      expect(jobOf(asStructured(JSON.stringify(data), given)).deliver).toEqual(deliver);
  });

  test("keeps the numbers of the body and reads it without its byte order mark", () => {
    const body = asStructured('\ufeff{"id":9007199254740993}\0', attributes("ce_"));
    expect(jobOf(body).input).toEqual({ id: "9007199254740993" });
  });

  test("with a body that is not JSON: text of its own type", () => {
    const given = { ...attributes("ce_"), "content-type": "text/plain; charset=utf-8" };
    expect(jobOf(asStructured("milk", given)).input).toBe("milk");
    expect(jobOf(asStructured('"milk', attributes("ce_"))).input).toBe('"milk');
  });

  test.each([
    ["no attributes of events", JSON.stringify(data), { kind: "prompt", "content-type": "application/json" }],
    ["only some", JSON.stringify(data), { "ce-id": "1", "ce-source": "/" }],
    ["an event that is structured already", JSON.stringify(event), attributes("ce-")],
  ])("leaves a message as it is that has %s", (_, body, given) => {
    expect(asStructured(body, given)).toBeNull();
  });

  test("in an SNS notification", () => {
    const MessageAttributes = Object.fromEntries(
      Object.entries(attributes("ce_")).map(([name, Value]) => [name, { Type: "String", Value }]),
    );
    expect(jobOf({ Type: "Notification", Message: JSON.stringify(data), MessageAttributes })).toEqual(
      jobOf(event),
    );
  });
});
