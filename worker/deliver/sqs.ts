// Delivers to a queue: the result as the body, its kind, status and answer as attributes. It owns which queues a job may name:
// real ones of AWS or of the configured endpoint, and none of the worker's own.
import { KamadoError } from "../errors.ts";
import { eventOf } from "../job/result.ts";
import { type Destinations, destinationFor } from "../outbound/destinations.ts";
import { isFifo, type Queue } from "../queue/queue.ts";
import { attributesOf, type Delivery, deliveryId, groupOf } from "./deliver.ts";

export type SqsOptions = {
  queueFor: (url: string) => Pick<Queue, "send">;
  destinations: Destinations;
  /** The endpoint if it is not AWS itself; jobs may name queues there. */
  endpoint: string | undefined;
  /** The worker's queues of jobs, its outbox, and the dead-letter queues of both. */
  ownQueues: readonly string[];
};

export function createSqs({ queueFor, destinations, endpoint, ownQueues }: SqsOptions) {
  return async ({ job, result, destination }: Delivery, url: string): Promise<void> => {
    if (!isPlain(url) || (!isQueueUrl(url, endpoint) && !destinationFor(destinations, url)))
      throw new KamadoError("address_refused", "The address is no queue of AWS or of AWS_ENDPOINT_URL.");
    if (ownQueues.some((own) => isSameQueue(own, url, endpoint)))
      throw new KamadoError(
        "address_refused",
        "It is a queue of this worker itself, to which no job may deliver. Name another queue.",
      );
    const fifo = {
      group: groupOf(job.kind),
      deduplicationId: deliveryId(job.id, destination, eventOf(result)),
    };
    const options = { attributes: attributesOf(result, job), ...(isFifo({ url }) && fifo) };
    await queueFor(url).send(JSON.stringify(result), options).catch(asDelivery);
  };
}

const REGION = "([a-z]{2}(?:-[a-z]+){1,2}-\\d{1,2})";
/** Every form of a host of SQS; the group is the region. Anybody may have hosts of S3 or ELB whose names look alike. */
const AWS_HOSTS = [
  `sqs(?:-fips)?\\.${REGION}\\.amazonaws\\.com(?:\\.cn)?`,
  `vpce-[a-z0-9-]+\\.sqs(?:-fips)?\\.${REGION}\\.vpce\\.amazonaws\\.com(?:\\.cn)?`,
  `${REGION}\\.queue\\.amazonaws\\.com(?:\\.cn)?`,
].map((form) => new RegExp(`^${form}$`));
/** Its first host had no region in its name. */
const OLDEST_HOST = "queue.amazonaws.com";
const AWS_PATH = /^\/\d{12}\/[A-Za-z0-9_-]{1,80}(\.fifo)?$/;

function regionOf({ protocol, hostname, port }: URL): string | null {
  if (protocol !== "https:" || port !== "") return null;
  if (hostname === OLDEST_HOST) return "us-east-1";
  return AWS_HOSTS.map((form) => form.exec(hostname)?.[1]).find((region) => region !== undefined) ?? null;
}

/** No credentials, no query, nothing escaped: an address that cannot mean another queue to the server than it does to us. */
const isPlain = (url: string): boolean => /^[a-z]+:\/\/[\x21-\x7e]+$/i.test(url) && !/[%\\@?#]/.test(url);

/**
 * Whether the address is a queue of AWS or of the endpoint. The SDK sends signed requests to whatever host a queue's URL
 * names, so a host that a job made up must be refused before that.
 */
export function isQueueUrl(url: string, endpoint: string | undefined): boolean {
  if (!isPlain(url)) return false;
  const address = new URL(url);
  if (endpoint !== undefined && address.origin === new URL(endpoint).origin) return true;
  return regionOf(address) !== null && AWS_PATH.test(address.pathname);
}

/**
 * Whether two addresses name one queue, however they are spelled. On AWS that is region, account and name. An emulator, to
 * which the SDK sends everything, may look at the name alone, so there and at unknown hosts the name decides.
 */
export function isSameQueue(one: string, other: string, endpoint: string | undefined): boolean {
  const [a, b] = [new URL(one), new URL(other)];
  const [ours, theirs] = [a, b].map(({ pathname }) => pathname.toLowerCase().split("/").filter(Boolean));
  const [regionA, regionB] = [regionOf(a), regionOf(b)];
  if (endpoint !== undefined || regionA === null || regionB === null) return ours!.at(-1) === theirs!.at(-1);
  return regionA === regionB && ours!.join("/") === theirs!.join("/");
}

function asDelivery(thrown: unknown): never {
  if (!(thrown instanceof KamadoError)) throw thrown;
  const gone = thrown.detail?.awsFailure === "missing_queue";
  const code = thrown.retry && !gone ? "delivery_failed" : "delivery_rejected";
  throw new KamadoError(code, thrown.message, { cause: thrown, detail: thrown.detail });
}
