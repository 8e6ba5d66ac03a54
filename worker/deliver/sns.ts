// Delivers to a topic: the result as the message, its kind, status and answer as attributes to filter on. The port to a topic
// and its adapter over SNS are here too; the fake is in test/fakes.
import { type MessageAttributeValue, PublishCommand, type SNSClient } from "@aws-sdk/client-sns";
import { healthOf, isRefusedRequest, namesOf, saidBy } from "../aws/errors.ts";
import { KamadoError } from "../errors.ts";
import { eventOf } from "../job/result.ts";
import { attributesOf, type Delivery, deliveryId, groupOf } from "./deliver.ts";

export interface Topic {
  /**
   * Publishes one message. A FIFO topic requires `fifo`, others do not take it. Throws `delivery_failed` when another try may
   * help and `delivery_rejected` when it cannot: no such topic, or a message over 256 KiB.
   */
  publish(
    arn: string,
    message: string,
    attributes: Record<string, string>,
    fifo?: { group: string; deduplicationId: string },
  ): Promise<void>;
}

export const isFifo = (name: string): boolean => name.endsWith(".fifo");

export function createSns(topic: Topic) {
  return async ({ job, result, destination }: Delivery, arn: string): Promise<void> => {
    // A FIFO topic keeps the order of results of one kind, and drops a result that is sent again.
    const fifo = {
      group: groupOf(job.kind),
      deduplicationId: deliveryId(job.id, destination, eventOf(result)),
    };
    await topic.publish(
      arn,
      JSON.stringify(result),
      attributesOf(result, job),
      isFifo(arn) ? fifo : undefined,
    );
  };
}

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

/** Bytes. SNS counts the message and its attributes. */
const MESSAGE_LIMIT = 256 * 1024;

/** Throws `delivery_rejected` for a message that SNS would refuse. */
export function checkSize(message: string, attributes: Record<string, string>): void {
  const parts = Object.entries(attributes).map(([name, value]) => `${name}String${value}`);
  const bytes = Buffer.byteLength(message + parts.join(""));
  if (bytes > MESSAGE_LIMIT)
    throw new KamadoError(
      "delivery_rejected",
      `The message has ${bytes} bytes; a topic takes ${MESSAGE_LIMIT}.`,
    );
}

// These concern the topic or the message. Others concern us (credentials, throttling, the network) and pass.
const REJECTED =
  /NotFound|InvalidParameter|ValidationError|EndpointDisabled|ParameterValueInvalid|MalformedArn/i;

function refuse(thrown: unknown, arn: string): never {
  const isRejected = isRefusedRequest(thrown) || namesOf(thrown).some((name) => REJECTED.test(name));
  const code = isRejected ? "delivery_rejected" : "delivery_failed";
  throw new KamadoError(code, `${arn}: ${saidBy(thrown)}`, {
    cause: thrown,
    detail: { awsFailure: healthOf(thrown) },
  });
}
