// A queue over SQS: batches within SQS's limits, one result for each entry, errors as health states. How often to call, and
// what follows from a result, is up to the callers.
import { randomUUID } from "node:crypto";
import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  type MessageAttributeValue,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  type SQSClient,
  type Message as SqsMessage,
} from "@aws-sdk/client-sqs";
import { healthOf, isRefusedRequest, namesOf, saidBy, statusOf } from "../aws/errors.ts";
import { deniedRight, grant, queueArnOf } from "../aws/rights.ts";
import { KamadoError } from "../errors.ts";
import { asStructured } from "../job/cloud-event.ts";
import { JobId } from "../job/envelope.ts";
import { isTenantName } from "../job/tenant.ts";
import { ofAttributes } from "../job/trace-context.ts";
import { QUEUE_HINTS } from "./health.ts";
import {
  type EntryResult,
  ID_ATTRIBUTE,
  isFifo,
  type Message,
  type NewMessage,
  type Queue,
  TENANT_ATTRIBUTE,
} from "./queue.ts";

/** The most entries of a batch call, and the most messages of an answer. */
export const BATCH_LIMIT = 10;
/** Bytes of body and attributes together. */
export const BODY_LIMIT = 1024 * 1024;
/** Bytes of a batch. Older queues and emulators take no more in one call. */
const BATCH_BYTES = 256 * 1024;
/** Seconds. */
const MAX_VISIBILITY = 43_200;
/** The group of messages that are sent to a FIFO queue without one. */
const GROUP = "kamado";

/**
 * The longest duration of a call, in ms. It is short, because a renewal that hangs for half a minute would lose the lease that
 * it renews. A long poll gets `poll` in addition to its wait.
 */
export type SqsTimeouts = { call: number; poll: number };

const TIMEOUTS: SqsTimeouts = { call: 8_000, poll: 8_000 };

/** So short that a call that hangs, and its retry, leave time in the visibility for one more call. */
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
        // Under both names, because moto and other old servers know only the second.
        MessageSystemAttributeNames: [
          "ApproximateReceiveCount",
          "SentTimestamp",
          "MessageGroupId",
          "AWSTraceHeader",
        ],
        AttributeNames: ["All"],
        // The id, the trace, and those of an event in binary mode, whose names differ from sender to sender.
        MessageAttributeNames: ["All"],
      });
      const requestTimeout = waitSeconds * 1000 + timeouts.poll;
      const { Messages } = await client
        .send(command, { requestTimeout })
        .catch((error) => unavailable(error, url, "sqs:ReceiveMessage"));
      return (Messages ?? []).map((message) => ({ ...toMessage(message, url), id: idOf(message) }));
    },

    extend(entries) {
      const requests = entries.map(({ handle, seconds }) => ({
        ReceiptHandle: handle,
        VisibilityTimeout: Math.min(Math.max(0, Math.ceil(seconds)), MAX_VISIBILITY),
      }));
      return inBatches(requests, (Entries) =>
        client.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl: url, Entries }), short),
      );
    },

    remove(handles) {
      const requests = handles.map((ReceiptHandle) => ({ ReceiptHandle }));
      return inBatches(requests, (Entries) =>
        client.send(new DeleteMessageBatchCommand({ QueueUrl: url, Entries }), short),
      );
    },

    async send(body, { delaySeconds, attributes = {}, group, deduplicationId } = {}) {
      checkSize(body, attributes);
      const command = new SendMessageCommand({
        QueueUrl: url,
        MessageBody: withEscapes(body),
        MessageAttributes: asTexts(attributes),
        ...(delaySeconds !== undefined && { DelaySeconds: delaySeconds }),
        ...fifoFields(url, group, deduplicationId),
      });
      const { MessageId } = await client.send(command, short).catch((error) => refuseMessage(error, url));
      return MessageId ?? "";
    },

    async sendAll(messages) {
      for (const { body, attributes = {} } of messages) checkSize(body, attributes);
      for (const batch of batchesToSend(messages)) {
        const answer = await client
          .send(batchCommand(url, batch), short)
          .catch((error) => unavailable(error, url));
        refusePartial(answer, batch.length, url);
      }
    },
  };
}

/** What became of one of several messages. */
export type Sent = { messageId: string } | { error: KamadoError };

/** Sends many messages in few calls. One result for each, in order; one that fails costs only itself. Never throws. */
export async function sendEach(
  client: SQSClient,
  url: string,
  messages: readonly NewMessage[],
): Promise<Sent[]> {
  const sent: Sent[] = [];
  for (const batch of batchesToSend(messages)) sent.push(...(await sendBatch(client, url, batch)));
  return sent;
}

