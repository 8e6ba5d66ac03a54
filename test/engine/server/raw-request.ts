// A request as bytes on a socket, for clients that announce one thing and send another, or do not read.
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { onTestFinished } from "vitest";

/** Sends the headers and `body`, which may be shorter than the length that is announced. */
export function rawRequest(url: string, body: string, announced = Buffer.byteLength(body)): Socket {
  const { port } = new URL(url);
  const socket = connect(Number(port), "127.0.0.1").on("error", () => {});
  onTestFinished(() => void socket.destroy());
  const head = [
    "POST /v1/chat/completions HTTP/1.1",
    "host: 127.0.0.1",
    "connection: close",
    "content-type: application/json",
    `content-length: ${announced}`,
  ];
  socket.write(`${head.join("\r\n")}\r\n\r\n${body}`);
  return socket;
}

export async function replyOf(socket: Socket): Promise<{ status: number; text: string }> {
  const reply = await text(socket).catch(() => "");
  return { status: Number(reply.split(" ")[1]), text: reply };
}
