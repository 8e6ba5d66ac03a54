// The object store over S3: reads stream under a cap, errors get their codes. A call whose signal fires rejects with
// the signal's reason; which buckets a job may name is decided elsewhere.
import type { Readable } from "node:stream";
import { GetObjectCommand, HeadObjectCommand, PutObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { healthOf, namesOf, statusOf } from "../aws-errors.ts";
import { KamadoError } from "../errors.ts";
import { type Blobs, formatAddress, type ObjectAddress } from "./blobs.ts";

export function s3Blobs(client: S3Client): Blobs {
  return {
    async get(address, { maxBytes, signal }) {
      signal?.throwIfAborted();
      try {
        const command = new GetObjectCommand({ Bucket: address.bucket, Key: address.key });
        const answer = await client.send(command, withSignal(signal));
        const bytes = await readCapped(answer.Body as Readable, answer.ContentLength, maxBytes, address);
        return { bytes, contentType: answer.ContentType ?? null };
      } catch (thrown) {
        throw meaning(thrown, address, signal);
      }
    },

    async put(address, body, { contentType, signal }) {
      signal?.throwIfAborted();
      try {
        const { bucket: Bucket, key: Key } = address;
        // Bytes, because the SDK takes an empty string for a stream of unknown length.
        const bytes = typeof body === "string" ? Buffer.from(body) : body;
        const command = new PutObjectCommand({
          Bucket,
          Key,
          Body: bytes,
          ContentType: contentType,
        });
        await client.send(command, withSignal(signal));
      } catch (thrown) {
        const error = meaning(thrown, address, signal);
        // Writing creates the object, so what is missing is the bucket: the operator's to put right, not the job's.
        throw isCode(error, "object_not_found")
          ? unavailable(thrown, address, "there is no such bucket")
          : error;
      }
    },

    async exists(address) {
      try {
        await client.send(new HeadObjectCommand({ Bucket: address.bucket, Key: address.key }));
        return true;
      } catch (thrown) {
        const error = meaning(thrown, address, undefined);
        if (isCode(error, "object_not_found")) return false;
        throw error;
      }
    },
  };
}

const withSignal = (signal: AbortSignal | undefined) => (signal ? { abortSignal: signal } : {});

const isCode = (error: unknown, code: string) => error instanceof KamadoError && error.code === code;

/** Reads at most `maxBytes`. The announced length is looked at first; it may be absent or wrong, so bytes are counted too. */
async function readCapped(
  body: Readable,
  announced: number | undefined,
  maxBytes: number,
  address: ObjectAddress,
): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    if ((announced ?? 0) > maxBytes) throw tooLarge(address, announced!, maxBytes);
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) throw tooLarge(address, size, maxBytes);
      chunks.push(chunk);
    }
    return new Uint8Array(Buffer.concat(chunks, size));
  } finally {
    // Gives the socket up when the rest is not wanted; nothing after a body that was read to its end.
    body.destroy();
  }
}

const tooLarge = (address: ObjectAddress, size: number, maxBytes: number) =>
  new KamadoError(
    "input_too_large",
    `${formatAddress(address)} has ${size} bytes or more; the limit is ${maxBytes}.`,
  );

const unavailable = (cause: unknown, address: ObjectAddress, why: string) =>
  new KamadoError("storage_unavailable", `${formatAddress(address)}: ${why}.`, {
    cause,
    detail: { health: healthOf(cause) },
  });

// 403 too, but these are about our own key or clock, and the same job succeeds once that is put right.
const OUR_KEY =
  /Expired|InvalidToken|TokenRefreshRequired|InvalidAccessKeyId|SignatureDoesNotMatch|TimeTooSkewed/;

function meaning(thrown: unknown, address: ObjectAddress, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return signal.reason;
  if (thrown instanceof KamadoError) return thrown;
  const names = namesOf(thrown);
  const where = formatAddress(address);
  if (names.some((name) => /^(NoSuchKey|NoSuchBucket|NotFound)$/.test(name)) || statusOf(thrown) === 404)
    return new KamadoError("object_not_found", `${where}: there is no such object.`, { cause: thrown });
  if (statusOf(thrown) === 403 && !names.some((name) => OUR_KEY.test(name)))
    return new KamadoError("object_forbidden", `${where}: the worker may not read or write it.`, {
      cause: thrown,
    });
  return unavailable(thrown, address, thrown instanceof Error ? thrown.message : "the call failed");
}
