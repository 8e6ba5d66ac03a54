// From a message to a job: what pointers and events may name.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, onTestFinished, test } from "vitest";
import { loadConfig } from "../../worker/config/config.ts";
import type { ObjectRule } from "../../worker/job/object-rules.ts";
import { createReadMessage, loadRules, turnOf } from "../../worker/runner/read-message.ts";
import { createReadableObjects } from "../../worker/storage/readable-objects.ts";
import { FakeBucket } from "../fakes/bucket.ts";

const never = new AbortController().signal;
const rule: ObjectRule = { prefix: "", kind: "prompt", input: { prompt: "$object" } };

function read(body: unknown, rules: ObjectRule[], bucket = new FakeBucket()) {
  const buckets = new Map([["kamado", bucket]]);
  const objects = createReadableObjects({ own: "kamado", buckets, rules });
  const message = { id: "m", queue: "q", handle: "h", sentAt: 0, receiveCount: 1, group: null };
  return createReadMessage({ objects, rules, budgets: loadConfig({}, {}).budgets })(
    { ...message, body: JSON.stringify(body) },
    never,
  );
}

const event = (key: string, name = "kamado") => ({
  Records: [{ s3: { bucket: { name }, object: { key } } }],
});

test("an event tells of an object that a rule's prefix covers", async () => {
  expect(await read(event("doors/a+b.png"), [{ ...rule, prefix: "doors/" }])).toMatchObject({
    is: "job",
    job: { input: { prompt: "s3://kamado/doors/a b.png" } },
  });
});

test.each([
  // With such a rule and notifications of the whole bucket, each result would otherwise become a job, which has a result.
  ["what Kamado keeps itself", event("results/a.json"), "object_forbidden"],
  ["another bucket", event("in/x", "elsewhere"), "object_forbidden"],
  ["half of a pair", event("in/\ud800"), "unsupported_address"],
  ["300 KB of key", event(`in/${"k".repeat(300_000)}`), "unsupported_address"],
])("an event of %s makes no job, whatever rules there are", async (_, body, code) => {
  const parsed = await read(body, [rule]);
  expect(parsed).toMatchObject({ is: "malformed", error: { code, retry: false } });
});

test.each([
  ["what its policy asks for", { priority: 9, tenant: "own" }, { priority: 9, tenant: "own" }],
  [
    "the tenant of its message, where the policy names none",
    { priority: 9 },
    { priority: 9, tenant: "group" },
  ],
])("a message that waits has %s", (_, policy, expected) => {
  const body = JSON.stringify({ kind: "prompt", input: {}, policy });
  const message = {
    id: "m",
    queue: "q",
    handle: "h",
    sentAt: 0,
    receiveCount: 1,
    group: null,
    tenant: "group",
    body,
  };
  const { budgets } = loadConfig({}, {});
  expect(turnOf(message, [], budgets)).toEqual(expected);
  expect(turnOf({ ...message, body: "no job" }, [], budgets)).toEqual({ priority: 5, tenant: "group" });
});

describe("a key that may be encoded or not", () => {
  const keys = [{ ...rule, prefix: "in/" }];
  const told = async (written: string, eTag: string | null, objects: Record<string, string>) => {
    const bucket = new FakeBucket();
    for (const [key, body] of Object.entries(objects)) await bucket.put(key, body, { contentType: "a/b" });
    const etags = Object.keys(objects).map((key) => bucket.objects.get(`s3://kamado/${key}`)!.etag);
    const object = { key: written, ...(eTag !== null && { eTag: eTag === "its" ? etags[0] : eTag }) };
    const parsed = await read({ Records: [{ s3: { bucket: { name: "kamado" }, object } }] }, keys, bucket);
    return { parsed, gets: bucket.calls.get };
  };
  const prompt = (key: string) => ({ job: { input: { prompt: `s3://kamado/${key}` } } });

  test.each([
    ["the decoded one, where that is there", "in/a+b", "x", { "in/a b": "1" }, "in/a b"],
    ["the decoded one, where both are there", "in/a+b", "its", { "in/a+b": "1", "in/a b": "2" }, "in/a b"],
    ["the written one, where only that is there", "in/a+b", "its", { "in/a+b": "1" }, "in/a+b"],
    ["the written one of percents", "in/100%25", "its", { "in/100%25": "1" }, "in/100%25"],
    // The object that the event tells of was deleted, and this one only has a similar name.
    ["not another object", "in/a+b", "of another", { "in/a+b": "1" }, "in/a b"],
    ["not one that the event says nothing of", "in/a+b", null, { "in/a+b": "1" }, "in/a b"],
  ])("means %s", async (_, written, etag, objects, key) => {
    expect((await told(written, etag, objects as never)).parsed).toMatchObject(prompt(key));
  });

  test("costs no call where there is no choice", async () => {
    const { parsed, gets } = await told("in/a.png", "x", {});
    expect(parsed).toMatchObject(prompt("in/a.png"));
    expect(gets).toBe(0);
  });

  test("is looked for again when the store does not answer", async () => {
    const bucket = new FakeBucket().next("get", { is: "fail" });
    const object = { key: "in/a+b", eTag: "x" };
    const event = { Records: [{ s3: { bucket: { name: "kamado" }, object } }] };
    await expect(read(event, keys, bucket)).rejects.toMatchObject({ code: "storage_unavailable" });
  });
});

