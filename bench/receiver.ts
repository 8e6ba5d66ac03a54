// Receives the worker's callbacks and reports when all expected results have arrived.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export type Delivered = { id: string; status: string; error?: { code: string; message: string } };
type Event = { data: Delivered };
export type Receiver = {
  url: string;
  /** Resolves when the results of all these jobs have arrived. Rejects with the first job that did not succeed. */
  all(ids: readonly string[]): Promise<void>;
  /** The job id of every result that arrived, including duplicates. */
  received(): readonly string[];
  stop(): Promise<void>;
};

/** `onDelivered` is called for every result, including duplicates. */
export async function startReceiver(onDelivered: (result: Delivered) => void = () => {}): Promise<Receiver> {
  let missing = new Set<string>();
  let complete = Promise.withResolvers<void>();
  const received: string[] = [];
  const accept = ({ data: { id, status, error } }: Event) => {
    if (!missing.delete(id)) return;
    if (status !== "succeeded")
      complete.reject(new Error(`job ${id} ${status}: ${error?.code} ${error?.message}`));
    else if (missing.size === 0) complete.resolve();
  };
  const server = createServer(async (request, response) => {
    const body = await text(request);
    response.writeHead(204).end();
    const event = JSON.parse(body) as Event;
    received.push(event.data.id);
    onDelivered(event.data);
    accept(event);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/results`,
    all: (ids) => {
      missing = new Set(ids);
      complete = Promise.withResolvers();
      return complete.promise;
    },
    received: () => received,
    stop: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
}
