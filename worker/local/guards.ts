// What stands before the embedded AWS because anybody on this machine, a web page in its browser included, can reach
// a loopback port: strangers are refused, every client is in one region, and a poller that left swallows nothing.
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
  giveBackWhatNobodyTook(app, stores);
  keepConditions(app, stores);
}

/** Names under which a container reaches its host's loopback; no page can make a browser believe in them. */
const FROM_CONTAINERS = /^host\.(containers|docker)\.internal$/;
const LOOPBACK = /^(localhost|127\.0\.0\.1|\[::1\]|.+\.localhost)$/;

const hostnameOf = (host: string) => host.replace(/:\d+$/, "").toLowerCase();

/**
 * Why a request is refused; null when it is not. A page elsewhere can send forms to a loopback port, and after DNS
 * rebinding anything: the first carries an Origin, the second a Host, that is not ours. SDKs and the CLI send no Origin.
 */
export function strangerBy(headers: {
  host?: string | undefined;
  origin?: string | undefined;
}): string | null {
  const host = hostnameOf(headers.host ?? "");
  if (!LOOPBACK.test(host) && !FROM_CONTAINERS.test(host)) return "Host does not name this machine";
  if (headers.origin !== undefined && !LOOPBACK.test(hostnameOf(headers.origin.replace(/^https?:\/\//, ""))))
    return "a page from elsewhere may not use it";
  return null;
}

// fauxqs keeps queues by region but stores them by name: the same name made in a second region would delete the
// stored messages of the first. The region stands in the signature's scope, which it does not verify.
function settleRegion({ headers }: IncomingMessage, region: string): void {
  const scope = /(Credential=[^/,\s]+\/\d+\/)[^/]+/;
  if (headers.authorization) headers.authorization = headers.authorization.replace(scope, `$1${region}`);
}

// A dotted host makes fauxqs take its first part for a bucket's name.
function settleHost({ headers, socket }: IncomingMessage): void {
  if (FROM_CONTAINERS.test(hostnameOf(headers.host ?? ""))) headers.host = `127.0.0.1:${socket.localPort}`;
}

// A long poll whose client is gone would still take the next message, and hide it for its whole visibility timeout.
function giveBackWhatNobodyTook(app: FauxqsApp, { sqsStore }: Fauxqs["stores"]): void {
  app.addHook("onSend", async (request, _reply, payload) => {
    const isReceive = request.headers["x-amz-target"] === "AmazonSQS.ReceiveMessage";
    if (!isReceive || !request.raw.socket.destroyed || typeof payload !== "string") return payload;
    const { Messages = [] } = JSON.parse(payload) as { Messages?: { ReceiptHandle: string }[] };
    const { QueueUrl } = request.body as { QueueUrl: string };
    for (const { ReceiptHandle } of Messages) sqsStore.getQueue(QueueUrl)?.changeVisibility(ReceiptHandle, 0);
    return payload;
  });
}

// fauxqs writes whatever the condition says. The hook is no async function, so that nothing comes between looking and
// writing.
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
