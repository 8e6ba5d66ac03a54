// What is found after a storm: in the bucket, in the queues, at the receivers, in the engines' records.
import type { Message } from "@aws-sdk/client-sqs";
import { resultKey } from "../worker/job/result.ts";
import type { Answers } from "./answers.ts";
import type { Aws } from "./aws.ts";
import { JOB_ID } from "./jobs.ts";
import type { Observed } from "./observed.ts";
import type { Receivers } from "./receivers.ts";
import type { Crew } from "./workers.ts";

const AT_ONCE = 20;

export async function observe(
  ids: readonly string[],
  { aws, receivers, answers, crew }: { aws: Aws; receivers: Receivers; answers: Answers; crew: Crew },
): Promise<Observed> {
  const { resources } = aws.where;
  answers.look();
  return {
    results: await resultsOf(ids, aws),
    deadJobs: (await aws.drain(resources.deadQueueUrl)).map((message) => ({
      job: jobIn(message),
      reason: message.MessageAttributes?.["kamado-reason"]?.StringValue,
    })),
    deadDeliveries: (await aws.drain(resources.deadDeliveriesQueueUrl)).map((message) => ({
      job: jobIn(message),
      address: addressIn(message),
    })),
    effects: receivers.heard.filter(({ applied }) => applied),
    told: new Set((await aws.drain(aws.toldQueueUrl)).map(jobIn)),
    begun: answers.all.filter(({ what }) => what === "begun").map(({ job }) => job),
    left: {
      "kamado-jobs": await aws.count(resources.jobsQueueUrl),
      "kamado-deliveries": await aws.count(resources.deliveriesQueueUrl),
    },
    exits: crew.exits,
  };
}

async function resultsOf(ids: readonly string[], aws: Aws): Promise<Map<string, { status: string }>> {
  const results = new Map<string, { status: string }>();
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    const found = await Promise.all(
      ids.slice(at, at + AT_ONCE).map(async (id) => [id, await aws.get(resultKey(id))] as const),
    );
    for (const [id, result] of found) if (result !== null) results.set(id, result as { status: string });
  }
  return results;
}

const jobIn = ({ Body = "" }: Message) => JOB_ID.exec(Body)?.[0] ?? null;

/** A dead delivery names its destination as the job did, wherever in its body. */
const addressIn = ({ Body = "" }: Message) => /"(?:callback|rest|sqs)":"([^"]+)"/.exec(Body)?.[1] ?? "";
