// What a log line may not show: secrets by the name of their field or by their look, and pictures in full. Pure.
import { stdSerializers } from "pino";

const SECRET_FIELDS =
  /^(.*(secret|password|token|api-?_?key|access-?_?key)s?|authorization|proxy-authorization|cookie|set-cookie|headers|webhook-signature)$/i;
// Counts are no secrets, though they end on "tokens".
const COUNTS = /^(prompt|cached|completion|max|total)_?tokens$/i;

// Deep enough for an error with its detail and cause; what lies deeper is named by its type only.
const MAX_DEPTH = 6;
const MAX_TEXT = 4_000;

/** A copy of `value` that may be logged. */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === "string") return redactText(value);
  if (typeof value !== "object" || value === null) return value;
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (depth >= MAX_DEPTH) return Array.isArray(value) ? "[array]" : "[object]";
  if (value instanceof Error) return redact(stdSerializers.err(value), depth + 1);
  // Dates and addresses as JSON would write them; a Secret says "[secret]" here.
  if ("toJSON" in value && typeof value.toJSON === "function") return redact(value.toJSON(), depth + 1);
  if (Array.isArray(value)) return value.slice(0, 100).map((one) => redact(one, depth + 1));
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, field(name, inner, depth)]));
}

function field(name: string, value: unknown, depth: number): unknown {
  const hidden = SECRET_FIELDS.test(name) && !COUNTS.test(name) && value !== undefined && value !== null;
  return hidden ? "[secret]" : redact(value, depth + 1);
}

/** A text without secrets, with data URIs and endless values cut short. */
export function redactText(text: string): string {
  const safe = text
    .replaceAll(
      /data:([\w.+/-]*)[^,\s"']{0,100},[A-Za-z0-9+/=_%-]{32,}/g,
      (uri, type) => `data:${type},… (${uri.length} characters)`,
    )
    .replaceAll(/whsec_[A-Za-z0-9+/=_-]+/g, "whsec_[secret]")
    .replaceAll(/\b(Bearer|Basic)\s+[A-Za-z0-9+/=._~-]{6,}/gi, "$1 [secret]")
    .replaceAll(/(\b[a-z][a-z0-9+.-]{1,20}:\/\/)[^\s/@:]{1,256}:[^\s/@]{1,256}@/gi, "$1[secret]@");
  return safe.length <= MAX_TEXT ? safe : `${safe.slice(0, MAX_TEXT)}… (${safe.length} characters)`;
}
