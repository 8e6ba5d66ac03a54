// Where the worker's callbacks go: takes results and tells when all that were waited for are there.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

type Event = { data: { id: string; status: string; error?: { code: string; message: string } } };
export type Receiver = {
  url: string;
  /** Resolves when each of these jobs has delivered; rejects with the first that did not succeed. */
  all(ids: readonly string[]): Promise<void>;
  /** The ids of all jobs whose results came, doubles too. */
  received(): readonly string[];
  stop(): Promise<void>;
};

export async function startReceiver(): Promise<Receiver> {
  let missing = new Set<string>();
  let waited = Promise.withResolvers<void>();
  const received: string[] = [];
  const take = ({ data: { id, status, error } }: Event) => {
    if (!missing.delete(id)) return;
    if (status !== "succeeded")
      waited.reject(new Error(`job ${id} ${status}: ${error?.code} ${error?.message}`));
    else if (missing.size === 0) waited.resolve();
  };
  const server = createServer(async (request, response) => {
    const body = await text(request);
    response.writeHead(204).end();
    const event = JSON.parse(body) as Event;
    received.push(event.data.id);
    take(event);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/results`,
    all: (ids) => {
      missing = new Set(ids);
      waited = Promise.withResolvers();
      return waited.promise;
    },
    received: () => received,
    stop: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
}
