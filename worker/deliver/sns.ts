// Delivers to a topic: the result as the message, its kind, status and answer as attributes to filter on.
import { attributesOf } from "./attributes.ts";
import type { Delivery } from "./deliver.ts";
import { deliveryId } from "./delivery-id.ts";
import { isFifo, type Topic } from "./topic.ts";

export function createSns(topic: Topic) {
  return async ({ job, result, destination }: Delivery, arn: string): Promise<void> => {
    // Results of one kind keep their order on a FIFO topic; the same one sent again is dropped there.
    const fifo = { group: job.kind, deduplicationId: deliveryId(job.id, destination, result.status) };
    await topic.publish(arn, JSON.stringify(result), attributesOf(result), isFifo(arn) ? fifo : undefined);
  };
}
