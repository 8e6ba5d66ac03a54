// Starts and stops the Todo service. It listens on the loopback address only, because it has no authentication.
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import { todoApp } from "./app.ts";
import { TodoStore } from "./store.ts";

export type TodoService = {
  /** Without a path: todos are at `${url}/todos`. */
  url: string;
  /** Waits for the running requests. May be called twice. */
  stop(): Promise<void>;
};

/** Port 0 means any free port. Without a file, todos are only kept in memory. */
export async function startTodoService(options: { port: number; file?: string }): Promise<TodoService> {
  const store = new TodoStore(options.file ?? ":memory:");
  const server = createAdaptorServer({ fetch: todoApp(store).fetch, overrideGlobalObjects: false });
  try {
    server.listen(options.port, "127.0.0.1");
    await once(server, "listening");
  } catch (error) {
    store.close();
    throw error;
  }
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    const closed = once(server, "close");
    server.close();
    if ("closeIdleConnections" in server) server.closeIdleConnections();
    await closed;
    store.close();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => (stopped ??= stop()),
  };
}
