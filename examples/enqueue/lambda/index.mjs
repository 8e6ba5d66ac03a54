// A complete Lambda (Node.js 22 or later): asks a question about every picture that arrives in a bucket. Set it on the bucket's
// ObjectCreated events.
//
//   QUEUE_URL   the queue of jobs; the function's role needs sqs:SendMessage on it
//   TOPIC_ARN   the topic for the answers
//   QUESTION    what to ask
//
// To deploy it, put it into a folder with the client (docs/client.md says how to pack it), and zip the folder. The SDK is part of the
// runtime:
//
//   npm install --legacy-peer-deps ./kamado-0.1.0.tgz && zip -r function.zip index.mjs node_modules
//
// To try it without an account, run it under Node with AWS_ENDPOINT_URL=http://127.0.0.1:4566, AWS_REGION=us-east-1, any
// keys, and QUEUE_URL=http://127.0.0.1:4566/000000000000/kamado-jobs.
import { createClient } from "kamado/client";

const { QUEUE_URL, TOPIC_ARN, QUESTION = "Is there a person in the picture?" } = process.env;
const kamado = createClient({ queueUrl: QUEUE_URL });

export async function handler(event) {
  const sent = await kamado.enqueueMany(event.Records.map(jobOf));
  // Lambda then calls again with the same event. The jobs have the same ids, so those that were sent run once.
  const failed = sent.find(({ ok }) => !ok);
  if (failed) throw failed.error;
  return { sent: sent.map(({ id }) => id) };
}

function jobOf({ s3 }) {
  const key = decodeURIComponent(s3.object.key.replaceAll("+", " "));
  return {
    // The same upload has the same id, so an event that S3 sends twice is answered once.
    id: `${s3.object.sequencer ?? "0"}-${Buffer.from(key).toString("hex").slice(-80)}`,
    kind: "image.check",
    input: { image: `s3://${s3.bucket.name}/${key}`, question: QUESTION },
    deliver: [{ sns: TOPIC_ARN }],
  };
}
