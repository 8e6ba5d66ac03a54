// Where results go: services that fail, hang and hang up as the plan has it, and that honour idempotency keys: what they have
// applied once they answer for, and do not apply again. Each request and each applied effect is kept.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { JOB_ID } from "./jobs.ts";
import type { Act } from "./plan.ts";

/** One request; `applied` when its address had not seen its key before. */
export type Heard = {
  at: number;
  act: Act["is"] | "gone";
  job: string | null;
  address: string;
  key: string;
  /** `job.succeeded` and the like, of a callback. */
  event: string | null;
  applied: boolean;
};

export type Receivers = { urls: string[]; heard: readonly Heard[]; stop(): Promise<void> };

const RETRY_AFTER_SECONDS = "1";

export async function startReceivers(count: number, actOf: (nth: number) => Act): Promise<Receivers> {
  const heard: Heard[] = [];
  const keys = new Set<string>();
  let nth = 0;
  const handle = async (request: IncomingMessage, response: ServerResponse, base: string) => {
    const call = await read(request, base);
    const act = call.address.endsWith("/gone") ? ({ is: "gone" } as const) : actOf(nth++);
    const apply = () => {
      // An address knows its own keys: what another has taken is news to it.
      const key = `${call.address} ${call.key}`;
      const applied = !keys.has(key);
      keys.add(key);
      heard.push({ ...call, at: Date.now(), act: act.is, applied });
    };
    if (TAKES.has(act.is)) apply();
    else heard.push({ ...call, at: Date.now(), act: act.is, applied: false });
    await answer(act, response);
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
    heard,
    stop: async () => {
      await Promise.all(servers.map(close));
    },
  };
}

/** What is answered badly may have been taken all the same. */
const TAKES: ReadonlySet<Act["is"] | "gone"> = new Set([
  "take",
  "dawdle",
  "take-and-slam",
  "take-and-hang",
] as const);

async function answer(act: Act | { is: "gone" }, response: ServerResponse): Promise<void> {
  const say = (status: number, headers = {}) => void response.writeHead(status, headers).end("{}");
  switch (act.is) {
    case "dawdle":
      await sleep(act.ms);
      return say(200);
    case "take":
      return say(200);
    case "fail":
      return say(500);
    case "busy":
      return say(503, { "retry-after": RETRY_AFTER_SECONDS });
    case "gone":
      return say(410);
    case "slam":
    case "take-and-slam":
      return void response.destroy();
    case "hang":
    case "take-and-hang":
      return;
  }
}

/** A REST call may go below the address its job named: that one, up to its first part, is what it counts for. */
async function read(
  request: IncomingMessage,
  base: string,
): Promise<Pick<Heard, "job" | "address" | "key" | "event">> {
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
