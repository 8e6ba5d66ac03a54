// Pictures that stand in a call itself: an image content object of the protocol becomes a data: URI, which every kind reads, and what a kind
// fetches as an input is uploaded, so that a job's message stays small. What is in a picture is left to the worker that fetches it.
import { decodeDataUri, isDataUri } from "../data-uri.ts";
import type { Known } from "../job/registry.ts";
import type { SendJobs } from "../job/send-jobs.ts";

type Fields = Record<string, unknown>;
const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null;

/** Of a call; deeper values are left as they are. */
const DEEPEST = 32;

/** Every `{ type: "image", data, mimeType }` as a data: URI. */
export function withDataUris(value: unknown, depth = 0): unknown {
  if (!isFields(value) || depth > DEEPEST) return value;
  if (Array.isArray(value)) return value.map((one) => withDataUris(one, depth + 1));
  const { type, data, mimeType } = value;
  if (type === "image" && typeof data === "string") {
    const media =
      typeof mimeType === "string" && /^[\w.+-]+\/[\w.+-]+$/.test(mimeType) ? mimeType : "image/png";
    return isDataUri(data) ? data : `data:${media};base64,${data}`;
  }
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, withDataUris(one, depth + 1)]));
}

/** Shorter ones stay in the job. Characters. */
const WORTH_UPLOADING = 8 * 1024;
/** The largest input that a worker may be configured to take is larger; such a one has to be uploaded by its sender. */
const MAX_BYTES = 50_000_000;

/** The input with an s3:// address in place of every long data: URI that the kind would fetch. `parsed`: the input as its schema reads it. */
export async function uploaded(
  input: unknown,
  parsed: unknown,
  handler: Pick<Known, "inputs">,
  send: Pick<SendJobs, "upload">,
): Promise<unknown> {
  const refs = Object.values(handler.inputs?.(parsed) ?? {});
  const long = refs.flatMap((ref) =>
    ref && isDataUri(ref.from) && ref.from.length > WORTH_UPLOADING ? [ref.from] : [],
  );
  const addresses = new Map<string, string>();
  for (const uri of new Set(long)) addresses.set(uri, await upload(uri, send));
  return addresses.size === 0 ? input : replaced(input, addresses);
}

function upload(uri: string, send: Pick<SendJobs, "upload">): Promise<string> {
  const [, contentType = "application/octet-stream"] = /^\s*data:([\w.+-]+\/[\w.+-]+)/i.exec(uri) ?? [];
  const [family, form = "bin"] = contentType.split("/");
  const name = `${family === "image" ? "picture" : "input"}.${form.replace(/\W.*$/, "").slice(0, 10) || "bin"}`;
  return send.upload(decodeDataUri(uri, MAX_BYTES), { name, contentType });
}

function replaced(value: unknown, addresses: ReadonlyMap<string, string>): unknown {
  if (typeof value === "string") return addresses.get(value) ?? value;
  if (!isFields(value)) return value;
  if (Array.isArray(value)) return value.map((one) => replaced(one, addresses));
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, replaced(one, addresses)]));
}
