// An AWS that gives the answers of a test, for errors that no emulator gives.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createSocketServer, type Server, type Socket } from "node:net";
import { json } from "node:stream/consumers";

export type Scripted = AsyncDisposable & { endpoint: string };

async function listen(server: Server): Promise<Scripted> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Answers every request through `respond`. */
export const awsServer = (respond: (request: IncomingMessage, response: ServerResponse) => void) =>
  listen(createServer(respond));

/** Answers SQS calls. `answer` gets the operation and the request's JSON and returns a status and the answer's JSON. */
export const sqsServer = (answer: (operation: string, input: Record<string, unknown>) => [number, unknown]) =>
  awsServer(async (request, response) => {
    const operation = String(request.headers["x-amz-target"]).replace("AmazonSQS.", "");
    const [status, output] = answer(operation, (await json(request)) as Record<string, unknown>);
    response.writeHead(status, { "content-type": "application/x-amz-json-1.0" }).end(JSON.stringify(output));
  });

/** Accepts connections and never answers. */
export const blackHole = () => listen(createSocketServer((socket) => socket.on("error", () => {}).resume()));