async function sendBatch(client: SQSClient, url: string, batch: readonly NewMessage[]): Promise<Sent[]> {
  try {
    const answer = await client.send(batchCommand(url, batch), { requestTimeout: TIMEOUTS.call });
    const { Successful = [], Failed = [] } = answer;
    return batch.map((_, index) => {
      const isThis = ({ Id }: { Id?: string | undefined }) => Id === String(index);
      const taken = Successful.find(isThis);
      return taken ? { messageId: taken.MessageId ?? "" } : { error: entryError(Failed.find(isThis), url) };
    });
  } catch (thrown) {
    const error = messageError(thrown, url);
    if (error.retry || batch.length === 1) return batch.map(() => ({ error }));
    // The call was refused as a whole, because of one of its messages perhaps. In a FIFO queue their order matters.
    const sent: Sent[] = [];
    for (const one of batch) sent.push(...(await sendBatch(client, url, [one])));
    return sent;
  }
}

function batchCommand(url: string, batch: readonly NewMessage[]): SendMessageBatchCommand {
  const Entries = batch.map(({ body, group, deduplicationId, attributes }, index) => ({
    Id: String(index),
    MessageBody: withEscapes(body),
    ...(attributes && { MessageAttributes: asTexts(attributes) }),
    ...fifoFields(url, group, deduplicationId),
  }));
  return new SendMessageBatchCommand({ QueueUrl: url, Entries });
}

const asTexts = (attributes: Record<string, string>): Record<string, MessageAttributeValue> =>
  Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [name, { DataType: "String", StringValue: value }]),
  );

/** Always: a queue that detects duplicates by content would drop the second of two equal dead letters. */
const fifoFields = (url: string, group = GROUP, deduplicationId: string = randomUUID()) =>
  isFifo({ url }) ? { MessageGroupId: group, MessageDeduplicationId: deduplicationId } : {};

/** Ten messages at most, and no more bytes than a call takes. */
function batchesToSend(messages: readonly NewMessage[]): NewMessage[][] {
  const batches: NewMessage[][] = [];
  let bytes = 0;
  for (const message of messages) {
    const size = sizeOf(message.body, message.attributes);
    const last = batches.at(-1);
    if (last && last.length < BATCH_LIMIT && bytes + size <= BATCH_BYTES) last.push(message);
    else batches.push([message]);
    bytes = last === batches.at(-1) ? bytes + size : size;
  }
  return batches;
}

/** Throws unless the queue has every message of the batch. */
function refusePartial({ Successful = [], Failed = [] }: BatchAnswer, count: number, url: string): void {
  if (Successful.length === count) return;
  throw entryError(Failed.find(({ Code = "" }) => REFUSED.test(Code)) ?? Failed[0], url);
}

type FailedEntry = NonNullable<BatchAnswer["Failed"]>[number];

/** Why the queue did not take one message of a batch. */
function entryError(
  { Code = "Unknown", Message = "some messages of a batch were not taken" }: FailedEntry = {},
  url: string,
): KamadoError {
  const cause = Object.assign(new Error(Message), { name: Code });
  return REFUSED.test(Code) && !isTooLong(cause)
    ? rejected(url, Code, Message)
    : unavailableError(cause, url);
}

/** A redriven message has a new MessageId. Its attribute has the former one, which a job without an id of its own keeps. */
function idOf({ MessageId = "", MessageAttributes = {} }: SqsMessage): string {
  const { success, data } = JobId.safeParse(MessageAttributes[ID_ATTRIBUTE]?.StringValue);
  return success ? data : MessageId;
}

export function toMessage(
  { MessageId, Body = "", ReceiptHandle, Attributes = {}, MessageAttributes }: SqsMessage,
  queue: string,
): Message {
  const texts = textsOf(MessageAttributes);
  const { AWSTraceHeader } = Attributes;
  return {
    id: MessageId ?? "",
    queue,
    // From here on a message is its body and its trace, also as a dead letter that is sent back.
    body: asStructured(Body, texts) ?? Body,
    handle: ReceiptHandle ?? "",
    sentAt: Attributes.SentTimestamp === undefined ? null : Number(Attributes.SentTimestamp),
    receiveCount: Number(Attributes.ApproximateReceiveCount ?? 1) || 1,
    ...groupOf(Attributes.MessageGroupId, texts[TENANT_ATTRIBUTE], queue),
    trace: ofAttributes({ ...texts, ...(AWSTraceHeader !== undefined && { AWSTraceHeader }) }),
  };
}

/** Queues that are not FIFO accept groups too (for fair queues), but keep no order in one: there a group is a tenant. */
function groupOf(
  named: string | undefined,
  attribute: string | undefined,
  queue: string,
): Pick<Message, "group" | "tenant"> {
  const isOrdered = isFifo({ url: queue });
  const tenant = isOrdered ? attribute : (named ?? attribute);
  return { group: isOrdered ? (named ?? null) : null, ...(isTenantName(tenant) && { tenant }) };
}

/** The attributes as texts; Kafka's bridges send those of an event as bytes. */
export const textsOf = (attributes: Record<string, MessageAttributeValue> = {}): Record<string, string> =>
  Object.fromEntries(
    Object.entries(attributes).flatMap(([name, { StringValue, BinaryValue }]) => {
      const text = StringValue ?? (BinaryValue && Buffer.from(BinaryValue).toString());
      return text === undefined ? [] : [[name, text]];
    }),
  );

