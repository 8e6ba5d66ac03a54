// From a message to a job: what pointers and events may name.
import { expect, test } from "vitest";
import { loadConfig } from "../../worker/config/config.ts";
import type { ObjectRule } from "../../worker/job/object-rules.ts";
import { createReadMessage } from "../../worker/runner/read-message.ts";
import { createReadableObjects } from "../../worker/storage/readable-objects.ts";
import { FakeBucket } from "../fakes/bucket.ts";

const never = new AbortController().signal;
const rule: ObjectRule = { prefix: "", kind: "prompt", input: { prompt: "$object" } };

function read(body: unknown, rules: ObjectRule[]) {
  const buckets = new Map([["kamado", new FakeBucket()]]);
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

test("an object without a rule is named, up to a length", async () => {
  const parsed = await read(event("k".repeat(300_000)), [{ ...rule, prefix: "in/" }]);
  expect(parsed).toMatchObject({ is: "malformed", error: { code: "no_rule_for_object" } });
  expect(parsed.is === "malformed" && parsed.error.message.length).toBeLessThan(300);
});
