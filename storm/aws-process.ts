// The embedded AWS as a process of its own. The storm injects no faults into it, because the worker is what is tested. Tells the
// storm its address, and ends with the storm.
import { SetQueueAttributesCommand } from "@aws-sdk/client-sqs";
import { makeAwsClients } from "../worker/aws/clients.ts";
import { queueArn } from "../worker/aws/resources.ts";
import { startLocalAws } from "../worker/local/local-aws.ts";

const aws = await startLocalAws({ port: 0 });
const clients = makeAwsClients(aws);
// The queue's own redrive gives no reason, and with so many kills it would hit good jobs. Here only the worker may give up a job.
for (const [QueueUrl, dead] of [
  [aws.resources.jobsQueueUrl, "kamado-jobs-dead"],
  [aws.resources.deliveriesQueueUrl, "kamado-deliveries-dead"],
] as const) {
  const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: queueArn(dead), maxReceiveCount: 1_000 });
  await clients.sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: { RedrivePolicy } }));
}
clients.destroy();
process.on("disconnect", () => process.exit(0));
// Ctrl-C reaches the whole process group, but the storm still has to read what is left here.
process.on("SIGINT", () => {});
const { endpoint, region, credentials, resources } = aws;
process.send!({ endpoint, region, credentials, resources });
