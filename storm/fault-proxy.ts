// An HTTP proxy between the workers and AWS that loses, delays, repeats and refuses, as the plan has it. What it does with
// which request is decided elsewhere; here it is only done.
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
import { errorAnswer, serviceOf } from "./aws-error-answers.ts";
import type { Fault, Outage } from "./plan.ts";

export type FaultProxy = {
  url: string;
  /** How many requests met which fault. */
  counts: Readonly<Record<string, number>>;
  /** From now on nothing passes; null ends it. */
  block(how: Outage["how"] | null): void;
  stop(): Promise<void>;
};

type Answer = { status: number; headers: IncomingHttpHeaders; body: Buffer };
type Asked = {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
  signal: AbortSignal;
};

export async function startFaultProxy(target: string, faultOf: (nth: number) => Fault): Promise<FaultProxy> {
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
    const asked = await read(incoming, response);
    if (blocked === "swallow") return;
    count(fault.is);
    const forward = () => pass(asked, target, agent);
    await suffer(fault, asked, forward, response);
  };
  const server = createServer((incoming, response) => {
    // A worker that is killed leaves its requests; there is nobody to tell.
    handle(incoming, response).catch(() => response.destroy());
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    counts,
    block(how) {
      blocked = how;
      // What was under way breaks; what is swallowed later stays without an answer for good.
      if (how !== null) server.closeAllConnections();
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
      agent.destroy();
    },
  };
}

async function suffer(
  fault: Fault,
  asked: Asked,
  forward: () => Promise<Answer>,
  response: ServerResponse,
): Promise<void> {
  if (fault.is === "lose-request") return void response.destroy();
  if (fault.is === "error") return give(response, errorAnswer(serviceOf(asked.headers), fault.how));
  if (fault.is === "delay") await sleep(fault.ms);
  if (fault.is === "twice") await forward();
  const answer = await forward();
  if (fault.is === "lose-answer") return void response.destroy();
  give(response, answer);
}

async function read(incoming: IncomingMessage, response: ServerResponse): Promise<Asked> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const { method = "GET", url: path = "/", headers } = incoming;
  return { method, path, headers, body: await buffer(incoming), signal: gone.signal };
}

function pass({ method, path, headers, body, signal }: Asked, target: string, agent: Agent): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const { connection: _, "transfer-encoding": __, expect: ___, ...own } = headers;
  const outgoing = request(
    new URL(path, target),
    // A wait of the client's is ended with it, as it would be without a proxy.
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

function give(response: ServerResponse, { status, headers, body }: Answer): void {
  const { connection: _, "transfer-encoding": __, "keep-alive": ___, ...own } = headers;
  // The answer to a HEAD names a length and has no body.
  response.writeHead(status, body.length > 0 ? { ...own, "content-length": body.length } : own).end(body);
}
