// Delivers to a callback: the result as a Standard Webhooks event, signed when the destinations file has a secret for
// it, unsigned otherwise. Its id stays the same over tries, so that a receiver can drop what it has seen.

import { createHmac } from "node:crypto";
import type { Clock } from "../async/clock.ts";
import type { Secret } from "../config/secret.ts";
import { type Destinations, destinationFor } from "../outbound/destinations.ts";
import type { Outbound } from "../outbound/outbound.ts";
import { type Delivery, deliveryId } from "./deliver.ts";
import { judgeCallback, sendDelivery } from "./http-answer.ts";

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

// The headers of a callback as Standard Webhooks (https://www.standardwebhooks.com) has them. Pure.
export type Webhook = {
  id: string;
  /** Epoch ms of this try. */
  at: number;
  body: string;
  /** The current one first; while a secret rotates the old ones sign as well. None: the callback goes unsigned. */
  secrets: readonly Secret[];
};

export function webhookHeaders({ id, at, body, secrets }: Webhook): Record<string, string> {
  const timestamp = String(Math.floor(at / 1_000));
  const signatures = secrets.map((secret) => sign(secret, `${id}.${timestamp}.${body}`));
  return {
    "content-type": "application/json",
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    ...(signatures.length > 0 && { "webhook-signature": signatures.join(" ") }),
  };
}

function sign(secret: Secret, content: string): string {
  const key = Buffer.from(secret.reveal().replace(/^whsec_/, ""), "base64");
  return `v1,${createHmac("sha256", key).update(content).digest("base64")}`;
}
