// The queue over SQS: batches cut to SQS's limits, one result an entry, errors turned into health states.
// How often to call, and what to do about a result, belongs to run/.
import { randomUUID } from "node:crypto";
import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  type SQSClient,
  type Message as SqsMessage,
} from "@aws-sdk/client-sqs";
import { healthOf, namesOf } from "../aws/errors.ts";
import { KamadoError } from "../errors.ts";
import { JobId } from "../job/envelope.ts";
import { type EntryResult, ID_ATTRIBUTE, isFifo, type Message, type Queue } from "./queue.ts";

/** SQS takes this many entries in a batch call, and gives this many messages in one answer. */
export const BATCH_LIMIT = 10;
/** Body and attributes together. */
export const BODY_LIMIT = 1024 * 1024;
const MAX_VISIBILITY = 43_200;
/** Of messages sent to a FIFO queue without one. */
const GROUP = "kamado";

/**
 * How long a call may take, in ms. A renewal that hangs for half a minute would lose the lease it renews, so short
 * calls get little; a long poll gets its wait and `poll`.
 */
export type SqsTimeouts = { call: number; poll: number };

const TIMEOUTS: SqsTimeouts = { call: 8_000, poll: 8_000 };

/** Of the visibility, so much that a call that hangs and its repetition leave time for another try. */
export const callTimeoutMs = (visibilitySeconds: number) =>
  Math.min(TIMEOUTS.call, Math.max(1_000, (visibilitySeconds * 1_000) / 6));

export function sqsQueue(client: SQSClient, url: string, given: Partial<SqsTimeouts> = {}): Queue {
  const timeouts = { ...TIMEOUTS, ...given };
  const short = { requestTimeout: timeouts.call };
  return {
    url,

    async receive({ max, waitSeconds, visibilitySeconds }) {
      const command = new ReceiveMessageCommand({
        QueueUrl: url,
        MaxNumberOfMessages: Math.min(Math.max(1, max), BATCH_LIMIT),
        WaitTimeSeconds: waitSeconds,
        VisibilityTimeout: visibilitySeconds,
        // Asked for under both names: moto and other old servers know only the second.
        MessageSystemAttributeNames: ["ApproximateReceiveCount", "SentTimestamp", "MessageGroupId"],
        AttributeNames: ["All"],
        MessageAttributeNames: [ID_ATTRIBUTE],
      });
      const requestTimeout = waitSeconds * 1000 + timeouts.poll;
      const { Messages } = await client
        .send(command, { requestTimeout })
        .catch((error) => unavailable(error, url));
      return (Messages ?? []).map((message) => ({ ...toMessage(message, url), id: idOf(message) }));
    },

    extend(entries) {
      const requests = entries.map(({ receipt, seconds }) => ({
        ReceiptHandle: receipt,
        VisibilityTimeout: Math.min(Math.max(0, Math.ceil(seconds)), MAX_VISIBILITY),
      }));
      return inBatches(requests, (Entries) =>
        client.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl: url, Entries }), short),
      );
    },

    remove(receipts) {
      const requests = receipts.map((ReceiptHandle) => ({ ReceiptHandle }));
      return inBatches(requests, (Entries) =>
        client.send(new DeleteMessageBatchCommand({ QueueUrl: url, Entries }), short),
      );
    },

    async send(body, { delaySeconds, attributes = {}, group, deduplicationId } = {}) {
      checkSize(body, attributes);
      const command = new SendMessageCommand({
        QueueUrl: url,
        MessageBody: body,
        MessageAttributes: Object.fromEntries(
          Object.entries(attributes).map(([key, value]) => [key, { DataType: "String", StringValue: value }]),
        ),
        ...(delaySeconds !== undefined && { DelaySeconds: delaySeconds }),
        // Said always: a queue that finds duplicates by content would drop the second of two equal dead letters.
        ...(isFifo({ url }) && {
          MessageGroupId: group ?? GROUP,
          MessageDeduplicationId: deduplicationId ?? randomUUID(),
        }),
      });
      const { MessageId } = await client.send(command, short).catch((error) => unavailable(error, url));
      return MessageId ?? "";
    },
  };
}

