// The port to a queue: a few calls that mean what they mean in SQS. Adapters: sqs.ts, and a fake in test/fakes.
import type { TraceContext } from "../job/trace-context.ts";

export type Message = {
  /** Stays the same when the message is received again, and when it is redriven from a dead-letter queue. */
  id: string;
  /** The address of the queue it was received from. */
  queue: string;
  /** A CloudEvent in binary mode has been put into structured mode, so that its attributes stand in the body. */
  body: string;
  /** What `extend` and `remove` know the message by: each receive of a message has another. */
  handle: string;
  /** When it was sent, epoch ms; null where the queue does not say. */
  sentAt: number | null;
  /** How often it has been received, this time included; 1 where the queue does not say. */
  receiveCount: number;
  /** The message group of a FIFO queue; null for any other queue, even if the sender named a group. */
  group: string | null;
  /** What the sender named as MessageGroupId where groups have no order: whose message it is. Absent where none was named. */
  tenant?: string | undefined;
  /** The trace that its attributes name, if they do. */
  trace?: TraceContext | undefined;
};

/** SQS requires that the name of a FIFO queue ends so. */
export const isFifo = ({ url }: { url: string }) => url.endsWith(".fifo");

/** The result of one entry of a batch. `lost`: the handle has expired, so another worker may have the message. */
export type EntryResult = "ok" | "lost" | "failed";

export interface Queue {
  readonly url: string;
  /** Long poll. Resolves with 0 to `max` (1..10) messages. Throws `queue_unavailable` with `detail.awsFailure`. */
  receive(options: { max: number; waitSeconds: number; visibilitySeconds: number }): Promise<Message[]>;
  /** Hides each message for so many seconds from now; with 0 it can be received again at once. One result for each entry, in order. Never throws. */
  extend(entries: readonly { handle: string; seconds: number }[]): Promise<EntryResult[]>;
  /** Deletes. One result for each entry, in order. Never throws. */
  remove(handles: readonly string[]): Promise<EntryResult[]>;
  /**
   * Sends one message and resolves with its id. Group and deduplication id apply to a FIFO queue only: there messages without
   * a group share one, and two messages with the same deduplication id are one. Throws `queue_unavailable`, `body_too_large`
   * above 1 MiB, or `message_rejected` for a message that the queue will never take.
   */
  send(
    body: string,
    options?: {
      delaySeconds?: number;
      attributes?: Record<string, string>;
      group?: string;
      deduplicationId?: string;
    },
  ): Promise<string>;
  /**
   * Sends many messages in few calls, in order. Throws as `send` does; then the queue may have some of them, so the sender must be
   * able to send all again.
   */
  sendAll(messages: readonly NewMessage[]): Promise<void>;
}

/** One of several messages to send; its fields mean what they mean in `send`. */
export type NewMessage = {
  body: string;
  group?: string;
  deduplicationId?: string;
  attributes?: Record<string, string>;
};

/** The attribute that names the tenant where a message has no group for it: of a job that was split off, or sent back. */
export const TENANT_ATTRIBUTE = "kamado-tenant";

/** The attribute with the id that a message had before it became a dead letter. */
export const ID_ATTRIBUTE = "kamado-message";
