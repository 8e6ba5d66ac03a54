// Stored results: what a worker finds again, also when another version of Kamado wrote it.
import { expect, test } from "vitest";
import { createResults } from "../../worker/storage/results.ts";
import { FakeBucket } from "../fakes/bucket.ts";

const RESULT = {
  id: "a",
  kind: "prompt",
  status: "succeeded" as const,
  output: { text: "hi" },
  receipt: {
    model: "m",
    engine: "e",
    promptTokens: 1,
    cachedTokens: 0,
    completionTokens: 1,
    queuedMs: 1,
    inferenceMs: 1,
    attempts: 1,
    repairs: 0,
    worker: "w",
  },
};

test("a result is found as it was stored, and none where none was", async () => {
  const results = createResults(new FakeBucket());
  expect(await results.find("a")).toBeNull();
  await results.store(RESULT);
  expect(await results.find("a")).toEqual(RESULT);
});

test("a result with fields that only a newer version knows is read all the same", async () => {
  const bucket = new FakeBucket();
  const newer = { ...RESULT, cost: 0, receipt: { ...RESULT.receipt, gpu: "M9" } };
  await bucket.put("results/a.json", JSON.stringify(newer), { contentType: "application/json" });
  expect(await createResults(bucket).find("a")).toEqual(RESULT);
});
