// What the emulator would accept without doing it, or answer with a failure of its own: refused as AWS refuses it, with what to do
// instead. Nothing that a program asks for is answered with success and then forgotten.
import type { IncomingMessage } from "node:http";
import { type AwsError, isForm, sendError } from "./error-answers.ts";
import type { Fauxqs } from "./fauxqs.ts";

/** Parts of a bucket or an object that the emulator does not know. It takes such a request for one about the bucket or object itself. */
const UNKNOWN_PARTS =
  /^(accelerate|acl|analytics|cors|encryption|intelligent-tiering|inventory|legal-hold|logging|metrics|notification|object-lock|ownershipControls|policy|policyStatus|publicAccessBlock|replication|requestPayment|restore|retention|select|tagging|torrent|versioning|versions|website)$/;

export function refuseUnknownRequests({ app, stores: { s3Store } }: Fauxqs): void {
  app.server.prependListener("request", (request: IncomingMessage) => {
    // An object may have any type, but the emulator takes no request whose type it cannot read.
    const { "content-type": type } = request.headers;
    if (type !== undefined && !TYPE.test(type)) request.headers["content-type"] = "application/octet-stream";
  });
  app.addHook("preHandler", async (request, reply) => {
    const { bucket } = request.params as { bucket?: string };
    const error = bucket === undefined ? topicError(request) : bucketError(request);
    if (error) return sendError(request, reply, error);
    const asksWhere = request.method === "GET" && "location" in (request.query as object);
    if (asksWhere && bucket !== undefined && s3Store.hasBucket(bucket))
      return reply.type("application/xml").send(NO_LOCATION);
    // An empty object has no body to parse.
    if (bucket !== undefined && request.method === "PUT") request.body ??= Buffer.alloc(0);
    return undefined;
  });
  app.setNotFoundHandler((request, reply) =>
    sendError(request, reply, {
      status: 405,
      code: "MethodNotAllowed",
      message: `The embedded AWS knows no ${request.method} at this path.`,
    }),
  );
  app.setErrorHandler((thrown, request, reply) => sendError(request, reply, failureOf(thrown as Failure)));
}

type Failure = NodeJS.ErrnoException & { statusCode?: number; errcode?: number };

/** As SQLite calls it. */
const SQLITE_FULL = 13;

function failureOf({ statusCode: status = 500, message, errcode, code }: Failure): AwsError {
  if (errcode === SQLITE_FULL || code === "ENOSPC")
    return { status: 507, code: "DiskFull", message: "The disk of the embedded AWS is full." };
  const name = status === 413 ? "EntityTooLarge" : status < 500 ? "InvalidRequest" : "InternalError";
  return { status, code: name, message };
}

const TYPE =
  /^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+\s*(;\s*[\w!#$%&'*+.^`|~-]+=("[^"\\]*"|[\w!#$%&'*+.^`|~-]+)\s*)*;?\s*$/;

/** What us-east-1 answers. */
const NO_LOCATION =
  '<?xml version="1.0" encoding="UTF-8"?><LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>';

type Asked = { method: string; url: string; headers: Record<string, string | string[] | undefined> };

function bucketError({
  method,
  query,
  params,
  headers,
}: Asked & { query: unknown; params: unknown }): AwsError | null {
  const asked = Object.keys(query as object);
  const part = asked.find((name) => UNKNOWN_PARTS.test(name));
  if (part === "notification")
    return notImplemented(
      "The embedded AWS sends no events of its bucket. After the upload, send the job with SendMessage",
    );
  if (part !== undefined) return notImplemented(`The embedded AWS does not know ?${part}`);
  if (method === "GET" && asked.some((name) => name === "uploads" || name === "uploadId"))
    return notImplemented("The embedded AWS does not list uploads in parts");
  if (method !== "POST") return null;
  const { "*": key = "" } = params as { "*"?: string };
  const isKnown =
    key === ""
      ? "delete" in (query as object) || isUploadForm(headers)
      : asked.some((name) => /^upload(s|Id)$/.test(name));
  return isKnown ? null : { status: 405, code: "MethodNotAllowed", message: HOW_TO_POST };
}

const HOW_TO_POST =
  "The embedded AWS knows no such POST. Queues and topics are asked at / or at the queue's own address; objects are written with PUT.";

const isUploadForm = (headers: Asked["headers"]) =>
  String(headers["content-type"] ?? "").startsWith("multipart/form-data");

function topicError(request: Asked & { body: unknown }): AwsError | null {
  if (request.method !== "POST") return null;
  if (!isForm(request))
    return /\bx-amz-json-1\.0\b/.test(String(request.headers["content-type"]))
      ? null
      : { status: 400, code: "UnknownOperationException", message: HOW_TO_POST };
  const { Action, Protocol = "sqs" } = request.body as Record<string, string>;
  if (Action !== "Subscribe" || Protocol === "sqs") return null;
  return {
    status: 400,
    code: "InvalidParameter",
    message: `Invalid parameter: Protocol. The embedded AWS delivers to queues (sqs) only, not by ${JSON.stringify(Protocol)}; a job can name a callback in its deliver field instead.`,
  };
}

const notImplemented = (message: string): AwsError => ({
  status: 501,
  code: "NotImplemented",
  message: `${message}.`,
});
