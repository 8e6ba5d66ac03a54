// Events of S3, and of what speaks like it: which records make jobs, by rule.
import { describe, expect, test } from "vitest";
import { parseBody } from "../../worker/job/envelope.ts";
import type { ObjectRule } from "../../worker/job/object-rules.ts";

const rules: ObjectRule[] = [{ prefix: "in/", kind: "prompt", input: { prompt: "$object" } }];
const parse = (body: unknown) => parseBody(JSON.stringify(body), { messageId: "m", rules });

type Given = { name?: string | undefined; key?: string; size?: number | null; more?: object };
const record = ({ name = "ObjectCreated:Put", key = "in/ok.png", size = 5, more = {} }: Given = {}) => ({
  eventVersion: "2.1",
  eventSource: "aws:s3",
  eventName: name,
  s3: { bucket: { name: "kamado" }, object: { key, size, eTag: "x", sequencer: "0055", ...more } },
});
const bridged = ({ name = "Object Created", key = "in/ok.png", size = 5, more = {} }: Given = {}) => ({
  version: "0",
  id: "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb",
  "detail-type": name,
  source: "aws.s3",
  detail: {
    version: "0",
    bucket: { name: "kamado" },
    object: { key, size, etag: "x", ...more },
    reason: "PutObject",
  },
});
const wrapped = (body: unknown) => ({ Type: "Notification", MessageId: "n", Message: JSON.stringify(body) });
const promptOf = (body: unknown) => {
  const parsed = parse(body);
  return parsed.is === "job" ? (parsed.job.input as { prompt: string }).prompt : parsed;
};

describe("an object that was created becomes a job", () => {
  test.each([
    ...["Put", "Post", "Copy", "CompleteMultipartUpload"].map((how) => `ObjectCreated:${how}`),
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:CompleteMultipartUpload",
  ])("%s", (name) => {
    expect(promptOf({ Records: [record({ name })] })).toBe("s3://kamado/in/ok.png");
  });

  test("also where the event does not say what happened", () => {
    expect(promptOf({ Records: [{ s3: record().s3 }] })).toBe("s3://kamado/in/ok.png");
    expect(promptOf({ Records: [{ eventName: null, s3: record({ size: null }).s3 }] })).toBe(
      "s3://kamado/in/ok.png",
    );
  });

  test.each([
    ["EventBridge", bridged()],
    ["SNS", wrapped({ Records: [record()] })],
    ["EventBridge and SNS", wrapped(bridged())],
    ["EventBridge and SNS in a string", JSON.stringify(wrapped(bridged()))],
  ])("by way of %s", (_, body) => {
    expect(promptOf(body)).toBe("s3://kamado/in/ok.png");
  });

  test.each([
    ["front+door.png", "front door.png"],
    ["1%2B1%3D2.png", "1+1=2.png"],
    ["100%25.png", "100%.png"],
    ["100%.png", "100%.png"],
    ["%E7%89%9B%E4%B9%B3.png", "牛乳.png"],
    ["牛乳.png", "牛乳.png"],
    // S3 would have encoded what is not ASCII, so nothing here is.
    ["牛乳+卵.png", "牛乳+卵.png"],
    ["a b%20c.png", "a b%20c.png"],
  ])("its key is decoded: %s", (key, name) => {
    expect(promptOf({ Records: [record({ key: `in/${key}` })] })).toBe(`s3://kamado/in/${name}`);
  });

  test.each(["front+door.png", "100%25.png", "1+1=2.png", "牛乳.png"])(
    "EventBridge does not encode keys: %s",
    (key) => {
      expect(promptOf(bridged({ key: `in/${key}` }))).toBe(`s3://kamado/in/${key}`);
    },
  );

  test.each(["a+b.png", "100%25.png", "a b.png"])("Ceph does not encode keys: %s", (key) => {
    const ceph = { ...record({ key: `in/${key}` }), eventSource: "ceph:s3" };
    expect(promptOf({ Records: [ceph] })).toBe(`s3://kamado/in/${key}`);
  });

  test("taken out of its event, alone or in a list", () => {
    expect(promptOf(record())).toBe("s3://kamado/in/ok.png");
    expect(promptOf([record()])).toBe("s3://kamado/in/ok.png");
    expect(parse([record(), record({ name: "ObjectRemoved:Delete" })])).toMatchObject({ is: "several" });
  });

  test("but not where its size, as a text, is 0", () => {
    expect(parse({ Records: [record({ size: "0" as never })] })).toMatchObject({ is: "nothing" });
  });

  test("MinIO encodes them with their slashes", () => {
    const minio = { ...record({ key: "in%2Fa%2Fb+c%2B.png" }), eventSource: "minio:s3" };
    expect(promptOf({ Records: [minio] })).toBe("s3://kamado/in/a/b c+.png");
  });

  test("in a bucket that keeps versions", () => {
    expect(promptOf({ Records: [record({ more: { versionId: "v1" } })] })).toBe("s3://kamado/in/ok.png");
    expect(promptOf(bridged({ more: { "version-id": "v1" } }))).toBe("s3://kamado/in/ok.png");
  });
});

