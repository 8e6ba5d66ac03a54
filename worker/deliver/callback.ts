// Delivers to a callback: the result as a Standard Webhooks event, signed when the destinations file has a secret for
// it, unsigned otherwise. Its id stays the same over tries, so that a receiver can drop what it has seen.
import type { Clock } from "../clock.ts";
import { type Destinations, destinationFor } from "../outbound/destinations.ts";
import type { Outbound } from "../outbound/outbound.ts";
import type { Delivery } from "./deliver.ts";
import { deliveryId } from "./delivery-id.ts";
import { judgeCallback, sendDelivery } from "./http-answer.ts";
import { webhookHeaders } from "./webhook.ts";

export type CallbackOptions = { outbound: Outbound; destinations: Destinations; clock: Pick<Clock, "wall"> };

export function createCallback({ outbound, destinations, clock }: CallbackOptions) {
  return async ({ job, result, destination, signal }: Delivery, url: string): Promise<void> => {
    const at = clock.wall();
    const type = `job.${result.status}`;
    const body = JSON.stringify({ type, timestamp: new Date(at).toISOString(), data: result });
    // A job that failed and was sent again may succeed: that is news, not a repetition.
    const id = deliveryId(job.id, destination, type);
    const headers = webhookHeaders({
      id,
      at,
      body,
      secrets: destinationFor(destinations, url)?.secrets ?? [],
    });
    const request = { method: "POST" as const, url, headers, body, ...(signal && { signal }) };
    await sendDelivery(outbound, request, judgeCallback, at);
  };
}
