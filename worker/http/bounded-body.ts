// Reads bodies that somebody else sends and never keeps more than the caller allows. Which limit applies and what error a
// longer body is belongs to the caller.
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";

export type Bound = {
  maxBytes: number;
  /** The length that the sender announced. It may be missing or wrong, so the bytes are counted as well. */
  announced?: number | string | undefined;
  /** The error for a longer body; `bytes` is how long it is at least. */
  tooLarge: (bytes: number) => Error;
};

/** The whole body. Throws the error of `tooLarge` and closes the connection as soon as the body is known to be longer. */
export async function readWhole(body: Readable, { maxBytes, announced, tooLarge }: Bound): Promise<Buffer> {
  if (Number(announced) > maxBytes) {
    hangUp(body);
    throw tooLarge(Number(announced));
  }
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    // Leaving the loop destroys the stream, and with it the connection.
    if (length > maxBytes) throw tooLarge(length);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

/** The same of a request to a server of our own. */
export async function readRequest(
  { headers, body }: Pick<Request, "headers" | "body">,
  bound: Omit<Bound, "announced">,
): Promise<Uint8Array<ArrayBuffer>> {
  if (body === null) return new Uint8Array();
  const announced = headers.get("content-length") ?? undefined;
  return new Uint8Array(await readWhole(Readable.fromWeb(body as ReadableStream), { ...bound, announced }));
}

/** The whole body, or its first `maxBytes`. Then it closes the connection. Throws what the connection throws. */
export async function readCut(body: Readable, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length >= maxBytes) break;
  }
  return Buffer.concat(chunks, length).subarray(0, maxBytes);
}

/** The first `maxBytes` of a body, or what arrives of it within `withinMs`. Then it closes the connection. Never throws. */
export async function readStart(body: Readable, maxBytes: number, withinMs: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  const timer = setTimeout(() => hangUp(body), withinMs);
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length >= maxBytes) break;
    }
  } catch {
    // What has arrived is the answer, even when the connection breaks.
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks, length).subarray(0, maxBytes);
}

function hangUp(body: Readable): void {
  // Without a listener, the error of a stream that is destroyed early would end the process.
  body.on("error", () => {});
  body.destroy();
}
