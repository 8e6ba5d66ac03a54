// Bytes that stand in the job itself: data: URIs and bare base64. Read strictly and capped before they are decoded. Pure.
import { KamadoError } from "../errors.ts";

/** Throws `invalid_input`, `input_too_large`. */
export function decodeDataUri(uri: string, maxBytes: number): Uint8Array {
  const comma = uri.indexOf(",");
  if (comma < 0) throw bad("the data: URI has no comma before its data");
  const data = uri.slice(comma + 1);
  if (/;\s*base64\s*$/i.test(uri.slice(0, Math.min(comma, 500)))) return decodeBase64(data, maxBytes);
  return decodePercent(data, maxBytes);
}

/** Both alphabets, line ends allowed, padding optional. Throws `invalid_input`, `input_too_large`. */
export function decodeBase64(text: string, maxBytes: number): Uint8Array {
  refuseLong(Math.floor((text.length * 3) / 4) - 2, maxBytes);
  const data = text.replaceAll(/[\r\n\t ]+/g, "").replaceAll("%3D", "=");
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(data) || data.replace(/=+$/, "").length % 4 === 1)
    throw bad("the data is not base64");
  return Buffer.from(data, "base64");
}

function decodePercent(data: string, maxBytes: number): Uint8Array {
  const bytes = Buffer.from(data, "utf8");
  // Each escape is three characters for one byte.
  refuseLong(Math.floor(bytes.length / 3), maxBytes);
  if (/%(?![0-9a-f]{2})/i.test(data)) throw bad("the data: URI has a % that begins no escape");
  const decoded = Buffer.from(
    bytes
      .toString("latin1")
      .replaceAll(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))),
    "latin1",
  );
  refuseLong(decoded.length, maxBytes);
  return decoded;
}

function refuseLong(length: number, maxBytes: number): void {
  if (length > maxBytes)
    throw new KamadoError("input_too_large", `it has about ${length} bytes; the limit is ${maxBytes}.`);
}

const bad = (what: string) => new KamadoError("invalid_input", `${what}.`);
