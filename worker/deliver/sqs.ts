// Delivers to a queue: the result as the body, its kind, status and answer as attributes.
import { KamadoError } from "../errors.ts";
import { type Destinations, destinationFor } from "../outbound/destinations.ts";
import { isFifo, type Queue } from "../queue/queue.ts";
import { attributesOf, type Delivery, deliveryId, groupOf } from "./deliver.ts";

export type SqsOptions = {
  queueFor: (url: string) => Pick<Queue, "send">;
  destinations: Destinations;
  /** The endpoint if it is not AWS itself; jobs may name queues there. */
  endpoint: string | undefined;
};

export function createSqs({ queueFor, destinations, endpoint }: SqsOptions) {
  return async ({ job, result, destination }: Delivery, url: string): Promise<void> => {
    if (!isQueueUrl(url, endpoint) && !destinationFor(destinations, url))
      throw new KamadoError("address_refused", "The address is no queue of AWS or of AWS_ENDPOINT_URL.");
    const fifo = {
      group: groupOf(job.kind),
      deduplicationId: deliveryId(job.id, destination, result.status),
    };
    const options = { attributes: attributesOf(result), ...(isFifo({ url }) && fifo) };
    await queueFor(url).send(JSON.stringify(result), options).catch(asDelivery);
  };
}

const AWS_QUEUES =
  /^([a-z0-9.-]+\.)?sqs(-fips)?\.[a-z0-9-]+(\.vpce)?\.amazonaws\.com(\.cn)?$|^([a-z0-9-]+\.)?queue\.amazonaws\.com$/;

/**
 * Whether the address is a queue of AWS or of the endpoint. The SDK sends signed requests to whatever host a queue's URL
 * names, so a host that a job made up must be refused before that.
 */
export function isQueueUrl(url: string, endpoint: string | undefined): boolean {
  const { protocol, hostname, origin } = new URL(url);
  if (endpoint !== undefined && origin === new URL(endpoint).origin) return true;
  return protocol === "https:" && AWS_QUEUES.test(hostname);
}

function asDelivery(thrown: unknown): never {
  if (!(thrown instanceof KamadoError)) throw thrown;
  const gone = thrown.detail?.awsFailure === "missing_queue";
  const code = thrown.retry && !gone ? "delivery_failed" : "delivery_rejected";
  throw new KamadoError(code, thrown.message, { cause: thrown, detail: thrown.detail });
}