type BatchAnswer = {
  Successful?: { Id?: string | undefined }[] | undefined;
  Failed?: { Id?: string | undefined; Code?: string | undefined; Message?: string | undefined }[] | undefined;
};

/** Sends the requests in batches of ten, all at the same time. The results are in the order of the requests. */
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
    // After a call that fails, all its entries are `failed` and may be tried again.
    const answer = await send(entries).catch((): BatchAnswer => ({}));
    for (const { Id } of answer.Successful ?? []) results[Number(Id)] = "ok";
    for (const { Id, Code, Message } of answer.Failed ?? [])
      results[Number(Id)] = isLost(Code, Message) ? "lost" : "failed";
  };
  await Promise.all(batches.map(run));
  return results;
}

/**
 * Whether a batch entry failed because its receipt handle is no longer valid. AWS reports that in four ways. One of them is
 * InvalidParameterValue, which it also uses for a visibility above 12 hours, where the lease still holds.
 */
export function isLost(code: string | undefined, message: string | undefined): boolean {
  if (/ReceiptHandleIsInvalid|MessageNotInflight/.test(code ?? "")) return true;
  return /parameter ReceiptHandle is invalid|receipt handle (is invalid|has expired)|not a valid receipt handle|does not exist or is not available|not in ?flight/i.test(
    message ?? "",
  );
}

function checkSize(body: string, attributes: Record<string, string>): void {
  const size = sizeOf(body, attributes);
  if (size > BODY_LIMIT)
    throw new KamadoError("body_too_large", `The message has ${size} bytes; a queue takes ${BODY_LIMIT}.`);
}

/** Bytes, as SQS counts them. */
const sizeOf = (body: string, attributes: Record<string, string> = {}): number =>
  Object.entries(attributes)
    .map(([key, value]) => Buffer.byteLength(`${key}String${value}`))
    .reduce((sum, one) => sum + one, Buffer.byteLength(body));

const TEXTS = {
  missing_queue: "there is no such queue",
  no_credentials: "there are no AWS credentials",
  credentials: "the credentials are refused",
  network: "there is no answer",
  throttled: "there are too many calls",
  disk_full: "the disk of the embedded queue is full",
  not_aws: "what answers there is no AWS queue",
  unknown: "the call failed",
};

/**
 * SQS refuses two characters that JSON may hold, so they are written as escapes, which mean the same in JSON. Nothing else that is
 * sent has them: a dead letter's body came from a queue.
 */
const withEscapes = (body: string) =>
  body.replaceAll(/[\ufffe\uffff]/g, (one) => `\\u${one.charCodeAt(0).toString(16)}`);

/** These concern the message. Others concern the queue, our rights or the network, and pass. */
const REFUSED =
  /InvalidMessageContents|InvalidParameter|InvalidAttribute|MissingParameter|UnsupportedOperation/;

function messageError(error: unknown, url: string): KamadoError {
  const name = namesOf(error).find((one) => REFUSED.test(one));
  if (name === undefined || !isRefusedRequest(error) || isTooLong(error)) return unavailableError(error, url);
  return rejected(url, name, (error as Error).message, error);
}

function refuseMessage(error: unknown, url: string): never {
  throw messageError(error, url);
}

const rejected = (url: string, name: string, why: string, cause?: unknown) =>
  new KamadoError("message_rejected", `${url}: ${name}: ${why.slice(0, SHOWN)}`, { cause });

/** Of what the queue says, in an error. */
const SHOWN = 300;

/** A queue or an emulator may have a lower limit than AWS. */
const isTooLong = (error: unknown) =>
  /must be shorter than|longer than \d+ bytes/i.test((error as Error | null)?.message ?? "");

/** `action`: the right that the call needs. */
export function unavailable(error: unknown, url: string, action?: string): never {
  throw unavailableError(error, url, action);
}

function unavailableError(error: unknown, url: string, action = "sqs:SendMessage"): KamadoError {
  const message = saidBy(error);
  if (isTooLong(error)) return new KamadoError("body_too_large", `${url}: ${message}`, { cause: error });
  const name = namesOf(error)[0] ?? "error";
  const health = healthOf(error);
  // A refusal of SQS has a name.
  const awsFailure = health === "unknown" && /^Unknown/.test(name) ? "not_aws" : health;
  // What the SDK says of an answer that it cannot read is for people who debug the SDK.
  const said = awsFailure === "not_aws" ? `HTTP ${statusOf(error)}` : `${name}: ${message}`;
  const missingRight = deniedRight(error, { action, resource: queueArnOf(url) });
  return new KamadoError("queue_unavailable", `${url}: ${TEXTS[awsFailure]} (${said})`, {
    cause: error,
    detail: { awsFailure, ...(missingRight && { missingRight }) },
    hint: missingRight ? grant(missingRight) : QUEUE_HINTS[awsFailure],
  });
}
