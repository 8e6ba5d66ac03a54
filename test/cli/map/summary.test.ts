// What a map came to: honest about what ran, what was done before, and what a price table makes of the tokens.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";
import { summaryWords } from "../../../worker/cli/commands/map-view.ts";
import { costOf, readPrices, Tally } from "../../../worker/cli/map/summary.ts";

const folder = mkdtempSync(join(tmpdir(), "kamado-prices-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const used = {
  promptTokens: 1_000_000,
  cachedTokens: 250_000,
  completionTokens: 100_000,
  inferenceMs: 90_000,
};

const TIMES = { wallMs: 70_000, workMs: 60_000 };

function tally(): Tally {
  const all = new Tally();
  all.keep();
  all.add({ status: "succeeded", reused: true, receipt: used });
  all.add({ status: "succeeded", reused: false, receipt: used });
  all.add({ status: "failed", code: "timed_out", reused: false, receipt: { ...used, completionTokens: 0 } });
  all.add({ status: "failed", code: "invalid_input", reused: false });
  all.add({ status: "failed", code: "invalid_input", reused: false });
  all.add({ status: "expired", reused: false });
  return all;
}

test("what was done before counts as succeeded and costs nothing; failures are counted by their reason", () => {
  expect(tally().summary(TIMES)).toEqual({
    ...{ inputs: 7, succeeded: 3, failed: 4, kept: 1, reused: 1, ran: 2 },
    failures: { invalid_input: 2, timed_out: 1, expired: 1 },
    ...{ promptTokens: 2_000_000, cachedTokens: 500_000, completionTokens: 100_000 },
    ...{ inferenceMs: 180_000, ...TIMES, speedUpAtMost: 3 },
  });
});

test("the summary says all of it in words", () => {
  const prices = { currency: "USD", models: { large: { input: 2, output: 10 } } };
  const words = summaryWords(tally().summary(TIMES, prices));
  expect(words).toMatch(/succeeded +3 of 7 \(1 were in the file before, 1 in the bucket\)/);
  expect(words).toMatch(/failed +4: 2 invalid_input, 1 timed_out, 1 expired/);
  expect(words).toMatch(/tokens +2,000,000 in \(500,000 cached\), 100,000 out/);
  expect(words).toMatch(/speed-up +at most 3\.0x: the jobs' own inference took 3 min 0 s together/);
  expect(words).toMatch(/large +5\.0000 USD/);
});

test("without a run there is neither a speed-up nor a token", () => {
  const none = new Tally();
  none.keep();
  expect(none.summary(TIMES)).toMatchObject({ ran: 0, speedUpAtMost: null, failures: {} });
  expect(summaryWords(none.summary(TIMES))).not.toMatch(/tokens|speed/);
});

test("cached tokens have a price of their own where the table has one", () => {
  const models = { a: { input: 2, output: 8 }, b: { input: 2, cachedInput: 0.2, output: 8 } };
  expect(costOf(used, { currency: "EUR", models })).toEqual({
    currency: "EUR",
    byModel: { a: 2 + 0.8, b: 1.5 + 0.05 + 0.8 },
  });
});

test("the example of a table can be read; one that is wrong names the field", () => {
  expect(readPrices(resolve(import.meta.dirname, "../../../examples/prices.json")).currency).toBe("USD");
  const path = join(folder, "prices.json");
  writeFileSync(path, '{"currency": "USD", "models": {"a": {"input": -1, "output": 1}}}');
  expect(() => readPrices(path)).toThrow(
    expect.objectContaining({ code: "invalid_input", message: expect.stringContaining("models.a.input") }),
  );
});