describe("the body behind a pointer", () => {
  const words = "卵を二つ、牛乳を一本、パンを三つ買ってください。";
  const body = JSON.stringify({ kind: "prompt", input: { prompt: words } });
  const pointer = [
    "software.amazon.payloadoffloading.PayloadS3Pointer",
    { s3BucketName: "kamado", s3Key: "in/b" },
  ];
  const behind = async (bytes: Uint8Array, contentType = "application/json") => {
    const bucket = new FakeBucket();
    await bucket.put("in/b", bytes, { contentType });
    return read(pointer, [], bucket);
  };

  test.each([
    ["UTF-8 with a mark", Buffer.from(`\ufeff${body}`)],
    ["UTF-16", Buffer.from(`\ufeff${body}`, "utf16le")],
    ["gzip", gzipSync(body)],
    ["gzip of gzip", gzipSync(gzipSync(body))],
  ])("may be in %s", async (_, bytes) => {
    expect(await behind(bytes)).toMatchObject({ is: "job", job: { input: { prompt: words } } });
  });

  test("may be in the character set that its object names", async () => {
    const bytes = Buffer.concat([
      Buffer.from('{"kind":"prompt","input":{"prompt":"'),
      Buffer.from([0x97, 0x91, 0x82, 0xf0]),
      Buffer.from('"}}'),
    ]);
    const parsed = await behind(bytes, "application/json; charset=Shift_JIS");
    expect(parsed).toMatchObject({ is: "job", job: { input: { prompt: "卵を" } } });
  });

  test("is never read with a � in place of what is damaged", async () => {
    const bytes = Buffer.from(body.replace("卵", "\x00")).map((byte) => (byte === 0 ? 0xff : byte));
    expect(await behind(bytes)).toMatchObject({ is: "malformed", error: { code: "pointer_unreadable" } });
  });

  test("is unpacked up to the limit of a body", async () => {
    const bomb = gzipSync(Buffer.alloc(17 * 1024 * 1024, " "));
    expect(await behind(bomb)).toMatchObject({ is: "malformed", error: { code: "pointer_unreadable" } });
  });
});

test("an object without a rule is named, up to a length", async () => {
  const parsed = await read(event("k".repeat(300_000)), [{ ...rule, prefix: "in/" }]);
  expect(parsed).toMatchObject({ is: "malformed", error: { code: "no_rule_for_object" } });
  expect(parsed.is === "malformed" && parsed.error.message.length).toBeLessThan(300);
});

