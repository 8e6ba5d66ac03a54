// Reads an upload to `/v1/files` (multipart/form-data) and writes its file to the disk piece by piece: an upload of 200 MB takes no more
// memory than one of 2 MB.
import { PassThrough, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";
import { Busboy, type BusboyFileStream, type BusboyHeaders, type BusboyInstance } from "@fastify/busboy";
import { z } from "zod";
import { ApiError } from "./api-error.ts";

/** As of OpenAI. */
const MAX_FILE_BYTES = 200 * 1024 * 1024;
const LIMITS = { files: 1, fields: 20, fieldSize: 4_096, headerPairs: 100 };

/** `seconds`: how long it is to be kept, where the upload says it. */
export type Upload = { filename: string; bytes: number; seconds: number | undefined };

const Fields = z.object({
  purpose: z.literal("batch", { error: 'purpose must be "batch": other files are of no use here.' }),
  "expires_after[anchor]": z
    .literal("created_at", { error: 'expires_after.anchor must be "created_at".' })
    .optional(),
  "expires_after[seconds]": z.coerce
    .number()
    .int()
    .min(3_600)
    .max(2_592_000, "expires_after.seconds must be from 3600 to 2592000.")
    .optional(),
});

/** `write` gets the content of the file. What it wrote is of no use if this throws. */
export async function readUpload(
  { headers, body }: Pick<Request, "headers" | "body">,
  write: (content: AsyncIterable<Uint8Array>) => Promise<number>,
  maxBytes = MAX_FILE_BYTES,
): Promise<Upload> {
  const parser = parserFor(headers, maxBytes);
  const fields: Record<string, string> = {};
  let file: { filename: string; content: BusboyFileStream; written: Promise<number> } | undefined;
  // It may tell of one broken form several times, also when nobody waits for it any more.
  parser.on("error", () => {});
  parser.on("field", (name, value) => {
    fields[name] = value;
  });
  parser.on("file", (name, content, filename) => {
    if (name !== "file" || file) return void content.resume();
    const written = writeAll(content, write);
    // It is awaited below.
    written.catch(() => {});
    file = { filename: nameOf(filename), content, written };
  });
  const source = Readable.fromWeb((body ?? new Blob([]).stream()) as ReadableStream);
  await pipeline(source, parser).catch(async (thrown: Error) => {
    file?.content.destroy(thrown);
    await file?.written.catch(() => {});
    throw new ApiError(400, "invalid_multipart", `The form cannot be read: ${thrown.message}.`);
  });
  const bytes = await file?.written;
  const asked = readFields(fields);
  if (file === undefined || bytes === undefined)
    throw new ApiError(400, "missing_required_parameter", "Missing required parameter: 'file'.", "file");
  if (file.content.truncated)
    throw new ApiError(413, "file_too_large", `A file may have at most ${maxBytes} bytes.`, "file");
  return { filename: file.filename, bytes, seconds: asked["expires_after[seconds]"] };
}

function parserFor(headers: Headers, maxBytes: number): BusboyInstance {
  try {
    const limits = { ...LIMITS, fileSize: maxBytes };
    return new Busboy({ headers: Object.fromEntries(headers) as BusboyHeaders, limits });
  } catch {
    throw new ApiError(400, "invalid_multipart", "Send the file as multipart/form-data.");
  }
}

/** When the disk fails, the rest of the upload is read and thrown away, so that the client gets the reason. */
async function writeAll(
  content: Readable,
  write: (content: AsyncIterable<Uint8Array>) => Promise<number>,
): Promise<number> {
  const through = content.pipe(new PassThrough());
  // It may fail before it is read; who reads it then gets the error.
  through.on("error", () => {});
  content.on("error", (error) => through.destroy(error));
  try {
    return await write(through);
  } catch (thrown) {
    content.unpipe(through);
    content.resume();
    throw thrown;
  }
}

function readFields(fields: Record<string, string>): z.output<typeof Fields> {
  const parsed = Fields.safeParse(fields);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new ApiError(400, "invalid_value", issue!.message, String(issue!.path[0] ?? ""));
}

/** For people only: it names no file on the disk. */
function nameOf(filename: string | undefined): string {
  const name = (filename ?? "").split(/[/\\]/).at(-1)!.slice(-200);
  return name === "" ? "file" : name;
}
