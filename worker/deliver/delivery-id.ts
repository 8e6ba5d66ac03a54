// The name of one delivery: the same in every try, another for another destination. Receivers drop what they have seen by it.
import { createHash } from "node:crypto";
import type { Destination } from "../job/envelope.ts";
import { nameOf } from "./deliver.ts";

/**
 * Made of letters, digits, `-` and `_`, at most 117 long: what SQS, SNS, HTTP headers and Standard Webhooks (which joins
 * it to the body with a full stop) all take. `event` tells deliveries apart that are news to the same destination.
 */
export function deliveryId(jobId: string, destination: Destination, event = ""): string {
  const hash = createHash("sha256")
    .update([jobId, nameOf(destination), event].join("\n"))
    .digest("hex");
  return `${jobId.replaceAll(/[^A-Za-z0-9_-]/g, "-").slice(0, 100)}_${hash.slice(0, 16)}`;
}

/** A destination's name where its address must not be read: in the keys of objects. */
export const destinationKey = (destination: Destination): string =>
  createHash("sha256").update(nameOf(destination)).digest("hex").slice(0, 16);
