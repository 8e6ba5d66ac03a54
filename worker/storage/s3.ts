// The object store over S3: reads stream under a cap, errors get their codes. A call whose signal fires rejects with
// the signal's reason; which buckets a job may name is decided elsewhere.
import type { Readable } from "node:stream";
import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { namesOf } from "../aws/errors.ts";
import { KamadoError } from "../errors.ts";
import { readWhole } from "../http/bounded-body.ts";
import { type Blobs, formatAddress, type ObjectAddress } from "./bucket.ts";
import {
  isCode,
  isConditionUnknown,
  isRefusedCondition,
  meaning,
  unavailable,
  withoutConditions,
} from "./s3-errors.ts";

export function s3Blobs(client: S3Client): Blobs {
  return {
    async get(address, { maxBytes, signal }) {
      signal?.throwIfAborted();
      try {
        const command = new GetObjectCommand({ Bucket: address.bucket, Key: address.key });
        const now = serverTime(command);
        const answer = await client.send(command, withSignal(signal));
        const bytes = await readWhole(answer.Body as Readable, {
          maxBytes,
          announced: answer.ContentLength,
          tooLarge: (size) => tooLarge(address, size, maxBytes),
        });
        const ageMs = Math.max(0, now() - (answer.LastModified?.getTime() ?? 0));
        return {
          bytes: new Uint8Array(bytes),
          contentType: answer.ContentType ?? null,
          etag: answer.ETag ?? "",
          ageMs,
        };
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
        await client.send(command, { ...withSignal(signal), ...timeFor(bytes.byteLength) });
      } catch (thrown) {
        throw whenWritten(thrown, address, signal);
      }
    },

    async putIf(address, body, condition) {
      try {
        const command = new PutObjectCommand({
          Bucket: address.bucket,
          Key: address.key,
          Body: Buffer.from(body),
          ContentType: "application/json",
          ...(condition === "absent" ? { IfNoneMatch: "*" } : { IfMatch: condition.etag }),
        });
        return (await client.send(command)).ETag ?? "";
      } catch (thrown) {
        // What is no longer there is not what was read.
        const isGone = condition !== "absent" && namesOf(thrown).includes("NoSuchKey");
        if (isGone || isRefusedCondition(thrown)) return null;
        if (isConditionUnknown(thrown)) throw withoutConditions(thrown, address);
        throw whenWritten(thrown, address, undefined);
      }
    },

    async remove(addresses) {
      const buckets = Map.groupBy(addresses, ({ bucket }) => bucket);
      for (const [bucket, some] of buckets)
        for (let from = 0; from < some.length; from += DELETE_LIMIT)
          await removeSome(client, bucket, some.slice(from, from + DELETE_LIMIT));
    },

    async list(Bucket, Prefix) {
      const found: { key: string; modified: number }[] = [];
      let next: string | undefined;
      do {
        const command = new ListObjectsV2Command({
          Bucket,
          Prefix,
          ...(next !== undefined && { ContinuationToken: next }),
        });
        const answer = await client.send(command).catch((thrown) => {
          throw whenWritten(thrown, { bucket: Bucket, key: Prefix }, undefined);
        });
        for (const { Key, LastModified } of answer.Contents ?? [])
          if (Key !== undefined) found.push({ key: Key, modified: LastModified?.getTime() ?? 0 });
        next = answer.NextContinuationToken;
      } while (next !== undefined);
      return found;
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

/** S3 takes this many in one call. */
const DELETE_LIMIT = 1_000;

async function removeSome(client: S3Client, Bucket: string, addresses: readonly ObjectAddress[]) {
  const [first] = addresses;
  const Objects = addresses.map(({ key: Key }) => ({ Key }));
  try {
    if (addresses.length === 1)
      return void (await client.send(new DeleteObjectCommand({ Bucket, Key: first!.key })));
    const command = new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } });
    const { Errors: [failed] = [] } = await client.send(command);
    if (failed) throw Object.assign(new Error(failed.Message), { name: failed.Code });
  } catch (thrown) {
    throw whenWritten(thrown, first!, undefined);
  }
}

/** Writing creates the object, so what is missing is the bucket: the operator's to put right, not the job's. */
function whenWritten(thrown: unknown, address: ObjectAddress, signal: AbortSignal | undefined): unknown {
  const error = meaning(thrown, address, signal);
  return isCode(error, "object_not_found") ? unavailable(thrown, address, "there is no such bucket") : error;
}

/** The store's time when it answered, which the SDK does not hand on; ours where the store does not say. */
function serverTime(command: GetObjectCommand): () => number {
  let date = Number.NaN;
  const read = (answer: { response: unknown }) => {
    const { headers } = answer.response as { headers?: Record<string, string> };
    date = Date.parse(headers?.date ?? "");
  };
  command.middlewareStack.add(
    (next) => async (args) => {
      const answer = await next(args);
      read(answer);
      return answer;
    },
    { step: "deserialize", name: "serverTime" },
  );
  return () => (Number.isNaN(date) ? Date.now() : date);
}

/** The answer comes when all is sent, which on a slow line takes a big object longer than a call may usually take. */
const timeFor = (bytes: number) => (bytes < 2 ** 20 ? {} : { requestTimeout: 10_000 + bytes / BYTES_PER_MS });
const BYTES_PER_MS = 64;

const withSignal = (signal: AbortSignal | undefined) => (signal ? { abortSignal: signal } : {});

const tooLarge = (address: ObjectAddress, size: number, maxBytes: number) =>
  new KamadoError(
    "input_too_large",
    `${formatAddress(address)} has ${size} bytes or more; the limit is ${maxBytes}.`,
  );
