// What the storm observes: the record that the engines write, and after the end everything in the bucket, in the queues and at
// the receivers. Judges nothing; verdict.ts does.
import { closeSync, existsSync, openSync, readSync } from "node:fs";
import type { Message } from "@aws-sdk/client-sqs";
import type { Record } from "../worker/engine/backends/scripted/script.ts";
import { resultKey } from "../worker/job/result.ts";
import type { Aws } from "./aws.ts";
import { JOB_ID } from "./jobs.ts";
import type { Receivers } from "./receivers.ts";
import type { Exit, Workers } from "./workers.ts";

export type Observed = {
  /** Stored results by job. */
  results: ReadonlyMap<string, { status: string }>;
  /** Messages in the jobs' dead-letter queue. `job` is null where no id can be found in it. */
  deadJobs: readonly { job: string | null; reason: string | undefined }[];
  /** Messages in the deliveries' dead-letter queue. */
  deadDeliveries: readonly { job: string | null; address: string }[];
  /** What the receivers applied: one for each key that was new to them. */
  effects: readonly { job: string | null; address: string; key: string; event: string | null }[];
  /** The jobs whose result arrived in the result queue. */
  inResultQueue: ReadonlySet<string | null>;
  /** The job of each answer that an engine began, whether or not the answer was completed. */
  begun: readonly (string | null)[];
  /** Messages left in each queue, waiting or hidden. */
  left: Readonly<{ [queue: string]: number }>;
  exits: readonly Exit[];
};

/** How many results are read at the same time. */
const AT_ONCE = 20;

type Sources = { aws: Aws; receivers: Receivers; engineRecord: EngineRecord; workers: Workers };

export async function observe(
  ids: readonly string[],
  { aws, receivers, engineRecord, workers }: Sources,
): Promise<Observed> {
  const { resources } = aws.where;
  engineRecord.readNew();
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
    effects: receivers.requests.filter(({ applied }) => applied),
    inResultQueue: new Set((await aws.drain(aws.resultQueueUrl)).map(jobIn)),
    begun: engineRecord.all.filter(({ what }) => what === "begun").map(({ job }) => job),
    left: {
      "kamado-jobs": await aws.count(resources.jobsQueueUrl),
      "kamado-deliveries": await aws.count(resources.deliveriesQueueUrl),
    },
    exits: workers.exits,
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

/** A dead delivery contains its destination as the job named it. */
const addressIn = ({ Body = "" }: Message) => /"(?:callback|rest|sqs)":"([^"]+)"/.exec(Body)?.[1] ?? "";

export type EngineAnswer = Pick<Record, "at" | "pid" | "what"> & { job: string | null };

/** The file in which the engines record each answer that they begin or end. Read while it grows. */
export class EngineRecord {
  readonly all: EngineAnswer[] = [];
  readonly #path: string;
  #bytesRead = 0;
  /** The beginning of a line that is not complete yet. */
  #rest = "";

  constructor(path: string) {
    this.#path = path;
  }

  /** What has been added since the last call. */
  readNew(): EngineAnswer[] {
    const lines = (this.#rest + this.#readOn()).split("\n");
    this.#rest = lines.pop()!;
    const added = lines.map(answerOf);
    this.all.push(...added);
    return added;
  }

  #readOn(): string {
    if (!existsSync(this.#path)) return "";
    const file = openSync(this.#path, "r");
    try {
      const parts: Buffer[] = [];
      for (;;) {
        const part = Buffer.alloc(65_536);
        const length = readSync(file, part, 0, part.length, this.#bytesRead);
        if (length === 0) return Buffer.concat(parts).toString();
        this.#bytesRead += length;
        parts.push(part.subarray(0, length));
      }
    } finally {
      closeSync(file);
    }
  }
}

function answerOf(line: string): EngineAnswer {
  const { at, pid, what, prompt } = JSON.parse(line) as Record;
  return { at, pid, what, job: JOB_ID.exec(prompt)?.[0] ?? null };
}
