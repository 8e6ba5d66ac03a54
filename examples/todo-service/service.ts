// Starts and stops the Todo service. It listens on the loopback address only, because it has no authentication.
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import { SERVE_OPTIONS } from "../../worker/http/server-limits.ts";
import { todoApp } from "./app.ts";
import { Changes } from "./changes.ts";
import { type SentenceOptions, Sentences } from "./sentences.ts";
import { TodoStore } from "./store.ts";

export type TodoService = {
  /** Without a path: todos are at `${url}/todos`, the page at `${url}/`. */
  url: string;
  /** Waits for the running requests. May be called twice. */
  stop(): Promise<void>;
};

type Options = {
  /** 0 means any free port. */
  port: number;
  /** Without one, todos are only kept in memory. */
  file?: string;
  /** Where sentences go. Without it the page has no box for them. */
  findQueue?: SentenceOptions["findQueue"] | undefined;
};

export async function startTodoService({
  port,
  file = ":memory:",
  findQueue,
}: Options): Promise<TodoService> {
  const store = new TodoStore(file);
  const changes = new Changes();
  const stopping = new AbortController();
  const { signal } = stopping;
  const url = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const sentences = findQueue && new Sentences({ findQueue, url, changes, signal });
  const { fetch } = todoApp(store, { changes, sentences, stopping: signal });
  const server = createAdaptorServer({ fetch, ...SERVE_OPTIONS });
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  } catch (error) {
    store.close();
    throw error;
  }
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    stopping.abort();
    const closed = once(server, "close");
    server.close();
    if ("closeIdleConnections" in server) server.closeIdleConnections();
    await Promise.all([closed, sentences?.stopped()]);
    store.close();
  };
  return { url: url(), stop: () => (stopped ??= stop()) };
}
