// Which AWS resources a command uses.
import { expect, test } from "vitest";
import { cloudOf, cloudOrLocal } from "../../worker/cli/cloud.ts";
import { loadConfig } from "../../worker/config/config.ts";

const QUEUE = "https://sqs.eu-west-1.amazonaws.com/111122223333/kamado-jobs";

const at = (name: string) => QUEUE.replace("kamado-jobs", name);

test.each([
  ["with kamado-jobs come its delivery queues", "kamado-jobs", "kamado-jobs-dead", "kamado-deliveries-dead"],
  [
    "without a queue of their own, dead deliveries go to the jobs' dead-letter queue",
    "mine",
    "mine-dead",
    "mine-dead",
  ],
  ["the dead letters of a FIFO queue are FIFO", "mine.fifo", "mine-dead.fifo", "mine-dead.fifo"],
])("%s", (_, jobs, dead, deadDeliveries) => {
  expect(cloudOf(loadConfig({}, { KAMADO_QUEUE_URL: at(jobs) }))).toMatchObject({
    queueUrl: at(jobs),
    deadQueueUrl: at(dead),
    deadDeliveriesQueueUrl: at(deadDeliveries),
  });
});

test("without a queue a worker names the variable to set", () => {
  expect(() => cloudOf(loadConfig({}, {}))).toThrow(
    expect.objectContaining({ message: expect.stringContaining("KAMADO_QUEUE_URL") }),
  );
});

test("without a queue a sender uses the `kamado serve` on this machine", () => {
  expect(cloudOrLocal(loadConfig({}, { KAMADO_LOCAL_PORT: "4999" })).queueUrl).toBe(
    "http://127.0.0.1:4999/000000000000/kamado-jobs",
  );
});

test.each([
  ["with its key", { KAMADO_LOCAL_KEY: "a-key-of-some-length" }, "a-key-of-some-length"],
  ["without one, as the manuals of emulators do", {}, "test"],
])("a sender signs for the `kamado serve` on this machine %s", (_, variables, key) => {
  const credentials = { accessKeyId: key, secretAccessKey: key };
  expect(cloudOrLocal(loadConfig({}, variables)).aws.credentials).toEqual(credentials);
});