describe("whatever else happens to objects is ignored, and the reason says what it was", () => {
  test.each([
    "ObjectRemoved:Delete",
    "ObjectRemoved:DeleteMarkerCreated",
    "LifecycleExpiration:Delete",
    "LifecycleTransition",
    "ObjectTagging:Put",
    "ObjectAcl:Put",
    "ObjectRestore:Completed",
    "Replication:OperationFailedReplication",
    "ReducedRedundancyLostObject",
    "IntelligentTiering",
    "s3:ObjectAccessed:Get",
    "s3:ObjectCreated:PutTagging",
    "s3:ObjectCreated:PutRetention",
    "s3:ObjectCreated:PutLegalHold",
    "SomethingNew:Put",
  ])("%s", (name) => {
    expect(parse({ Records: [record({ name, key: "elsewhere/x" })] })).toEqual({
      is: "nothing",
      reason: `${name} creates no object`,
    });
  });

  test.each(["Object Deleted", "Object Tags Added", "Object ACL Updated", "Object Restore Completed"])(
    "%s, by way of EventBridge",
    (name) => {
      const reason = `${name} creates no object`;
      expect(parse(bridged({ name }))).toEqual({ is: "nothing", reason });
      expect(parse(wrapped(bridged({ name })))).toEqual({ is: "nothing", reason });
    },
  );

  test("a folder and an empty object", () => {
    for (const make of [bridged, (given: Given) => ({ Records: [record(given)] })]) {
      expect(parse(make({ key: "in/pics/", size: 0 }))).toMatchObject({
        reason: "s3://kamado/in/pics/ is a folder",
      });
      expect(parse(make({ key: "in/a_$folder$", size: 0 }))).toMatchObject({
        reason: expect.stringContaining("empty"),
      });
    }
  });

  test("S3's test event, by way of SNS too", () => {
    const event = { Service: "Amazon S3", Event: "s3:TestEvent", Bucket: "kamado" };
    for (const body of [event, wrapped(event)]) expect(parse(body)).toMatchObject({ is: "nothing" });
  });
});

describe("each record stands for itself", () => {
  test("one without a rule is put aside alone, as an event of its own", () => {
    const bad = record({ key: "other/x.png" });
    expect(parse({ Records: [record(), bad, record({ name: "ObjectRemoved:Delete" })] })).toMatchObject({
      is: "several",
      jobs: [{ id: "m.0", input: { prompt: "s3://kamado/in/ok.png" } }],
      refused: [
        { id: "m.1", body: JSON.stringify({ Records: [bad] }), error: { code: "no_rule_for_object" } },
      ],
      ignored: ["ObjectRemoved:Delete creates no object"],
    });
  });

  test.each([
    ["null", null],
    ["text", "x"],
    ["no key", { s3: { bucket: { name: "kamado" }, object: {} } }],
  ])("one that is no record is put aside alone: %s", (_, bad) => {
    expect(parse({ Records: [bad, record()] })).toMatchObject({
      is: "several",
      jobs: [{ id: "m.1" }],
      refused: [{ id: "m.0", error: { code: "invalid_envelope" } }],
    });
  });

  test("an event of which no record creates anything is ignored as a whole", () => {
    const names = ["ObjectRemoved:Delete", "ObjectRemoved:Delete", "ObjectTagging:Put"];
    expect(parse({ Records: names.map((name) => record({ name })) })).toEqual({
      is: "nothing",
      reason: "ObjectRemoved:Delete creates no object; ObjectTagging:Put creates no object",
    });
  });
});

describe("other events of EventBridge", () => {
  const other = (detail: object) => ({ ...bridged(), source: "my.shop", "detail-type": "order", detail });

  test("whose detail is a job are that job", () => {
    expect(parse(other({ kind: "prompt", input: {} }))).toMatchObject({
      is: "job",
      job: { id: "m", kind: "prompt" },
    });
  });

  test.each([
    ["whose detail is no job", other({ total: 5 }), "holds no job"],
    ["that log a call", bridged({ name: "AWS API Call via CloudTrail" }), "CloudTrail"],
    ["without an object", { ...bridged(), detail: {} }, "no object"],
  ])("%s are refused with a reason", (_, body, words) => {
    const parsed = parse(body);
    expect(parsed.is === "malformed" && parsed.error.message).toContain(words);
  });
});
