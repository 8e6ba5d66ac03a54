// Bytes that stand in a job or a request itself: data: URIs (RFC 2397) and bare base64. Read as browsers read them, and capped before
// they are decoded. What the bytes are is left to whoever uses them: a media type is often wrong. Pure.
import { KamadoError } from "./errors.ts";

/** Of the media type and its parameters. */
const MAX_HEAD = 4_096;

/** White space around an address is nobody's intention. */
export const isDataUri = (text: string): boolean => /^\s*data:/i.test(text);

/** Throws `invalid_input`, `input_too_large`. */
export function decodeDataUri(uri: string, maxBytes: number): Uint8Array {
  const comma = uri.indexOf(",");
  if (comma < 0) throw bad("the data: URI has no comma before its data");
  if (comma > MAX_HEAD) throw bad("the data: URI has a media type that is too long");
  const data = uri.slice(comma + 1);
  // It stands last, but some encoders write a parameter behind it.
  const isBase64 = /;\s*base64\s*(;|$)/i.test(unescapedHead(uri.slice(0, comma)));
  return isBase64 ? decodeBase64(unescapedBase64(data, maxBytes), maxBytes) : decodePercent(data, maxBytes);
}

/** Some encoders escape the `;` and the `/` too. */
const unescapedHead = (head: string): string =>
  head.replaceAll(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));

/** Any character of base64 may be escaped, and so may white space in it. A fragment is no part of the data. */
function unescapedBase64(uriData: string, maxBytes: number): string {
  const hash = uriData.indexOf("#");
  const data = hash < 0 ? uriData : uriData.slice(0, hash);
  if (!data.includes("%")) return data;
  if (BROKEN_ESCAPE.test(data)) throw bad("the data is not base64");
  // Four characters stand for three bytes, and each may be an escape of three; white space may come on top.
  return Buffer.from(decodePercent(data, Math.ceil(maxBytes * 2) + 1_024)).toString("latin1");
}

/** Both alphabets, white space allowed, padding optional. Throws `invalid_input`, `input_too_large`. */
export function decodeBase64(text: string, maxBytes: number): Uint8Array {
  refuseLong(Math.floor((text.length * 3) / 4) - 2, 2 * maxBytes);
  const data = text.replaceAll(/[\r\n\t\f ]+/g, "");
  refuseLong(Math.floor((data.length * 3) / 4) - 2, maxBytes);
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(data) || data.replace(/=+$/, "").length % 4 === 1)
    throw bad("the data is not base64");
  return Buffer.from(data, "base64");
}

const PERCENT = 0x25;
const BROKEN_ESCAPE = /%(?![0-9a-f]{2})/i;
/** Of a character that is known to be one. */
const hexDigit = (char: number) => (char & 0xf) + (char >> 6) * 9;

function decodePercent(data: string, maxBytes: number): Uint8Array {
  const bytes = Buffer.from(data, "utf8");
  // Each escape is three characters for one byte.
  refuseLong(Math.floor(bytes.length / 3), maxBytes);
  if (BROKEN_ESCAPE.test(data)) throw bad("the data: URI has a % that begins no escape");
  // Byte by byte: one text for each of millions of escapes took a gigabyte.
  let length = 0;
  for (let at = 0; at < bytes.length; at++, length++) {
    const isEscape = bytes[at] === PERCENT;
    bytes[length] = isEscape ? (hexDigit(bytes[at + 1]!) << 4) | hexDigit(bytes[at + 2]!) : bytes[at]!;
    if (isEscape) at += 2;
  }
  const decoded = bytes.subarray(0, length);
  refuseLong(decoded.length, maxBytes);
  return decoded;
}

function refuseLong(length: number, maxBytes: number): void {
  if (length > maxBytes)
    throw new KamadoError("input_too_large", `it has about ${length} bytes; the limit is ${maxBytes}.`);
}

const bad = (what: string) => new KamadoError("invalid_input", `${what}.`);
