// The embedded AWS as a process of its own, which the storm does not strike: what is tested is the worker. Says where it is,
// and ends with the storm.
import { SetQueueAttributesCommand } from "@aws-sdk/client-sqs";
import { makeAwsClients } from "../worker/aws/clients.ts";
import { queueArn } from "../worker/aws/resources.ts";
import { startLocalAws } from "../worker/local/local-aws.ts";

const aws = await startLocalAws({ port: 0 });
const clients = makeAwsClients(aws);
// The queue's own redrive gives no reason, and so many kills would reach it for good jobs: only the worker gives up here.
for (const [QueueUrl, dead] of [
  [aws.resources.jobsQueueUrl, "kamado-jobs-dead"],
  [aws.resources.deliveriesQueueUrl, "kamado-deliveries-dead"],
] as const) {
  const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: queueArn(dead), maxReceiveCount: 1_000 });
  await clients.sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: { RedrivePolicy } }));
}
clients.destroy();
process.on("disconnect", () => process.exit(0));
// Ctrl-C reaches the whole group; the storm still asks what is left before it ends this.
process.on("SIGINT", () => {});
const { endpoint, region, credentials, resources } = aws;
process.send!({ endpoint, region, credentials, resources });
