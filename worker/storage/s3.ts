// A bucket over S3. Reads stop at their limit, and every error gets its code: not found, forbidden, or not available now.
// A call whose signal fires rejects with the signal's reason.
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
import { healthOf, isRefusedRequest, namesOf, statusOf } from "../aws/errors.ts";
import { KamadoError } from "../errors.ts";
import { readWhole } from "../http/bounded-body.ts";
import { unpack } from "../http/content-encoding.ts";
import { addressOf, type Bucket } from "./bucket.ts";
import { bucketHint } from "./health.ts";

export function s3Bucket(client: S3Client, name: string): Bucket {
  const address = (key: string) => addressOf({ name }, key);
  return {
    name,

    async get(key, { maxBytes, signal }) {
      signal?.throwIfAborted();
      try {
        const command = new GetObjectCommand({ Bucket: name, Key: key });
        const now = serverTime(command);
        const answer = await client.send(command, withSignal(signal));
        const bytes = await readWhole(answer.Body as Readable, {
          maxBytes,
          announced: answer.ContentLength,
          tooLarge: (size) => tooLarge(address(key), size, maxBytes),
        });
        const unpacked = await unpack(bytes, answer.ContentEncoding, {
          maxBytes,
          tooLarge: () => tooLarge(address(key), maxBytes + 1, maxBytes),
          broken: (why, cause) => new KamadoError("object_unreadable", `${address(key)} ${why}.`, { cause }),
        });
        const ageMs = Math.max(0, now() - (answer.LastModified?.getTime() ?? 0));
        return {
          bytes: new Uint8Array(unpacked),
          contentType: answer.ContentType ?? null,
          etag: answer.ETag ?? "",
          ageMs,
        };
      } catch (thrown) {
        throw readError(thrown, address(key), signal);
      }
    },

    async put(key, body, { contentType, signal }) {
      signal?.throwIfAborted();
      try {
        // Bytes, because the SDK takes an empty string for a stream of unknown length.
        const bytes = typeof body === "string" ? Buffer.from(body) : body;
        const command = new PutObjectCommand({
          Bucket: name,
          Key: key,
          Body: bytes,
          ContentType: contentType,
        });
        await client.send(command, { ...withSignal(signal), ...timeFor(bytes.byteLength) });
      } catch (thrown) {
        throw writeError(thrown, address(key), signal);
      }
    },

    async putIf(key, body, condition) {
      try {
        const command = new PutObjectCommand({
          Bucket: name,
          Key: key,
          Body: Buffer.from(body),
          ContentType: "application/json",
          ...(condition === "absent" ? { IfNoneMatch: "*" } : { IfMatch: condition.etag }),
        });
        return (await client.send(command)).ETag ?? "";
      } catch (thrown) {
        // An object that is gone is not the object that was read.
        const isGone = condition !== "absent" && namesOf(thrown).includes("NoSuchKey");
        if (isGone || isRefusedCondition(thrown)) return null;
        if (isConditionUnknown(thrown)) throw withoutConditions(thrown, address(key));
        throw writeError(thrown, address(key));
      }
    },

    async remove(keys) {
      for (let from = 0; from < keys.length; from += DELETE_LIMIT)
        await removeSome(client, name, keys.slice(from, from + DELETE_LIMIT));
    },

    async list(prefix) {
      const found: { key: string; modified: number }[] = [];
      let next: string | undefined;
      do {
        const command = new ListObjectsV2Command({
          Bucket: name,
          Prefix: prefix,
          ...(next !== undefined && { ContinuationToken: next }),
        });
        const answer = await client.send(command).catch((thrown) => {
          throw writeError(thrown, address(prefix));
        });
        // A web server that answers 200 to everything would pass for an empty bucket.
        const { Name, IsTruncated, Contents } = answer;
        if (Name === undefined && IsTruncated === undefined && Contents === undefined)
          throw unavailable(new Error("Deserialization error"), address(prefix), "");
        for (const { Key, LastModified } of Contents ?? [])
          if (Key !== undefined) found.push({ key: Key, modified: LastModified?.getTime() ?? 0 });
        next = answer.NextContinuationToken;
      } while (next !== undefined);
      return found;
    },

    async exists(key) {
      try {
        await client.send(new HeadObjectCommand({ Bucket: name, Key: key }));
        return true;
      } catch (thrown) {
        if (isCode(readError(thrown, address(key)), "object_not_found")) return false;
        throw writeError(thrown, address(key));
      }
    },
  };
}

