// The services that results are delivered to. They fail, stay silent and hang up as the plan says, and they honour idempotency
// keys: a key that was applied once is not applied again. Every request is kept.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { JOB_ID } from "./jobs.ts";
import type { ReceiverFault } from "./plan.ts";

/** A receiver's behaviour: its fault, "gone" at the address that always answers 410, or "silent" (see SILENT). */
type Behaviour = ReceiverFault | { is: "gone" | "silent" };

/** This address never answers the first request with a key. Later ones get what the plan says. */
const SILENT = "/silent";

/** `applied` when its key was new to its address. */
export type ReceivedRequest = {
  at: number;
  behaviour: Behaviour["is"];
  job: string | null;
  address: string;
  key: string;
  /** For a callback `job.succeeded`, for example. */
  event: string | null;
  applied: boolean;
};

export type Receivers = { urls: string[]; requests: readonly ReceivedRequest[]; stop(): Promise<void> };

const RETRY_AFTER_SECONDS = "1";

export async function startReceivers(
  count: number,
  faultOf: (nth: number) => ReceiverFault,
): Promise<Receivers> {
  const requests: ReceivedRequest[] = [];
  const keys = new Set<string>();
  const met = new Set<string>();
  let nth = 0;
  const handle = async (request: IncomingMessage, response: ServerResponse, base: string) => {
    const call = await read(request, base);
    // Each address has its own keys.
    const key = `${call.address} ${call.key}`;
    const isFirst = !met.has(key);
    met.add(key);
    const behaviour: Behaviour = call.address.endsWith("/gone")
      ? { is: "gone" }
      : call.address.endsWith(SILENT) && isFirst
        ? { is: "silent" }
        : faultOf(nth++);
    const applied = ACCEPTING.has(behaviour.is) && !keys.has(key);
    if (applied) keys.add(key);
    requests.push({ ...call, at: Date.now(), behaviour: behaviour.is, applied });
    await answer(behaviour, response);
  };
  const servers = await Promise.all(
    Array.from({ length: count }, () =>
      listen(
        (request, response, base) => void handle(request, response, base).catch(() => response.destroy()),
      ),
    ),
  );
  return {
    urls: servers.map(baseOf),
    requests,
    stop: async () => {
      await Promise.all(servers.map(close));
    },
  };
}

/** A result may have been accepted although the sender receives no answer. */
const ACCEPTING: ReadonlySet<Behaviour["is"]> = new Set([
  "accept",
  "accept-late",
  "accept-then-hang-up",
  "accept-then-no-answer",
] as const);

async function answer(behaviour: Behaviour, response: ServerResponse): Promise<void> {
  const respond = (status: number, headers = {}) => void response.writeHead(status, headers).end("{}");
  switch (behaviour.is) {
    case "accept-late":
      await sleep(behaviour.ms);
      return respond(200);
    case "accept":
      return respond(200);
    case "fail":
      return respond(500);
    case "busy":
      return respond(503, { "retry-after": RETRY_AFTER_SECONDS });
    case "gone":
      return respond(410);
    case "hang-up":
    case "accept-then-hang-up":
      return void response.destroy();
    case "silent":
    case "no-answer":
    case "accept-then-no-answer":
      return;
  }
}

/** A REST call may go to a path below the address that its job named. It counts for that address: the path's first part. */
async function read(
  request: IncomingMessage,
  base: string,
): Promise<Pick<ReceivedRequest, "job" | "address" | "key" | "event">> {
  const body = await text(request);
  const { headers, url = "/" } = request;
  return {
    job: JOB_ID.exec(body)?.[0] ?? null,
    address: `${base}/${url.split("/")[1]}`,
    key: String(headers["idempotency-key"] ?? headers["webhook-id"] ?? "none"),
    event: /^\{"type":"(job\.\w+)"/.exec(body)?.[1] ?? null,
  };
}

async function listen(
  handle: (request: IncomingMessage, response: ServerResponse, base: string) => void,
): Promise<Server> {
  const server: Server = createServer((request, response) => handle(request, response, baseOf(server)));
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return server;
}

const baseOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
}
