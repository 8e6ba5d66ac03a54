// Delivers to a callback: the result as a Standard Webhooks event (https://www.standardwebhooks.com). It is signed if the
// destinations file has a secret for the address. Its id is the same in every try, so that a receiver can recognise it.
import type { Clock } from "../async/clock.ts";
import type { Secret } from "../config/secret.ts";
import { eventOf } from "../job/result.ts";
import { traceFields } from "../job/trace-context.ts";
import { type Destinations, destinationFor } from "../outbound/destinations.ts";
import type { Outbound } from "../outbound/outbound.ts";
import { type Delivery, deliveryId } from "./deliver.ts";
import { judgeCallback, sendDelivery } from "./http-answer.ts";
import { signatureOf } from "./signature.ts";

export type CallbackOptions = { outbound: Outbound; destinations: Destinations; clock: Pick<Clock, "wall"> };

export function createCallback({ outbound, destinations, clock }: CallbackOptions) {
  return async ({ job, result, destination, isFirstTry, signal }: Delivery, url: string): Promise<void> => {
    const at = clock.wall();
    const type = `job.${result.status}`;
    const body = JSON.stringify({ type, timestamp: new Date(at).toISOString(), data: result });
    const id = deliveryId(job.id, destination, `job.${eventOf(result)}`);
    const secrets = destinationFor(destinations, url)?.secrets ?? [];
    const headers = { ...webhookHeaders({ id, at, body, secrets }), ...traceFields(job) };
    const request = { method: "POST" as const, url, headers, body, isFirstTry, ...(signal && { signal }) };
    await sendDelivery(outbound, request, judgeCallback, at);
  };
}

type Webhook = {
  id: string;
  /** Epoch ms of this try. */
  at: number;
  body: string;
  /** The current one first. While a secret rotates, older ones sign as well. Without any the callback is unsigned. */
  secrets: readonly Secret[];
};

/** The signature covers id, timestamp and body. */
export function webhookHeaders({ id, at, body, secrets }: Webhook): Record<string, string> {
  const timestamp = String(Math.floor(at / 1_000));
  const signatures = secrets.map((secret) => signatureOf(secret.reveal(), { id, timestamp, body }));
  return {
    "content-type": "application/json",
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    ...(signatures.length > 0 && { "webhook-signature": signatures.join(" ") }),
  };
}
