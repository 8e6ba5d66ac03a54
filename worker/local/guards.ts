// Protects the embedded AWS. Everything on this machine can reach a loopback port, a web page in the browser too, so requests from
// other pages are refused. It also mends what the emulator does differently from AWS: regions, long polls, conditional writes.
import type { IncomingMessage } from "node:http";
import { etagOf, type Fauxqs, type FauxqsApp } from "./fauxqs.ts";

export function guard({ app, stores }: Fauxqs, region: string): void {
  app.server.prependListener("request", (request: IncomingMessage) => {
    settleRegion(request, region);
    settleHost(request);
  });
  app.addHook("onRequest", async (request, reply) => {
    const why = strangerBy(request.headers);
    if (why !== null) return reply.code(403).send({ message: `Refused: ${why}.` });
  });
  giveBackUndelivered(app, stores);
  keepConditions(app, stores);
}

/** Containers reach their host by these names. A web page cannot: its browser does not resolve them. */
const FROM_CONTAINERS = /^host\.(containers|docker)\.internal$/;
const LOOPBACK = /^(localhost|127\.0\.0\.1|\[::1\]|.+\.localhost)$/;

const hostnameOf = (host: string) => host.replace(/:\d+$/, "").toLowerCase();

/**
 * Why a request is refused, or null. A page on the web can send forms to a loopback port: they carry the page's Origin. After DNS
 * rebinding it can send anything: then the Host is the page's. SDKs and the AWS CLI send no Origin.
 */
export function strangerBy(headers: {
  host?: string | undefined;
  origin?: string | undefined;
}): string | null {
  const host = hostnameOf(headers.host ?? "");
  if (!LOOPBACK.test(host) && !FROM_CONTAINERS.test(host)) return "Host does not name this machine";
  if (headers.origin !== undefined && !LOOPBACK.test(hostnameOf(headers.origin.replace(/^https?:\/\//, ""))))
    return "pages from other sites may not use it";
  return null;
}

// fauxqs keeps queues by region but stores them by name only: a queue of the same name in a second region would delete the
// stored messages of the first. So every request gets our region, in the scope of its signature, which fauxqs does not verify.
function settleRegion({ headers }: IncomingMessage, region: string): void {
  const scope = /(Credential=[^/,\s]+\/\d+\/)[^/]+/;
  if (headers.authorization) headers.authorization = headers.authorization.replace(scope, `$1${region}`);
}

// fauxqs takes the first part of a host with dots for the name of a bucket.
function settleHost({ headers, socket }: IncomingMessage): void {
  if (FROM_CONTAINERS.test(hostnameOf(headers.host ?? ""))) headers.host = `127.0.0.1:${socket.localPort}`;
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
    if (request.method !== "PUT" || (absent === undefined && wanted === undefined)) return done();
    const { bucket = "", "*": key = "" } = request.params as { bucket?: string; "*"?: string };
    const etag = etagOf(s3Store, bucket, key);
    const refuse = (status: number, code: string) =>
      void reply.code(status).header("content-type", "application/xml").send(errorXml(code));
    if (wanted !== undefined && etag === undefined) return refuse(404, "NoSuchKey");
    const holds = wanted === undefined ? etag === undefined : wanted === etag;
    return holds ? done() : refuse(412, "PreconditionFailed");
  });
}

const errorXml = (code: string) =>
  `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>The condition does not hold.</Message></Error>`;
