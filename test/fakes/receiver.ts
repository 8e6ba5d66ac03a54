// A real HTTP server on the loopback address in place of somebody's service. It records every request and answers as the test says.
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export type Received = { method: string; path: string; headers: Record<string, string>; body: string };
export type Respond = (received: Received, response: ServerResponse, request: IncomingMessage) => void;

export type Receiver = AsyncDisposable & {
  /** `http://127.0.0.1:port` */
  url: string;
  port: number;
  received: Received[];
  /** How many connections were opened, with or without a request. */
  connections(): number;
  /** How the next requests are answered; with 200 at first. */
  respond(how: Respond): void;
  close(): Promise<void>;
};

export async function startReceiver(
  respond: Respond = (_, response) => void response.end("{}"),
): Promise<Receiver> {
  const received: Received[] = [];
  let connections = 0;
  let how = respond;
  const server = createServer(async (request, response) => {
    const one = {
      method: request.method ?? "",
      path: request.url ?? "",
      headers: request.headers as Record<string, string>,
      body: await text(request).catch(() => ""),
    };
    received.push(one);
    how(one, response, request);
  });
  server.on("connection", () => connections++);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  async function close() {
    server.closeAllConnections();
    if (server.listening) await new Promise((done) => server.close(done));
  }
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    received,
    connections: () => connections,
    respond(next) {
      how = next;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

export const status =
  (code: number, headers: Record<string, string> = {}): Respond =>
  (_, response) =>
    void response.writeHead(code, headers).end("{}");
