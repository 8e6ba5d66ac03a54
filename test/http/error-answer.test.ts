import { expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import { errorAnswer } from "../../worker/http/error-answer.ts";

test("an error over HTTP has its code, what happened, what to do about it, and the status of its code", async () => {
  const answer = errorAnswer(new KamadoError("unknown_kind", "There is no kind x."));
  expect([answer.status, answer.headers.get("retry-after")]).toEqual([404, null]);
  expect(await answer.json()).toEqual({
    error: { code: "unknown_kind", message: "There is no kind x.", hint: expect.stringMatching(/./) },
  });
});

test.each([
  [
    "says when, if that is known",
    new KamadoError("too_many_attempts", "x", { detail: { retryAfterMs: 1_500 } }),
    "2",
  ],
  ["says to ask again soon, if it may pass by itself", new KamadoError("queue_unavailable", "x"), "1"],
  ["does not say so of our own mistakes", new Error("x"), null],
])("an error over HTTP %s", (_, thrown, seconds) => {
  expect(errorAnswer(thrown).headers.get("retry-after")).toBe(seconds);
});
