// A planned job as the messages that are sent, and the objects that must lie in the bucket before.
import type { PlannedJob } from "./plan.ts";
import { type ShapeName, shapeOf, type Target } from "./shapes.ts";

export type Places = {
  bucket: string;
  /** A queue that results may be told to. */
  toldQueueUrl: string;
  /** The receivers' addresses. */
  receivers: readonly string[];
  /** The key of a picture in the bucket. */
  pictureKey: string;
};

/** Ids are found again in prompts, bodies, dead letters and logs. */
export const JOB_ID = /storm-\d{5}/;
/** More than its digits can tell apart would be found again as one another. */
export const MOST_JOBS = 99_999;

/** Where a job's results go, as the jobs name it. */
export function addressOf(target: Target, { receiver }: PlannedJob, places: Places): string {
  if (target === "queue") return places.toldQueueUrl;
  return `${places.receivers[receiver]}/${target}`;
}

/** The body of each of its messages, and what is put into the bucket first. */
export function writeJob(
  job: PlannedJob,
  places: Places,
  now: number,
): { body: string; objects: { key: string; body: string }[] } {
  const body = JSON.stringify(envelopeOf(job, places, now));
  // Cut in two it is no JSON any more; its id is still to be seen.
  if (job.shape === "malformed") return { body: body.slice(0, body.length / 2), objects: [] };
  if (job.shape !== "pointer") return { body, objects: [] };
  const key = `in/${job.id}.json`;
  const pointer = [
    "software.amazon.payloadoffloading.PayloadS3Pointer",
    { s3BucketName: places.bucket, s3Key: key },
  ];
  return { body: JSON.stringify(pointer), objects: [{ key, body }] };
}

const FIELDS = { callback: "callback", gone: "callback", rest: "rest", queue: "sqs" } as const;

function envelopeOf(job: PlannedJob, places: Places, now: number): object {
  const { id, shape } = job;
  const deliver = shapeOf(shape).to.map((target) => ({
    [FIELDS[target]]: addressOf(target, job, places),
  }));
  const policy = shape === "expires" && { expiresAt: new Date(now + job.expiresAfterMs).toISOString() };
  return { id, ...workOf(job, places), deliver, ...(policy && { policy }) };
}

const TODOS = new Set<ShapeName>(["rest", "both"]);

function workOf({ id, shape }: PlannedJob, { bucket, pictureKey }: Places): { kind: string; input: object } {
  if (TODOS.has(shape))
    return { kind: "todo.match", input: { text: `${id} rent`, todos: [{ id: 1, title: "pay the rent" }] } };
  const prompt = { kind: "prompt", input: { prompt: `${id} ${shape}: what is left of the storm?` } };
  const picture = (key: string) => ({
    ...prompt,
    input: { ...prompt.input, image: `s3://${bucket}/${key}` },
  });
  if (shape === "picture") return picture(pictureKey);
  if (shape === "missing") return picture(`in/${id}-is-not-there.png`);
  if (shape === "refused") return { ...prompt, input: { ...prompt.input, maxTokens: -1 } };
  return prompt;
}
