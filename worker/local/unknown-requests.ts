// What the emulator would accept without doing it, or answer with a failure of its own: refused as AWS refuses it, with what to do
// instead. Nothing that a program asks for is answered with success and then forgotten.
import type { IncomingMessage } from "node:http";
import { queueArn } from "../aws/resources.ts";
import { type AwsError, isForm, sendError } from "./error-answers.ts";
import type { Fauxqs } from "./fauxqs.ts";

/** Parts of a bucket or an object that the emulator does not know. It takes such a request for one about the bucket or object itself. */
const UNKNOWN_PARTS =
  /^(accelerate|acl|analytics|cors|encryption|intelligent-tiering|inventory|legal-hold|lifecycle|logging|metadata(Configuration|Table)|metrics|notification|object-lock|ownershipControls|policy|policyStatus|publicAccessBlock|replication|requestPayment|restore|retention|select|session|tagging|torrent|versioning|versions|website)$/;

/** Wishes for how an object is kept. Without them it would not be what its sender takes it for. */
const UNKNOWN_HEADERS =
  /^x-amz-(object-lock-.*|server-side-encryption-customer-.*|write-offset-bytes|copy-source-if-.*)$/;

export function refuseUnknownRequests({ app, stores: { s3Store, sqsStore } }: Fauxqs): void {
  const hasQueue = (arn: string) => sqsStore.getQueueByArn(arn) !== undefined;
  app.server.prependListener("request", (request: IncomingMessage) => {
    // An object may have any type, but the emulator takes no request whose type it cannot read.
    const { "content-type": type } = request.headers;
    if (type !== undefined && !TYPE.test(type)) request.headers["content-type"] = "application/octet-stream";
  });
  app.addHook("preHandler", async (request, reply) => {
    const { bucket } = request.params as { bucket?: string };
    const error = bucket === undefined ? topicError(request, hasQueue) : bucketError(request);
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

/** The emulator trips over a request that lacks something, or has it in another form. Called its own failure, it would be sent again. */
const isSenders = (name: string) => /^(TypeError|SyntaxError|URIError)$/.test(name);

/** As SQLite calls it. */
const SQLITE_FULL = 13;

function failureOf({ name, message, errcode, code, ...thrown }: Failure): AwsError {
  const status = thrown.statusCode ?? (isSenders(name) ? 400 : 500);
  if (errcode === SQLITE_FULL || code === "ENOSPC")
    return { status: 507, code: "DiskFull", message: "The disk of the embedded AWS is full." };
  const called = status === 413 ? "EntityTooLarge" : status < 500 ? "InvalidRequest" : "InternalError";
  return { status, code: called, message };
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
  const header = Object.keys(headers).find((name) => UNKNOWN_HEADERS.test(name));
  if (header !== undefined) return notImplemented(`The embedded AWS does not know ${header}`);
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

function topicError(request: Asked & { body: unknown }, hasQueue: (arn: string) => boolean): AwsError | null {
  if (request.method !== "POST") return null;
  if (!isForm(request))
    return /\bx-amz-json-1\.0\b/.test(String(request.headers["content-type"]))
      ? null
      : { status: 400, code: "UnknownOperationException", message: HOW_TO_POST };
  const form = request.body as Record<string, string>;
  if (form.Action !== "Subscribe") return null;
  const message = whyNotSubscribed(form, hasQueue);
  return message === null ? null : { status: 400, code: "InvalidParameter", message };
}

function whyNotSubscribed(form: Record<string, string>, hasQueue: (arn: string) => boolean): string | null {
  const { Protocol = "sqs", Endpoint = "" } = form;
  if (Protocol !== "sqs")
    return `Invalid parameter: Protocol. The embedded AWS delivers to queues (sqs) only, not by ${JSON.stringify(Protocol)}; a job can name a callback in its deliver field instead.`;
  // What is published to a queue that is not there would be lost.
  if (!hasQueue(Endpoint))
    return `Invalid parameter: Endpoint. There is no queue with the ARN ${JSON.stringify(Endpoint)}; the queue of jobs has ${queueArn("kamado-jobs")}.`;
  const wished = Object.keys(form).filter((name) => /^Attributes\.entry\.\d+\.key$/.test(name));
  const unknown = wished.map((name) => form[name]!).find((name) => !SUBSCRIPTION.test(name));
  return unknown === undefined
    ? null
    : `Invalid parameter: Attributes. ${JSON.stringify(unknown)} is unknown.`;
}

const SUBSCRIPTION =
  /^(RawMessageDelivery|FilterPolicy(Scope)?|RedrivePolicy|DeliveryPolicy|SubscriptionRoleArn)$/;

const notImplemented = (message: string): AwsError => ({
  status: 501,
  code: "NotImplemented",
  message: `${message}.`,
});