/** What was put aside and is sent back has a new MessageId; a job without an id of its own keeps the one it ran under. */
function idOf({ MessageId = "", MessageAttributes = {} }: SqsMessage): string {
  const { success, data } = JobId.safeParse(MessageAttributes[ID_ATTRIBUTE]?.StringValue);
  return success ? data : MessageId;
}

export function toMessage(
  { MessageId, Body, ReceiptHandle, Attributes = {} }: SqsMessage,
  queue: string,
): Message {
  return {
    id: MessageId ?? "",
    queue,
    body: Body ?? "",
    receipt: ReceiptHandle ?? "",
    sentAt: Attributes.SentTimestamp === undefined ? null : Number(Attributes.SentTimestamp),
    receiveCount: Number(Attributes.ApproximateReceiveCount ?? 1) || 1,
    // Other queues take groups too, to be fair to many senders; there they promise no order.
    group: isFifo({ url: queue }) ? (Attributes.MessageGroupId ?? null) : null,
  };
}

type BatchAnswer = {
  Successful?: { Id?: string | undefined }[] | undefined;
  Failed?: { Id?: string | undefined; Code?: string | undefined; Message?: string | undefined }[] | undefined;
};

/** Sends `requests` ten at a time, at once, and puts each entry's result back into its place. */
async function inBatches<R>(
  requests: readonly R[],
  send: (entries: (R & { Id: string })[]) => Promise<BatchAnswer>,
): Promise<EntryResult[]> {
  const results: EntryResult[] = requests.map(() => "failed");
  const numbered = requests.map((request, index) => ({ ...request, Id: String(index) }));
  const batches = Array.from({ length: Math.ceil(numbered.length / BATCH_LIMIT) }, (_, index) =>
    numbered.slice(index * BATCH_LIMIT, (index + 1) * BATCH_LIMIT),
  );
  const run = async (entries: (R & { Id: string })[]) => {
    // A call that fails says nothing about its entries: they stay `failed`, to be tried again.
    const answer = await send(entries).catch((): BatchAnswer => ({}));
    for (const { Id } of answer.Successful ?? []) results[Number(Id)] = "ok";
    for (const { Id, Code, Message } of answer.Failed ?? [])
      results[Number(Id)] = isLost(Code, Message) ? "lost" : "failed";
  };
  await Promise.all(batches.map(run));
  return results;
}

/**
 * Whether a batch entry failed because its receipt is no longer ours. AWS says so in four ways, one of them
 * InvalidParameterValue, which it also uses for a visibility past 12 hours: there the lease still holds.
 */
export function isLost(code: string | undefined, message: string | undefined): boolean {
  if (/ReceiptHandleIsInvalid|MessageNotInflight/.test(code ?? "")) return true;
  return /parameter ReceiptHandle is invalid|receipt handle (is invalid|has expired)|not a valid receipt handle|does not exist or is not available|not in ?flight/i.test(
    message ?? "",
  );
}

function checkSize(body: string, attributes: Record<string, string>): void {
  const ofAttributes = Object.entries(attributes).map(([key, value]) =>
    Buffer.byteLength(`${key}String${value}`),
  );
  const size = ofAttributes.reduce((sum, one) => sum + one, Buffer.byteLength(body));
  if (size > BODY_LIMIT)
    throw new KamadoError("body_too_large", `The message has ${size} bytes; a queue takes ${BODY_LIMIT}.`);
}

const SAY = {
  missing_queue: "there is no such queue",
  credentials: "the credentials are refused",
  network: "there is no answer",
  throttled: "there are too many calls",
  unknown: "the call failed",
};

export function unavailable(error: unknown, url: string): never {
  // The limit above is AWS's; a queue or an emulator may have a lower one of its own.
  const message = error instanceof Error ? error.message : String(error);
  if (/must be shorter than|longer than \d+ bytes/i.test(message))
    throw new KamadoError("body_too_large", `${url}: ${message}`, { cause: error });
  const awsFailure = healthOf(error);
  throw new KamadoError(
    "queue_unavailable",
    `${url}: ${SAY[awsFailure]} (${namesOf(error)[0] ?? "error"}: ${message})`,
    {
      cause: error,
      detail: { awsFailure },
    },
  );
}
