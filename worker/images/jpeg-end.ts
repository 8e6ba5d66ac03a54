// A JPEG whose end is missing, as cameras and broken uploads leave it. Browsers show such a picture, and so does this: while at least
// nine of ten rows are there, or, where the file goes over the picture several times, everything but its finest detail. What
// decodes it is decoder-main.ts.
import sharp, { type SharpOptions } from "sharp";

const END = Buffer.from([0xff, 0xd9]);
/** The part of the rows that must be there. */
const ROWS = 0.9;

/** The JPEG with an end, and how strictly it can be decoded. Undefined when too much of it is missing. */
export type Completed = { bytes: Buffer; failOn: "error" | "none" };

export async function completedJpeg(bytes: Uint8Array, maxPixels: number): Promise<Completed | undefined> {
  const given = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const ended = Buffer.concat([given, END]);
  // With an end behind it, data that breaks off is only a warning to the decoder.
  const isWhole = (jpeg: Buffer) => isDecodable(jpeg, { failOn: "warning", limitInputPixels: maxPixels }, 1);
  if (await isWhole(ended)) return { bytes: ended, failOn: "error" };
  const scans = scansOf(given);
  if (scans.length === 1) {
    const isEnough = await isDecodable(given, { failOn: "error", limitInputPixels: maxPixels }, ROWS);
    return isEnough ? { bytes: given, failOn: "none" } : undefined;
  }
  const last = scans.at(-1);
  if (last === undefined || !areComplete(scans.slice(0, -1))) return undefined;
  const before = Buffer.concat([given.subarray(0, last.at), END]);
  return (await isWhole(before)) ? { bytes: before, failOn: "error" } : undefined;
}

/** Whether this part of the rows, from the top, can be decoded without an error. */
async function isDecodable(bytes: Buffer, options: SharpOptions, part: number): Promise<boolean> {
  try {
    const picture = sharp(bytes, options);
    const { width, height } = await picture.metadata();
    const rows = Math.max(1, Math.floor(height * part));
    await picture
      .extract({ left: 0, top: rows - 1, width, height: 1 })
      .raw()
      .toBuffer();
    return true;
  } catch {
    return false;
  }
}

/** One pass over the picture: which coefficients of which components it holds. `at` is where it begins. */
type Scan = { at: number; components: number[]; first: number; last: number };

const START_OF_SCAN = 0xda;

function scansOf(bytes: Buffer): Scan[] {
  const scans: Scan[] = [];
  for (let at = 2; at + 4 <= bytes.length; ) {
    const marker = bytes[at + 1]!;
    if (bytes[at] !== 0xff || marker === 0xff) at += 1;
    else if (marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd9)) at += 2;
    else {
      const length = bytes.readUInt16BE(at + 2);
      if (marker === START_OF_SCAN) {
        const count = bytes[at + 4] ?? 0;
        const components = Array.from({ length: count }, (_, nth) => bytes[at + 5 + 2 * nth]!);
        const [first = 0, last = 0] = bytes.subarray(at + 5 + 2 * count);
        scans.push({ at, components, first, last });
      }
      at += 2 + length;
      if (marker === START_OF_SCAN) at = endOfScan(bytes, at);
    }
  }
  return scans;
}

/** The next marker that is no part of the scan's data. */
function endOfScan(bytes: Buffer, from: number): number {
  for (let at = bytes.indexOf(0xff, from); at !== -1; at = bytes.indexOf(0xff, at + 1)) {
    const marker = bytes[at + 1] ?? 0;
    const isData = marker === 0 || marker === 0xff || (marker >= 0xd0 && marker <= 0xd7);
    if (!isData) return at;
  }
  return bytes.length;
}

/** Whether they hold every coefficient of every component, be it roughly. */
function areComplete(scans: readonly Scan[]): boolean {
  const components = new Set(scans.flatMap(({ components }) => components));
  return [...components].every((component) => {
    const own = scans.filter(({ components }) => components.includes(component));
    const known = new Set(
      own.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, nth) => first + nth)),
    );
    return known.size === COEFFICIENTS;
  });
}

const COEFFICIENTS = 64;
