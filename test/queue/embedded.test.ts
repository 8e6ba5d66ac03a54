// The SQS adapter keeps the queue's promises against the embedded AWS, in memory and in a folder.
import { describe } from "vitest";
import { embeddedAws } from "../conformance/embedded.ts";
import { sqsHarness } from "../conformance/over-aws.ts";
import { queueCases } from "../conformance/queue.cases.ts";
import { runSuite } from "../conformance/suite.ts";

describe.each([
  ["in memory", false],
  ["in a folder", true],
])("the embedded AWS %s", (_, kept) => {
  const clients = embeddedAws({ kept });
  runSuite("SQS", queueCases, () => sqsHarness(clients()), {
    "an invalid receipt handle cannot delete: lost": "fauxqs deletes with any receipt handle, and says ok",
  });
});
