// Delivers to a topic: the result as the message, its kind, status and answer as attributes to filter on.

import { type MessageAttributeValue, PublishCommand, type SNSClient } from "@aws-sdk/client-sns";
import { healthOf, namesOf } from "../aws/errors.ts";
import { KamadoError } from "../errors.ts";
import { attributesOf, type Delivery, deliveryId } from "./deliver.ts";

export function createSns(topic: Topic) {
  return async ({ job, result, destination }: Delivery, arn: string): Promise<void> => {
    // Results of one kind keep their order on a FIFO topic; the same one sent again is dropped there.
    const fifo = { group: job.kind, deduplicationId: deliveryId(job.id, destination, result.status) };
    await topic.publish(arn, JSON.stringify(result), attributesOf(result), isFifo(arn) ? fifo : undefined);
  };
}

// A topic as deliveries see it, and the same over SNS.
export interface Topic {
  /**
   * Publishes one message; `fifo` is for FIFO topics and required there. Throws `delivery_failed` when trying again may
   * help and `delivery_rejected` when it cannot: no such topic, or past 256 KiB.
   */
  publish(
    arn: string,
    message: string,
    attributes: Record<string, string>,
    fifo?: { group: string; deduplicationId: string },
  ): Promise<void>;
}

/** SNS counts the message and its attributes. */
export const MESSAGE_LIMIT = 256 * 1024;

export const isFifo = (name: string): boolean => name.endsWith(".fifo");

// About the topic or the message. What is about us (credentials, throttling, the network) is put right without them.
const REJECTED =
  /NotFound|InvalidParameter|ValidationError|EndpointDisabled|ParameterValueInvalid|MalformedArn/i;

export function snsTopic(client: Pick<SNSClient, "send">): Topic {
  return {
    async publish(arn, message, attributes, fifo) {
      checkSize(message, attributes);
      const command = new PublishCommand({
        TopicArn: arn,
        Message: message,
        MessageAttributes: Object.fromEntries(
          Object.entries(attributes).map(([name, value]) => [name, asText(value)]),
        ),
        ...(fifo && { MessageGroupId: fifo.group, MessageDeduplicationId: fifo.deduplicationId }),
      });
      await client.send(command).catch((thrown) => refuse(thrown, arn));
    },
  };
}

const asText = (value: string): MessageAttributeValue => ({ DataType: "String", StringValue: value });

/** Throws `delivery_rejected` for what SNS would not take. */
export function checkSize(message: string, attributes: Record<string, string>): void {
  const parts = Object.entries(attributes).map(([name, value]) => `${name}String${value}`);
  const bytes = Buffer.byteLength(message + parts.join(""));
  if (bytes > MESSAGE_LIMIT)
    throw new KamadoError(
      "delivery_rejected",
      `The message has ${bytes} bytes; a topic takes ${MESSAGE_LIMIT}.`,
    );
}

function refuse(thrown: unknown, arn: string): never {
  const code = namesOf(thrown).some((name) => REJECTED.test(name)) ? "delivery_rejected" : "delivery_failed";
  const { message = "" } = (thrown ?? {}) as { message?: string };
  throw new KamadoError(code, `${arn}: ${message}`, {
    cause: thrown,
    detail: { awsFailure: healthOf(thrown) },
  });
}
