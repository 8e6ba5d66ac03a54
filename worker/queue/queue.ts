// The queue as the worker sees it: a handful of calls with SQS's own meaning. Adapters: sqs.ts, and a fake in test/.

export type Message = {
  /** Stable over redeliveries, and kept by what was put aside and sent back. */
  id: string;
  /** Where it was received. */
  queue: string;
  body: string;
  /** The handle of this one receipt; a later receipt has another. */
  receipt: string;
  /** When it was sent, epoch ms; null where the queue does not say. */
  sentAt: number | null;
  /** How often it has been received, this time included; 1 where the queue does not say. */
  receiveCount: number;
  /** The message group of a FIFO queue; null in any other, whatever groups its senders name. */
  group: string | null;
};

/** Queues say in their name that they keep the order of a group. */
export const isFifo = ({ url }: { url: string }) => url.endsWith(".fifo");

/** What became of one entry of a batch: `lost` means that the receipt is no longer ours, for good. */
export type EntryResult = "ok" | "lost" | "failed";

export interface Queue {
  readonly url: string;
  /** Long poll. Resolves with 0 to `max` (1..10) messages. Throws `queue_unavailable` with `detail.awsFailure`. */
  receive(options: { max: number; waitSeconds: number; visibilitySeconds: number }): Promise<Message[]>;
  /** Hides each message for so many seconds from now; 0 gives it back at once. One result an entry, in order; never throws. */
  extend(entries: readonly { receipt: string; seconds: number }[]): Promise<EntryResult[]>;
  /** Deletes. One result an entry, in order; never throws. */
  remove(receipts: readonly string[]): Promise<EntryResult[]>;
  /**
   * Sends one message and resolves with its id. Group and deduplication id count in a FIFO queue only: there messages without
   * a group share one, and two with the same deduplication id are one. Throws `queue_unavailable`, or `body_too_large` past 1 MiB.
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
}

/** The attribute that says which id a message had before it was put aside. */
export const ID_ATTRIBUTE = "kamado-message";
