// Undoes how a body was packed: by what its content-encoding says, or by what its first bytes show. Never unpacks to more than the
// caller allows. What an error is called belongs to the caller.
import { promisify } from "node:util";
import { brotliDecompress, inflate, inflateRaw, unzip, zstdDecompress } from "node:zlib";

export type Unpacking = {
  /** Of what comes out, and of every step on the way. */
  maxBytes: number;
  tooLarge: () => Error;
  /** `why` is the end of a sentence: "is not valid gzip". */
  broken: (why: string, cause?: unknown) => Error;
};

type Undo = (bytes: Uint8Array, options: { maxOutputLength: number }) => Promise<Buffer>;
const gzip: Undo = promisify(unzip);
const zstd: Undo = promisify(zstdDecompress);
/** By the standard, deflate has a header of zlib. Some servers leave it out. */
const deflate: Undo = (bytes, options) =>
  promisify(((bytes[0] ?? 0) & 0x0f) === 8 ? inflate : inflateRaw)(bytes, options);
const UNDO = new Map<string, Undo>([
  ["gzip", gzip],
  ["x-gzip", gzip],
  ["deflate", deflate],
  ["br", promisify(brotliDecompress)],
  ["zstd", zstd],
]);

/** `aws-chunked` is how a body was sent, the others say nothing of how it is packed; programs put them there by mistake. */
const NO_PACKING = /^(identity|none|binary|[78]bit|utf-?8|us-ascii|base64|aws-chunked)?$/;
/** Several layers are a mistake. More of them are an attack. */
const MAX_LAYERS = 4;

/** Undoes a content-encoding, which may name several. Packed bytes that no header names are left as they are. */
export async function unpack(
  bytes: Uint8Array,
  encoding: string | undefined,
  how: Unpacking,
): Promise<Uint8Array> {
  const names = (encoding ?? "")
    .toLowerCase()
    .split(",")
    .map((name) => name.trim());
  const packings = names.filter((name) => !NO_PACKING.test(name)).reverse();
  if (packings.length > MAX_LAYERS) throw how.broken(`has ${packings.length} content-encodings`);
  let left = bytes;
  for (const name of packings) {
    const undo = UNDO.get(name);
    if (!undo) throw how.broken(`has the unknown content-encoding ${name.slice(0, 40)}`);
    if (left.length > 0 && !isUnpackedAlready(left, undo)) left = await undoOne(left, name, undo, how);
  }
  return left;
}

/** Undoes gzip and zstd that only the bytes show, as of an object that was stored as it came from a file named .gz. */
export async function unpackByContent(bytes: Uint8Array, how: Unpacking): Promise<Uint8Array> {
  let left = bytes;
  for (let layer = 0; layer < MAX_LAYERS; layer += 1) {
    if (isGzip(left)) left = await undoOne(left, "gzip", gzip, how);
    else if (isZstd(left)) left = await undoOne(left, "zstd", zstd, how);
    else break;
  }
  return left;
}

const isGzip = ([first, second, third]: Uint8Array) => first === 0x1f && second === 0x8b && third === 8;
const isZstd = ([first, second, third, fourth]: Uint8Array) =>
  first === 0x28 && second === 0xb5 && third === 0x2f && fourth === 0xfd;

/** A proxy unpacked it and left the header, or a program set the header and did not pack. */
const isUnpackedAlready = (bytes: Uint8Array, undo: Undo) =>
  (undo === gzip && !isGzip(bytes)) || (undo === zstd && !isZstd(bytes));

async function undoOne(bytes: Uint8Array, name: string, undo: Undo, how: Unpacking): Promise<Uint8Array> {
  try {
    return await undo(bytes, { maxOutputLength: how.maxBytes });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") throw how.tooLarge();
    throw how.broken(`is not valid ${name}`, thrown);
  }
}
