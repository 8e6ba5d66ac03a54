// A complete Lambda (Node.js 22 or later; the SDK is part of the runtime): asks a question about every picture that arrives
// in a bucket. Set it on the bucket's ObjectCreated events.
//
//   QUEUE_URL   the queue of jobs; the function's role needs sqs:SendMessage on it
//   TOPIC_ARN   the topic for the answers
//   QUESTION    what to ask
//
// To try it without an account, run it under Node with AWS_ENDPOINT_URL=http://127.0.0.1:4566, AWS_REGION=us-east-1, any
// keys, and QUEUE_URL=http://127.0.0.1:4566/000000000000/kamado-jobs.
import { SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";

const sqs = new SQSClient({});
const { QUEUE_URL, TOPIC_ARN, QUESTION = "Is there a person in the picture?" } = process.env;

export async function handler(event) {
  const jobs = event.Records.map(({ s3 }) => {
    const key = decodeURIComponent(s3.object.key.replaceAll("+", " "));
    // The same upload has the same id, so an event that S3 sends twice is answered once.
    const id = `${s3.object.sequencer ?? "0"}-${Buffer.from(key).toString("hex").slice(-80)}`;
    return {
      id,
      kind: "image.check",
      input: { image: `s3://${s3.bucket.name}/${key}`, question: QUESTION },
      deliver: [{ sns: TOPIC_ARN }],
    };
  });
  const send = (job) =>
    sqs.send(new SendMessageCommand({ QueueUrl: QUEUE_URL, MessageBody: JSON.stringify(job) }));
  await Promise.all(jobs.map(send));
  return { sent: jobs.map(({ id }) => id) };
}
