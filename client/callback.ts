// Verifies callbacks as Kamado sends them: Standard Webhooks (https://www.standardwebhooks.com). It needs no AWS. Whether an event was
// seen before is left to the receiver: `id` is the same in every try of a delivery.
import { timingSafeEqual } from "node:crypto";
import { signatureOf } from "../worker/deliver/signature.ts";
import { KamadoError } from "../worker/errors.ts";
import type { AnyKinds, KindName, Result } from "./contract.ts";

export type CallbackRequest = {
  /** Of the request, in any case: an object of Node or Lambda, or `Headers`. */
  headers: Headers | Record<string, string | readonly string[] | undefined>;
  /** As it came, before any JSON parser. */
  body: string | Uint8Array;
  /** The secret of this address in the worker's destinations file, with whsec_ in front; several while it rotates. */
  secret: string | readonly string[];
  /** Seconds. An older or newer callback is refused, because somebody may have kept it. [300] */
  toleranceSeconds?: number;
};

export type CallbackEvent<K extends AnyKinds = AnyKinds> = {
  /** Remember it: one that comes again is the same event. */
  id: string;
  /** When this try was sent. */
  sentAt: Date;
  /** Status and kind tell what is in it. A long output is at `outputRef` in the bucket. */
  result: Result<K, KindName<K>>;
};

const HEADERS = ["webhook-id", "webhook-timestamp", "webhook-signature"] as const;

/** The event of a callback. Throws `signature_invalid` unless Kamado sent it with this secret, and just now. */
export function verifyCallback<K extends AnyKinds = AnyKinds>(request: CallbackRequest): CallbackEvent<K> {
  const { headers, secret, toleranceSeconds = 300 } = request;
  const [id, timestamp, signatures] = HEADERS.map((name) => headerOf(headers, name)) as [
    string,
    string,
    string,
  ];
  const secrets = [secret].flat().filter((one) => one !== "");
  if (secrets.length === 0) throw new KamadoError("config_invalid", "secret: verifyCallback needs one.");
  const body = typeof request.body === "string" ? request.body : new TextDecoder().decode(request.body);
  const given = signatures.split(" ");
  const isSigned = secrets.some((one) => {
    const expected = signatureOf(one, { id, timestamp, body });
    return given.some((signature) => isSame(signature, expected));
  });
  if (!isSigned) throw invalid("no signature in webhook-signature fits the body and the secret");
  const sentAt = new Date(Number(timestamp) * 1_000);
  // Only what was signed is believed.
  if (!(Math.abs(Date.now() - sentAt.getTime()) <= toleranceSeconds * 1_000))
    throw invalid(
      `it was sent more than ${toleranceSeconds} seconds before or after now, by this machine's clock`,
    );
  const { data } = JSON.parse(body) as { data: CallbackEvent<K>["result"] };
  return { id, sentAt, result: data };
}

const invalid = (why: string) => new KamadoError("signature_invalid", `The callback is refused: ${why}.`);

function headerOf(headers: CallbackRequest["headers"], name: (typeof HEADERS)[number]): string {
  const entries = headers instanceof Headers ? [...headers] : Object.entries(headers);
  const value = entries.find(([one]) => one.toLowerCase() === name)?.[1];
  const text = typeof value === "string" ? value : value?.join(" ");
  if (text) return text;
  throw invalid(
    `it has no header ${name}; a callback without a secret in the destinations file is not signed`,
  );
}

function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}
