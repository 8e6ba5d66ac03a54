// Which format a file has, by its bytes and never by its name. Pure; safe-image.ts decodes it.

export type PictureFormat = "jpeg" | "png" | "webp" | "gif" | "tiff" | "avif" | "heic";
export type Sniffed = { is: "picture"; format: PictureFormat } | { is: "other"; looksLike: string };

const latin1 = (bytes: Uint8Array, from: number, to: number) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1", from, to);

const AVIF_BRANDS = ["avif", "avis"];
const HEIC_BRANDS = ["heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"];

export function sniff(bytes: Uint8Array): Sniffed {
  const format = pictureFormat(bytes);
  return format ? { is: "picture", format } : { is: "other", looksLike: describe(bytes) };
}

function pictureFormat(bytes: Uint8Array): PictureFormat | null {
  const head = latin1(bytes, 0, 16);
  if (head.startsWith("\xff\xd8\xff")) return "jpeg";
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return "png";
  if (/^GIF8[79]a/.test(head)) return "gif";
  if (/^RIFF.{4}WEBP/s.test(head)) return "webp";
  if (/^(II[*+]\0|MM\0[*+])/.test(head)) return "tiff";
  return head.startsWith("ftyp", 4) ? fromBrands(bytes) : null;
}

// An ISO media file begins with a box of brands: the major brand, four bytes of version, then the compatible brands.
// `mif1` does not say which codec is inside, so AVIF is checked first.
function fromBrands(bytes: Uint8Array): PictureFormat | null {
  const length = Math.min(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0), 256, bytes.length);
  const brands = (latin1(bytes, 8, length).match(/.{4}/gs) ?? []).filter((_, index) => index !== 1);
  if (brands.some((brand) => AVIF_BRANDS.includes(brand))) return "avif";
  return brands.some((brand) => HEIC_BRANDS.includes(brand)) ? "heic" : null;
}

function describe(bytes: Uint8Array): string {
  if (bytes.length === 0) return "empty";
  const head = latin1(bytes, 0, 1024);
  if (head.startsWith("%PDF-")) return "a PDF";
  if (/^(\xef\xbb\xbf)?\s*(<\?xml.*?)?(<!--.*?-->\s*)?(<!DOCTYPE svg.*?)?<svg[\s>]/is.test(head))
    return "an SVG";
  if (/^(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)/i.test(head)) return "a web page";
  if (head.startsWith("BM")) return "a BMP";
  if (head.startsWith("PK\x03\x04")) return "a ZIP archive";
  if (head.startsWith("ftyp", 4)) return "a video";
  return isText(bytes) ? "a text file" : "unknown binary data";
}

function isText(bytes: Uint8Array): boolean {
  const head = bytes.subarray(0, 1024);
  if (head.includes(0)) return false;
  // `stream` allows the cut at 1024 bytes to be inside a character.
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(head, { stream: true });
    return true;
  } catch {
    return false;
  }
}

/** What a picture is called that cannot be decoded. */
export function nameBroken(format: PictureFormat, bytes: Uint8Array): string {
  const name = format === "webp" ? "WebP" : format.toUpperCase();
  return `a ${isTruncated(format, bytes) ? "truncated" : "damaged"} ${name}`;
}

/** Whether the end that the format requires is missing. */
function isTruncated(format: PictureFormat, bytes: Uint8Array): boolean {
  const tail = latin1(bytes, Math.max(0, bytes.length - 64), bytes.length);
  if (format === "png") return !tail.includes("IEND");
  if (format === "jpeg") return !tail.includes("\xff\xd9");
  if (format === "gif") return !tail.includes(";");
  if (format !== "webp" || bytes.length < 12) return bytes.length < 12;
  return bytes.length < 8 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
}
