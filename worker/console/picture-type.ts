// Which kind of picture bytes are, by how they begin; undefined for what a browser does not show as a picture. Pure.

const ascii = (bytes: Uint8Array, from: number, to: number) =>
  String.fromCharCode(...bytes.subarray(from, to));

export function pictureType(bytes: Uint8Array): string | undefined {
  if (ascii(bytes, 0, 4) === "\u0089PNG") return "image/png";
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return "image/jpeg";
  if (/^GIF8[79]a/.test(ascii(bytes, 0, 6))) return "image/gif";
  if (ascii(bytes, 0, 4) === "RIFF" && ascii(bytes, 8, 12) === "WEBP") return "image/webp";
  return /^ftypavi[fs]$/.test(ascii(bytes, 4, 12)) ? "image/avif" : undefined;
}
