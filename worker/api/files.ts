// Owns which files may be uploaded for jobs and how they are shown again: by their bytes, never by what somebody calls them. Where they are
// kept is left to the bucket, and what a job may do with a picture to images/.
import { KamadoError } from "../errors.ts";
import { type PictureFormat, sniff } from "../images/format.ts";

const PICTURES: readonly PictureFormat[] = ["jpeg", "png", "webp", "gif", "heic"];

/** The media type of a file that jobs can use. Throws `file_type_refused`. */
export function uploadType(bytes: Uint8Array): string {
  const type = typeOf(bytes);
  if (type !== null) return type;
  const found = sniff(bytes);
  const what = found.is === "picture" ? `a ${found.format.toUpperCase()}` : found.looksLike;
  throw new KamadoError("file_type_refused", `The file is ${what}.`);
}

/** What a browser may be told of a file: nothing that it would run. */
export const shownType = (bytes: Uint8Array): string => typeOf(bytes) ?? "application/octet-stream";

function typeOf(bytes: Uint8Array): string | null {
  const found = sniff(bytes);
  if (found.is === "picture") return PICTURES.includes(found.format) ? `image/${found.format}` : null;
  if (found.looksLike === "a PDF") return "application/pdf";
  return bytes.length > 0 && isText(bytes) ? "text/plain; charset=utf-8" : null;
}

function isText(bytes: Uint8Array): boolean {
  if (bytes.includes(0)) return false;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