describe("a file of rules that is wrong is refused with its name, the rule and the form", () => {
  const rule = { prefix: "in/", kind: "image.check", input: {} };
  test.each([
    ["that is not there", null, "cannot be read (ENOENT)"],
    ["that is not JSON", "rules", "it is not JSON"],
    ["that is no list", JSON.stringify(rule), "must be a list of rules"],
    ["with a field that no rule has", JSON.stringify([{ ...rule, prefx: "in/" }]), "did you mean prefix?"],
    ["without a prefix", JSON.stringify([{ ...rule, prefix: undefined }]), "0.prefix"],
    [
      "with an unknown kind",
      JSON.stringify([rule, { ...rule, kind: "image.chekc" }]),
      '1.kind: there is no "image.chekc"; did you mean image.check? this worker knows',
    ],
    [
      "whose policy has a mistyped field",
      JSON.stringify([{ ...rule, policy: { prioritty: 7 } }]),
      '0, as a job: policy: Unrecognized key: "prioritty"; did you mean priority?',
    ],
    [
      "that delivers nowhere",
      JSON.stringify([{ ...rule, deliver: [{ callbck: "https://a.b/" }] }]),
      'deliver.0: expected one of {"callback": "https://…"}',
    ],
    ...[
      ["results/"],
      ["running/locks"],
      ["res", "results/"],
      ["", "results/"],
      ["outbox/"],
      ["s", "split/"],
    ].map(([prefix = "", kept = prefix]): [string, string, string] => [
      `about what Kamado itself writes: "${prefix}"`,
      JSON.stringify([{ ...rule, prefix }]),
      `0.prefix: "${prefix}" covers ${kept.replace("locks", "")}, where Kamado itself writes in the bucket kamado`,
    ]),
  ])("one %s", (_, text, why) => {
    const folder = mkdtempSync(join(tmpdir(), "kamado-rules-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "rules.json");
    if (text !== null) writeFileSync(path, text);
    const load = () => loadRules(path, ["image.check", "prompt"], "kamado");
    const error = {
      code: "config_invalid",
      message: expect.stringContaining(why),
      hint: expect.stringContaining('{"prefix": "in/doors/"'),
    };
    expect(load).toThrow(expect.objectContaining(error));
    expect(load).toThrow(path);
  });
});
async function holding(bytes: string | Uint8Array): Promise<FakeBucket> {
  const bucket = new FakeBucket();
  await bucket.put("in/job.json", bytes, { contentType: "application/json" });
  return bucket;
}

const plain = { kind: "prompt", input: { prompt: "Hello" } };
const pointer = { s3BucketName: "kamado", s3Key: "in/job.json" };

test.each([
  ["UTF-8 after a byte order mark", Buffer.from(`\ufeff${JSON.stringify(plain)}`)],
  ["UTF-16", Buffer.from(`\ufeff${JSON.stringify(plain)}`, "utf16le")],
  ["a JSON string", Buffer.from(JSON.stringify(JSON.stringify(plain)))],
  [
    "an SNS notification",
    Buffer.from(JSON.stringify({ Type: "Notification", Message: JSON.stringify(plain) })),
  ],
])("a body behind a pointer may be %s", async (_, bytes) => {
  expect(await read(pointer, [], await holding(bytes))).toMatchObject({ is: "job", job: plain });
});

test.each([
  ["text in an unknown character set", Buffer.from([0x22, 0x01, 0x81, 0xff, 0x22]), "pointer_unreadable"],
  ["another pointer", JSON.stringify(pointer), "pointer_unreadable"],
])("a body behind a pointer is refused if it is %s", async (_, bytes, code) => {
  expect(await read(pointer, [], await holding(bytes))).toMatchObject({
    is: "malformed",
    error: { code },
  });
});

test("a rule may cover all of a bucket that is not Kamado's own", () => {
  const path = join(mkdtempSync(join(tmpdir(), "kamado-rules-")), "rules.json");
  onTestFinished(() => rmSync(dirname(path), { recursive: true }));
  const rules = ["", "results/"].map((prefix) => ({ ...rule, prefix, bucket: "photos" }));
  writeFileSync(path, JSON.stringify(rules));
  expect(loadRules(path, ["prompt"], "kamado")).toEqual(rules);
});

test("the rules file may begin with a byte order mark, and be UTF-16", () => {
  const path = join(mkdtempSync(join(tmpdir(), "kamado-rules-")), "rules.json");
  onTestFinished(() => rmSync(dirname(path), { recursive: true }));
  for (const encoding of ["utf8", "utf16le"] as const) {
    writeFileSync(path, `\ufeff${JSON.stringify([{ ...rule, prefix: "in/" }])}`, encoding);
    expect(loadRules(path, ["prompt"], "kamado")).toEqual([{ ...rule, prefix: "in/" }]);
  }
});
