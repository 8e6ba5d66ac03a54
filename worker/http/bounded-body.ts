// The body of an engine's answer, read in bounds: bytes are counted as they come.
import type { Dispatcher } from "undici";
import { KamadoError } from "../errors.ts";

/** The longest answer with all of its probabilities takes less. */
const MAX_BYTES = 16 * 1024 * 1024;

/** Throws `answer_invalid` once it is known that there is more. */
export async function readBody({ headers, body }: Dispatcher.ResponseData): Promise<string> {
  const isLong = Number(headers["content-length"]) > MAX_BYTES;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    // Leaving the loop destroys the stream, and with it the connection.
    if (isLong || length > MAX_BYTES)
      throw new KamadoError("answer_invalid", `The engine's answer is longer than ${MAX_BYTES} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length).toString();
}
