// The signature of Standard Webhooks (https://www.standardwebhooks.com) over one callback. The worker signs with it, and the client
// verifies with it. Which secrets there are is left to both. Pure.
import { createHmac } from "node:crypto";

export type Signed = {
  id: string;
  /** Seconds since 1970, as the header has it. */
  timestamp: string;
  body: string;
};

/** One entry of the header webhook-signature. `secret` is base64, with or without whsec_ in front. */
export function signatureOf(secret: string, { id, timestamp, body }: Signed): string {
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  return `v1,${createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64")}`;
}
