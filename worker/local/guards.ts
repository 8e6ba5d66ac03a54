// Protects the embedded AWS. Everything on this machine can reach a loopback port, a web page in the browser too, so requests from
// pages are refused, and with a key those of programs that do not know it. It also mends what the emulator does differently from AWS: regions, long polls, conditional writes.
import type { IncomingMessage } from "node:http";
import { sameSecret } from "../http/auth.ts";
import { sendError } from "./error-answers.ts";
import { type Fauxqs, type FauxqsApp, objectOf } from "./fauxqs.ts";

/** Without a `key` every program on this machine may use it. */
export function guard(
  { app, stores }: Fauxqs,
  { region, key }: { region: string; key?: string | undefined },
): void {
  app.server.prependListener("request", (request: IncomingMessage) => {
    settleRegion(request, region);
    settleHost(request);
  });
  app.addHook("onRequest", async (request, reply) => {
    const why = strangerBy(request.headers);
    if (why !== null)
      return sendError(request, reply, { status: 403, code: "AccessDenied", message: `Refused: ${why}.` });
    if (key === undefined || sameSecret(accessKeyOf(request), key)) return undefined;
    return sendError(request, reply, { status: 403, code: "InvalidAccessKeyId", message: HOW_TO_SIGN });
  });
  app.addHook("onSend", async (_request, reply) => {
    reply.headers(FOR_BROWSERS);
  });
  giveBackUndelivered(app, stores);
  keepConditions(app, stores);
}

const HOW_TO_SIGN =
  "This embedded AWS demands KAMADO_LOCAL_KEY as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.";

/**
 * The access key of a signed request or address; empty if there is none. It is compared, and the signature is not recomputed: on
 * loopback nobody can read it on its way.
 */
function accessKeyOf({ headers, url }: Pick<IncomingMessage, "headers"> & { url: string }): string {
  const signed = /\bCredential=([^/,\s]+)\//.exec(headers.authorization ?? "")?.[1];
  const presigned = new URL(url, "http://localhost").searchParams.get("X-Amz-Credential");
  return signed ?? presigned?.split("/")[0] ?? "";
}

/** An object may be a page that somebody else wrote. In the browser it must neither run nor be shown inside another page. */
const FOR_BROWSERS = {
  "content-security-policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

/** Containers reach their host by these names. A web page cannot: its browser does not resolve them. */
const FROM_CONTAINERS = /^host\.(containers|docker)\.internal$/;
const LOOPBACK = /^(localhost|127\.0\.0\.1|\[::1\]|.+\.localhost)$/;

/** A name such as kamado.localhost may be another program's on this machine. */
const OWN_PAGE = /^(localhost|127\.0\.0\.1|\[::1\])$/;

const hostnameOf = (host: string) => host.replace(/:\d+$/, "").toLowerCase();

/**
 * Why a request is refused, or null. A page on the web can send forms to a loopback port: they carry the page's Origin. After DNS
 * rebinding it can send anything: then the Host is the page's. SDKs and the AWS CLI send no Origin. A page whose origin is another
 * port or another name of this machine is another program's, so only our own origin is accepted.
 */
export function strangerBy(headers: {
  host?: string | undefined;
  origin?: string | undefined;
}): string | null {
  const host = hostnameOf(headers.host ?? "");
  if (!LOOPBACK.test(host) && !FROM_CONTAINERS.test(host)) return "Host does not name this machine";
  const isOwnPage = OWN_PAGE.test(host) && headers.origin === `http://${headers.host}`;
  if (headers.origin !== undefined && !isOwnPage) return "pages from other sites may not use it";
  return null;
}

// fauxqs keeps queues by region but stores them by name only: a queue of the same name in a second region would delete the
// stored messages of the first. So every request gets our region, in the scope of its signature, which fauxqs does not verify.
function settleRegion({ headers }: IncomingMessage, region: string): void {
  const scope = /(Credential=[^/,\s]+\/\d+\/)[^/]+/;
  if (headers.authorization) headers.authorization = headers.authorization.replace(scope, `$1${region}`);
}

// fauxqs takes the first part of a host with dots for the name of a bucket, but not in a request that calls itself a form, as every
// object does that curl puts.
function settleHost(request: IncomingMessage): void {
  const { headers, socket, method } = request;
  const name = hostnameOf(headers.host ?? "");
  const bucket = method === "PUT" ? /^([^.]+)\..*\blocalhost$/.exec(name)?.[1] : undefined;
  if (bucket !== undefined) request.url = `/${bucket}${request.url}`;
  if (bucket !== undefined || FROM_CONTAINERS.test(name)) headers.host = `127.0.0.1:${socket.localPort}`;
}

// A long poll whose client has gone would still receive the next message and hide it for the whole visibility timeout.
function giveBackUndelivered(app: FauxqsApp, { sqsStore }: Fauxqs["stores"]): void {
  app.addHook("onSend", async (request, _reply, payload) => {
    const isReceive = request.headers["x-amz-target"] === "AmazonSQS.ReceiveMessage";
    if (!isReceive || !request.raw.socket.destroyed || typeof payload !== "string") return payload;
    const { Messages = [] } = JSON.parse(payload) as { Messages?: { ReceiptHandle: string }[] };
    const { QueueUrl } = request.body as { QueueUrl: string };
    for (const { ReceiptHandle } of Messages) sqsStore.getQueue(QueueUrl)?.changeVisibility(ReceiptHandle, 0);
    return payload;
  });
}

// fauxqs ignores the condition of a write. The hook is not an async function, so that no other request comes between the check
// and the write.
function keepConditions(app: FauxqsApp, { s3Store }: Fauxqs["stores"]): void {
  app.addHook("preHandler", (request, reply, done) => {
    const { "if-none-match": absent, "if-match": wanted } = request.headers;
    if (!/^(PUT|POST|DELETE)$/.test(request.method) || (absent === undefined && wanted === undefined))
      return done();
    const { bucket = "", "*": key = "" } = request.params as { bucket?: string; "*"?: string };
    const etag = objectOf(s3Store, bucket, key)?.etag;
    const refuse = (status: number, code: string) =>
      void sendError(request, reply, { status, code, message: "The condition does not hold." });
    if (wanted !== undefined && etag === undefined) return refuse(404, "NoSuchKey");
    const holds = wanted === undefined ? etag === undefined : wanted === etag;
    return holds ? done() : refuse(412, "PreconditionFailed");
  });
}
