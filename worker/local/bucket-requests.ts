// Requests for the bucket that the emulator reads otherwise than S3 does: it would store the frames of a body that came in chunks, take
// a damaged body for a whole one, delete another key than the one that was named, or another version. Mended here, or refused as S3
// refuses it. What the emulator does not know at all is left to unknown-requests.ts.
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { crc32 } from "node:zlib";
import { type AwsError, sendError, xml } from "./error-answers.ts";
import { type Fauxqs, objectOf } from "./fauxqs.ts";

type Query = Record<string, string | undefined>;
type Headers = Record<string, string | string[] | undefined>;

export function readAsS3({ app, stores: { s3Store }, decodeChunks }: Fauxqs): void {
  app.server.prependListener("request", ({ headers }: IncomingMessage) => {
    nameChunks(headers);
    const { "content-type": type } = headers;
    // .NET puts quotes around it.
    if (type !== undefined) headers["content-type"] = type.replace(/(boundary=)"([^"\s;]+)"/i, "$1$2");
  });
  app.addHook("preHandler", async (request, reply) => {
    const { bucket, "*": key = "" } = request.params as { bucket?: string; "*"?: string };
    if (bucket === undefined) return undefined;
    const query = request.query as Query;
    const bytes = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const error =
      wrongVersion(query) ?? wrongPart(request.method, query) ?? damage(request, bytes, decodeChunks);
    if (error) return sendError(request, reply, error);
    if (!isOneRange(request.headers.range, objectOf(s3Store, bucket, key)?.contentLength))
      delete request.headers.range;
    if (request.method !== "POST") return undefined;
    if (query.uploadId !== undefined) request.body = Buffer.from(withNamedReferences(bytes.toString()));
    if (key !== "" || !("delete" in query) || !s3Store.hasBucket(bucket)) return undefined;
    const wanted = deletionOf(bytes.toString());
    if (wanted === null) return sendError(request, reply, MALFORMED);
    const { deleted, failed } = wanted;
    s3Store.deleteObjects(bucket, deleted);
    return reply.type("application/xml").send(deletedXml(wanted.isQuiet ? [] : deleted, failed));
  });
}

/** Some clients say in another header only that the body comes in signed chunks: minio, and the older SDK of Java. */
function nameChunks(headers: IncomingMessage["headers"]): void {
  const { "content-encoding": encoding, "x-amz-content-sha256": hash } = headers;
  if (!String(hash).startsWith("STREAMING-") || encoding?.includes("aws-chunked")) return;
  headers["content-encoding"] = encoding ? `${encoding},aws-chunked` : "aws-chunked";
}

/** A range that is none, several ranges, and more of the end than there is are answered with the whole. */
function isOneRange(range: string | undefined, length = 0): boolean {
  const [, from, to] = /^bytes=(\d*)-(\d*)$/.exec(range ?? "") ?? [];
  return from === "" ? Number(to) > 0 && Number(to) <= length : from !== undefined;
}

/** The bucket keeps no versions. The emulator would read or delete the object itself. */
const wrongVersion = ({ versionId = "null" }: Query): AwsError | null =>
  versionId === "null"
    ? null
    : {
        status: 400,
        code: "InvalidArgument",
        message: "Invalid version id specified: the embedded AWS keeps no versions.",
      };

/** With one of the two alone, the emulator would take the part for the object. */
const wrongPart = (method: string, { uploadId, partNumber }: Query): AwsError | null =>
  method === "PUT" && (uploadId === undefined) !== (partNumber === undefined)
    ? {
        status: 400,
        code: "InvalidArgument",
        message: "A part needs both an uploadId and a partNumber.",
      }
    : null;

type Asked = { method: string; headers: Headers };

/** What does not agree with the length or the hash that its sender says. */
function damage({ method, headers }: Asked, sent: Buffer, decode: Fauxqs["decodeChunks"]): AwsError | null {
  if ((method !== "PUT" && method !== "POST") || headers["x-amz-copy-source"] !== undefined) return null;
  const isChunked = String(headers["content-encoding"]).includes("aws-chunked");
  const { body, trailers } = isChunked ? decode(sent) : { body: sent, trailers: {} };
  const length = headers["x-amz-decoded-content-length"];
  if (isChunked && length !== undefined && Number(length) !== body.length)
    return {
      status: 400,
      code: "IncompleteBody",
      message: `The body has ${body.length} bytes; x-amz-decoded-content-length says ${length}.`,
    };
  const said: Headers = { ...headers, ...trailers };
  const wrong = Object.entries(HASHES).find(
    ([name, hash]) => said[name] !== undefined && said[name] !== hash(body),
  );
  if (!wrong) return null;
  const message = `The body is not what ${wrong[0]} says: it was damaged on its way, or the value is wrong.`;
  return { status: 400, code: "BadDigest", message };
}

const hashWith = (name: string) => (bytes: Buffer) => createHash(name).update(bytes).digest("base64");

function crc32Of(bytes: Buffer): string {
  const value = Buffer.alloc(4);
  value.writeUInt32BE(crc32(bytes));
  return value.toString("base64");
}

const HASHES: Record<string, (bytes: Buffer) => string> = {
  "content-md5": hashWith("md5"),
  "x-amz-checksum-crc32": crc32Of,
  "x-amz-checksum-sha1": hashWith("sha1"),
  "x-amz-checksum-sha256": hashWith("sha256"),
};

const MALFORMED: AwsError = {
  status: 400,
  code: "MalformedXML",
  message: "The body must be a <Delete> of 1 to 1,000 <Object>s, each with a <Key>.",
};

type Deletion = { isQuiet: boolean; deleted: string[]; failed: string[] };

/** Keys are deleted where they name no version. The bucket has none, so these fail, each alone. */
function deletionOf(body: string): Deletion | null {
  const objects = body.match(/<Object>.*?<\/Object>/gs) ?? [];
  const named = objects.map((object) => ({
    key: textIn(object, "Key"),
    version: textIn(object, "VersionId"),
  }));
  if (named.length === 0 || named.length > 1_000 || named.some(({ key }) => !key)) return null;
  const keys = (isOfVersion: boolean) =>
    named.filter(({ version = "null" }) => (version !== "null") === isOfVersion).map(({ key }) => key!);
  return { isQuiet: textIn(body, "Quiet") === "true", deleted: keys(false), failed: keys(true) };
}

const textIn = (element: string, name: string) => {
  const found = new RegExp(`<${name}>(.*?)</${name}>`, "s").exec(element)?.[1];
  return found?.replaceAll(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (all, hex, decimal, word) =>
    word ? (NAMED[word] ?? all) : characterOf(hex, decimal),
  );
};

const NAMED: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function characterOf(hex: string | undefined, decimal: string | undefined): string {
  const point = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
  return point <= 0x10ffff ? String.fromCodePoint(point) : "";
}

const deletedXml = (deleted: readonly string[], failed: readonly string[]) =>
  [
    '<?xml version="1.0" encoding="UTF-8"?><DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">',
    ...deleted.map((key) => `<Deleted><Key>${xml(key)}</Key></Deleted>`),
    ...failed.map(
      (key) =>
        `<Error><Key>${xml(key)}</Key><Code>NoSuchVersion</Code><Message>The embedded AWS keeps no versions.</Message></Error>`,
    ),
    "</DeleteResult>",
  ].join("");

/** Go writes the quotes of an etag as `&#34;`, which the emulator does not read. */
const withNamedReferences = (body: string) => body.replaceAll(/&#(?:34|x22);/gi, "&quot;");
