// All jobs of `npm run demo`, from the queue to the result, where the worker may do only what the template's policy for the Mac allows and
// the sender only what its policy for enqueuers allows.
import { expect, test, vi } from "vitest";
import { demo } from "../../examples/demo/main.ts";
import { DEPLOY_MS, deploy, ENQUEUER, whyNotAll, whyNotDeployed } from "./deployed.ts";

test(
  "every job of the demo is right and delivered under the template's own policies",
  async (context) => {
    const skipped = whyNotAll() ?? whyNotDeployed();
    if (skipped !== null) return context.skip(skipped);
    const deployed = await deploy();
    const written: string[] = [];
    const logged: string[] = [];
    const print = vi
      .spyOn(process.stdout, "write")
      .mockImplementation((text) => written.push(String(text)) > 0);
    const log = vi.spyOn(process.stderr, "write").mockImplementation((text) => logged.push(String(text)) > 0);
    try {
      const { outputs, admin } = deployed;
      const worker = {
        aws: await deployed.keyOf(outputs.WorkerUserName!),
        queueUrl: outputs.JobsQueueUrl!,
        deadQueueUrl: outputs.JobsDeadQueueUrl!,
        deliveriesQueueUrl: outputs.DeliveriesQueueUrl!,
        deadDeliveriesQueueUrl: outputs.DeliveriesDeadQueueUrl!,
        topicArn: outputs.TopicArn!,
      };
      const aws = {
        worker,
        sender: await deployed.keyOf(ENQUEUER),
        owner: admin,
        bucket: outputs.BucketName!,
        topicArn: outputs.TopicArn!,
      };
      await demo({ KAMADO_LOG_LEVEL: "debug" }, { json: true, aws });
    } finally {
      print.mockRestore();
      log.mockRestore();
      await deployed.stop();
    }
    const { results: _, ...tally } = JSON.parse(written.join(""));
    expect(tally).toEqual({ jobs: 15, right: 15, delivered: 15, lost: 0 });
    // What a worker can do without, such as its delivery log, would only be logged.
    const all = logged.join("");
    expect(all).toContain("prompt-1");
    expect(all).not.toMatch(/AccessDenied|not authorized|forbidden/i);
  },
  DEPLOY_MS,
);
