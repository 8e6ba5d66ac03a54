import { expect, test } from "vitest";
import { cloudOf, cloudOrLocal } from "../../worker/cli/cloud.ts";
import { loadConfig } from "../../worker/config.ts";

const QUEUE = "https://sqs.eu-west-1.amazonaws.com/111122223333/kamado-jobs";

test("the dead-letter queue is expected beside the queue; refused deliveries go there too when they have no place of their own", () => {
  expect(cloudOf(loadConfig({}, { KAMADO_QUEUE_URL: QUEUE }))).toMatchObject({
    queueUrl: QUEUE,
    deadQueueUrl: `${QUEUE}-dead`,
    deadDeliveriesQueueUrl: `${QUEUE}-dead`,
  });
});

test("without a queue a worker says which variable names one", () => {
  expect(() => cloudOf(loadConfig({}, {}))).toThrow(
    expect.objectContaining({ message: expect.stringContaining("KAMADO_QUEUE_URL") }),
  );
});

test("without a queue a sender finds the `kamado serve` on this machine", () => {
  expect(cloudOrLocal(loadConfig({}, { KAMADO_LOCAL_PORT: "4999" })).queueUrl).toBe(
    "http://127.0.0.1:4999/000000000000/kamado-jobs",
  );
});
