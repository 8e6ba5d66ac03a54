// Reads the body of a request within what the request may hold, and parses it. It refuses a body as early as it can: by the length
// that is announced, by the bytes that arrive, and by its structure before it is parsed. The fields are left to requests.ts.
import { isUtf8 } from "node:buffer";
import type { IncomingMessage } from "node:http";
import { KamadoError } from "../../errors.ts";
import { unpack } from "../../http/content-encoding.ts";
import { decodeText } from "../../http/text-encoding.ts";
import { withoutHalves } from "../../job/json.ts";
import { type BackendInfo, invalid, MAX_CHARACTERS_PER_TOKEN } from "../generation/backend.ts";
import type { Hold } from "./memory-budget.ts";

/** text/json and everything that ends in +json are JSON as well, and no page can send them without asking first either. */
const JSON_TYPE = /^(application|text)\/([\w.-]+\+)?json\b/i;
const MAX_BODY_BYTES = 48 * 1024 * 1024;
/** `\uXXXX`, the longest form of a character in JSON. */
const BYTES_PER_CHARACTER = 6;
/** For everything but the prompt: the schema, the messages' roles and so on. */
const OTHER_BYTES = 1024 * 1024;
/**
 * Of what is not text: each value of an array or object takes many times the memory of the bytes that write it. Real requests have a few
 * thousand such bytes.
 */
const MAX_STRUCTURE = 512 * 1024;

/** Throws `body_too_large`, `context_length_exceeded`, `engine_busy`, `malformed_json`, or `canceled` if the client goes away. */
export async function jsonBody(incoming: IncomingMessage, hold: Hold, info: BackendInfo): Promise<unknown> {
  // A web page elsewhere can send text/plain to this machine without asking first, but not JSON.
  if (!JSON_TYPE.test(incoming.headers["content-type"] ?? ""))
    throw invalid(null, "Send the body with content-type: application/json.");
  const { "content-encoding": encoding, "content-type": type } = incoming.headers;
  const body = inUtf8(await unpacked(await readBody(incoming, hold, info), encoding, hold, info), type);
  if (structureOf(body, MAX_STRUCTURE) > MAX_STRUCTURE)
    throw invalid(null, `The body: may have at most ${MAX_STRUCTURE} bytes and quotes outside of its texts.`);
  try {
    // It leaves out a byte order mark, which JSON.parse does not take.
    return JSON.parse(withoutHalves(new TextDecoder().decode(body)));
  } catch (cause) {
    throw new KamadoError("malformed_json", "The body is not JSON.", { cause });
  }
}

async function readBody(incoming: IncomingMessage, hold: Hold, info: BackendInfo): Promise<Buffer> {
  checkLength(Number(incoming.headers["content-length"] ?? 0), info);
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    // The connection is not closed when the loop is left early, so that the client gets the reason.
    for await (const chunk of incoming.iterator({ destroyOnReturn: false })) {
      length += chunk.length;
      checkLength(length, info);
      hold.add(chunk.length);
      chunks.push(chunk);
    }
  } catch (thrown) {
    if (thrown instanceof KamadoError) throw thrown;
    throw new KamadoError("canceled", "The client went away.", { cause: thrown });
  }
  return Buffer.concat(chunks, length);
}

/** What a packed body may become: a text is seldom packed to less than a fiftieth. */
const mostUnpacked = (bytes: number) => Math.min(MAX_BODY_BYTES, 64 * bytes + 1024 * 1024);

async function unpacked(
  body: Buffer,
  encoding: string | undefined,
  hold: Hold,
  info: BackendInfo,
): Promise<Uint8Array> {
  if (encoding === undefined) return body;
  const maxBytes = mostUnpacked(body.length);
  hold.add(maxBytes);
  const tooLarge = () =>
    new KamadoError("body_too_large", `The body may have at most ${maxBytes} bytes when it is unpacked.`);
  const broken = (why: string, cause?: unknown) => invalid(null, `The body ${why}.`, cause);
  const made = await unpack(body, encoding, { maxBytes, tooLarge, broken });
  hold.add(made.length - maxBytes);
  checkLength(made.length, info);
  return made;
}

/** JSON is UTF-8, and holds no zeros. Other character sets are read where it is sure which one it is, as in jobs. */
function inUtf8(body: Uint8Array, type: string | undefined): Buffer {
  if (isUtf8(body) && !body.includes(0)) return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const text = decodeText(body, type);
  if (text === null)
    throw new KamadoError("malformed_json", "The body is in no known character set; send UTF-8.");
  return Buffer.from(text);
}

function checkLength(bytes: number, { images, contextSize }: BackendInfo): void {
  if (bytes > MAX_BODY_BYTES)
    throw new KamadoError("body_too_large", `The body may have at most ${MAX_BODY_BYTES} bytes.`);
  const most = OTHER_BYTES + contextSize * MAX_CHARACTERS_PER_TOKEN * BYTES_PER_CHARACTER;
  if (!images && bytes > most)
    throw new KamadoError(
      "context_length_exceeded",
      `The body has at least ${bytes} bytes; no request that fits this model's context of ${contextSize} tokens has more than ${most}.`,
      { detail: { param: "messages" } },
    );
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** How many bytes stand outside of the texts, plus how many quotes there are. Stops counting when it is more than `limit`. */
export function structureOf(body: Buffer, limit: number): number {
  let count = 0;
  for (let at = 0; count <= limit; ) {
    const begin = body.indexOf(QUOTE, at);
    if (begin === -1) return count + body.length - at;
    count += begin - at + 1;
    let end = body.indexOf(QUOTE, begin + 1);
    for (; end !== -1 && isEscaped(body, end) && count <= limit; count++) end = body.indexOf(QUOTE, end + 1);
    if (end === -1) return count;
    at = end + 1;
  }
  return count;
}

function isEscaped(body: Buffer, at: number): boolean {
  let before = at;
  while (body[before - 1] === BACKSLASH) before--;
  return (at - before) % 2 === 1;
}
