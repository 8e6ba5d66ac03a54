// A stream of server-sent events, written straight to the socket: what goes through web streams first costs more for every
// token than making its text does. Events: https://html.spec.whatwg.org/multipage/server-sent-events.html
import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Context } from "hono";

export type Events = {
  /** Sends one event: a string as it is, everything else as JSON. What comes after the client has gone is dropped. */
  send(data: unknown): void;
  /** Fires when the client goes away before the end. */
  gone: AbortSignal;
};

const HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-cache",
  // Proxies that buffer would hold the tokens back.
  "x-accel-buffering": "no",
};

/** The response ends when `write` does, which must not throw. */
export function eventStream(c: Context, write: (events: Events) => Promise<void>): Response {
  const { outgoing } = c.env as HttpBindings;
  const gone = new AbortController();
  outgoing.once("close", () => gone.abort());
  outgoing.writeHead(200, HEADERS);
  outgoing.flushHeaders();
  const send = (data: unknown) => {
    // JSON has no queue breaks of its own, so an event is one queue.
    const queue = typeof data === "string" ? data : JSON.stringify(data);
    if (!gone.signal.aborted) outgoing.write(`data: ${queue}\n\n`);
  };
  void write({ send, gone: gone.signal }).finally(() => outgoing.end());
  return RESPONSE_ALREADY_SENT;
}
