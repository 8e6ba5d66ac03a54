// An HTTP proxy between the workers and AWS that loses, delays, repeats and refuses requests. Which fault a request meets is
// decided in plan.ts.
import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import type { Outage, RequestFault } from "./plan.ts";

export type FaultProxy = {
  url: string;
  /** How many requests met which fault. */
  counts: Readonly<Record<string, number>>;
  /** From now on no request passes; null ends the outage. */
  block(how: Outage["how"] | null): void;
  stop(): Promise<void>;
};

type Answer = { status: number; headers: IncomingHttpHeaders; body: Buffer };
type Received = {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
  signal: AbortSignal;
};

export async function startFaultProxy(
  target: string,
  faultOf: (nth: number) => RequestFault,
): Promise<FaultProxy> {
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  const counts: Record<string, number> = {};
  let nth = 0;
  let blocked: Outage["how"] | null = null;
  const handle = async (incoming: IncomingMessage, response: ServerResponse) => {
    const fault = faultOf(nth++);
    const count = (what: string) => {
      counts[what] = (counts[what] ?? 0) + 1;
    };
    if (blocked !== null) count(blocked);
    if (blocked === "refuse") return void incoming.socket.destroy();
    const received = await read(incoming, response);
    if (blocked === "swallow") return;
    count(fault.is);
    const forward = () => pass(received, target, agent);
    await answer(fault, received, forward, response);
  };
  const server = createServer((incoming, response) => {
    // A worker that was killed waits for no answer.
    handle(incoming, response).catch(() => response.destroy());
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    counts,
    block(how) {
      blocked = how;
      // This ends the requests that are under way. Those that come during the outage are never answered.
      if (how !== null) server.closeAllConnections();
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
      agent.destroy();
    },
  };
}

async function answer(
  fault: RequestFault,
  { headers }: Received,
  forward: () => Promise<Answer>,
  response: ServerResponse,
): Promise<void> {
  if (fault.is === "lose-request") return void response.destroy();
  if (fault.is === "error") return send(response, errorAnswer(serviceOf(headers), fault.how));
  if (fault.is === "delay") await sleep(fault.ms);
  if (fault.is === "twice") await forward();
  const forwarded = await forward();
  if (fault.is === "lose-answer") return void response.destroy();
  send(response, forwarded);
}

async function read(incoming: IncomingMessage, response: ServerResponse): Promise<Received> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const { method = "GET", url: path = "/", headers } = incoming;
  return { method, path, headers, body: await buffer(incoming), signal: gone.signal };
}

function pass(
  { method, path, headers, body, signal }: Received,
  target: string,
  agent: Agent,
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const { connection: _, "transfer-encoding": __, expect: ___, ...own } = headers;
  const outgoing = request(
    new URL(path, target),
    // The request ends when the client gives up, as it would without a proxy.
    { method, agent, headers: { ...own, "content-length": body.length }, signal },
    async (answer) => {
      try {
        resolve({ status: answer.statusCode ?? 502, headers: answer.headers, body: await buffer(answer) });
      } catch (thrown) {
        reject(thrown);
      }
    },
  );
  outgoing.once("error", reject);
  outgoing.end(body);
  return promise;
}

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  const { connection: _, "transfer-encoding": __, "keep-alive": ___, ...own } = headers;
  // An answer to HEAD has a content-length but no body.
  response.writeHead(status, body.length > 0 ? { ...own, "content-length": body.length } : own).end(body);
}

type Service = "sqs" | "s3" | "sns";
type ErrorKind = Extract<RequestFault, { is: "error" }>["how"];

/** The SQS client sends JSON with a target header, the SNS client sends forms, and everything else is S3. */
function serviceOf(headers: IncomingHttpHeaders): Service {
  if (String(headers["x-amz-target"] ?? "").startsWith("AmazonSQS.")) return "sqs";
  return headers["content-type"]?.startsWith("application/x-www-form-urlencoded") ? "sns" : "s3";
}

const AWS_ERRORS: Record<Service, Record<ErrorKind, [status: number, code: string]>> = {
  sqs: {
    internal: [500, "InternalFailure"],
    unavailable: [503, "ServiceUnavailable"],
    throttled: [400, "RequestThrottled"],
  },
  s3: {
    internal: [500, "InternalError"],
    unavailable: [503, "ServiceUnavailable"],
    throttled: [503, "SlowDown"],
  },
  sns: {
    internal: [500, "InternalError"],
    unavailable: [503, "ServiceUnavailable"],
    throttled: [400, "Throttling"],
  },
};

/** An error in the service's own format, so that the SDK recognizes it. */
function errorAnswer(service: Service, kind: ErrorKind): Answer {
  const [status, code] = AWS_ERRORS[service][kind];
  const message = "An injected fault.";
  const answer = (type: string, body: string): Answer => ({
    status,
    headers: { "content-type": type },
    body: Buffer.from(body),
  });
  if (service === "sqs")
    return answer(
      "application/x-amz-json-1.0",
      JSON.stringify({ __type: `com.amazonaws.sqs#${code}`, message }),
    );
  const error = `<Error><Type>Receiver</Type><Code>${code}</Code><Message>${message}</Message></Error>`;
  const wrapped = `<ErrorResponse>${error}<RequestId>storm</RequestId></ErrorResponse>`;
  return answer("application/xml", service === "s3" ? error : wrapped);
}
