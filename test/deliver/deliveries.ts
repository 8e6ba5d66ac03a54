// Makes deliveries for the tests: a result of a job, for some destination.
import { expect } from "vitest";
import type { Delivery } from "../../worker/deliver/deliver.ts";
import type { KamadoError } from "../../worker/errors.ts";
import { Job } from "../../worker/job/envelope.ts";
import type { Receipt, Result } from "../../worker/job/result.ts";

export const RECEIPT: Receipt = {
  model: "demo",
  engine: "scripted",
  promptTokens: 10,
  cachedTokens: 0,
  completionTokens: 1,
  queuedMs: 5,
  inferenceMs: 20,
  attempts: 1,
  repairs: 0,
  worker: "mac",
};

export type Given = {
  id?: string;
  kind?: string;
  input?: unknown;
  result?: Partial<Result>;
  signal?: AbortSignal;
};

export function delivery(destination: Delivery["destination"], given: Given = {}): Delivery {
  const { id = "01J.a:b", kind = "image.check", input = {}, result, signal } = given;
  return {
    job: Job.parse({ id, kind, input, deliver: [destination] }),
    result: {
      id,
      kind,
      status: "succeeded",
      output: { answer: "y", probability: 0.9 },
      receipt: RECEIPT,
      ...result,
    },
    input,
    destination,
    ...(signal && { signal }),
  };
}

export const FAILED: Partial<Result> = {
  status: "failed",
  output: undefined,
  error: { code: "timed_out", message: "too long" },
};

export const errorOf = (promise: Promise<unknown>): Promise<KamadoError> =>
  promise.then(
    () => expect.unreachable("it should have failed"),
    (error) => error,
  );
