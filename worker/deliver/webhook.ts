// The headers of a callback as Standard Webhooks (https://www.standardwebhooks.com) has them. Pure.
import { createHmac } from "node:crypto";
import type { Secret } from "../secrets.ts";

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