/** S3 takes at most this many keys in one call. */
const DELETE_LIMIT = 1_000;

async function removeSome(client: S3Client, name: string, keys: readonly string[]): Promise<void> {
  const [first = ""] = keys;
  try {
    if (keys.length === 1)
      return void (await client.send(new DeleteObjectCommand({ Bucket: name, Key: first })));
    const Delete = { Objects: keys.map((Key) => ({ Key })), Quiet: true };
    const { Errors: [failed] = [] } = await client.send(new DeleteObjectsCommand({ Bucket: name, Delete }));
    if (failed) throw Object.assign(new Error(failed.Message), { name: failed.Code });
  } catch (thrown) {
    throw writeError(thrown, addressOf({ name }, first));
  }
}

/** The store's time when it answered, which the SDK does not return; this machine's time where the store does not say. */
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

/** S3 answers only after the last byte, so on a slow network a large object needs more time than other calls. */
const timeFor = (bytes: number) => (bytes < 2 ** 20 ? {} : { requestTimeout: 10_000 + bytes / BYTES_PER_MS });
const BYTES_PER_MS = 64;

const withSignal = (signal: AbortSignal | undefined) => (signal ? { abortSignal: signal } : {});

const tooLarge = (address: string, size: number, maxBytes: number) =>
  new KamadoError("input_too_large", `${address} has ${size} bytes or more; the limit is ${maxBytes}.`);

const isCode = (error: unknown, code: string) => error instanceof KamadoError && error.code === code;

/** The condition of a write did not hold; 409 when another write was in progress at the same time. */
const isRefusedCondition = (error: unknown) => statusOf(error) === 412 || statusOf(error) === 409;

/** The store does not know conditions. An error about our credentials or the network has a name that says so. */
const isConditionUnknown = (error: unknown) =>
  [400, 501].includes(statusOf(error) ?? 0) && healthOf(error) === "unknown";

const withoutConditions = (cause: unknown, address: string) =>
  new KamadoError("storage_unavailable", `${address}: the store refuses conditional writes.`, {
    cause,
    detail: { supportsConditions: false },
  });

function unavailable(cause: unknown, address: string, why: string): KamadoError {
  const awsFailure = healthOf(cause);
  const detail = { awsFailure, bucket: address.split("/")[2]! };
  const what = {
    disk_full: "the disk of the embedded bucket is full",
    not_aws: "what answers there is no S3",
  };
  const text = awsFailure === "disk_full" || awsFailure === "not_aws" ? what[awsFailure] : why;
  const error = new KamadoError("storage_unavailable", `${address}: ${text}.`, { cause, detail });
  return new KamadoError(error.code, error.message, {
    cause,
    detail,
    hint: bucketHint(error),
  });
}

/** These are a 403 too, but concern our own credentials or clock: once those are corrected, the same job succeeds. */
const OUR_KEY =
  /Expired|InvalidToken|TokenRefreshRequired|InvalidAccessKeyId|SignatureDoesNotMatch|TimeTooSkewed/;

function readError(thrown: unknown, address: string, signal?: AbortSignal): unknown {
  if (signal?.aborted) return signal.reason;
  if (thrown instanceof KamadoError) return thrown;
  const names = namesOf(thrown);
  if (names.some((name) => /^(NoSuchKey|NoSuchBucket|NotFound)$/.test(name)) || statusOf(thrown) === 404)
    return new KamadoError("object_not_found", `${address}: there is no such object.`, { cause: thrown });
  if (statusOf(thrown) === 403 && !names.some((name) => OUR_KEY.test(name)))
    return new KamadoError("object_forbidden", `${address}: the worker may not read or write it.`, {
      cause: thrown,
    });
  const why = thrown instanceof Error ? thrown.message.slice(0, SHOWN) : "the call failed";
  if (!isRefusedRequest(thrown)) return unavailable(thrown, address, why);
  return new KamadoError("object_unreadable", `${address}: ${names[0] ?? "refused"}: ${why}.`, {
    cause: thrown,
  });
}

/** Of what the store says, in an error. */
const SHOWN = 300;

/**
 * A write creates the object, so what is missing is the bucket, and what is refused is our own request: the operator must correct
 * that, not the sender.
 */
function writeError(thrown: unknown, address: string, signal?: AbortSignal): unknown {
  const error = readError(thrown, address, signal);
  if (isCode(error, "object_not_found")) return unavailable(thrown, address, "there is no such bucket");
  return isCode(error, "object_unreadable") ? unavailable(thrown, address, (error as Error).message) : error;
}
