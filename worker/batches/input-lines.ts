// Reads the input file of a batch line by line and says what is wrong with a line, in the words of OpenAI's API. A file of any length is
// read in the memory of one line. What becomes of good and bad lines is in validate.ts.
import { open } from "node:fs/promises";
import { parseJson } from "../job/json.ts";
import { excessOf } from "../job/structure.ts";
import type { LineError } from "./batch-store.ts";

/** Of one line. The engine takes no longer request. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;

/** `bytes` are undefined for a line that is too long. */
export type RawLine = { number: number; start: number; length: number; bytes: Uint8Array | undefined };

/** Every line that is not blank. */
export async function* linesOf(path: string, maxBytes = MAX_LINE_BYTES): AsyncGenerator<RawLine> {
  await using file = await open(path);
  const chunk = Buffer.alloc(CHUNK_BYTES);
  let [number, start, length] = [1, 0, 0];
  let parts: Buffer[] = [];
  const line = (): RawLine[] => {
    const bytes = length > maxBytes ? undefined : Buffer.concat(parts, length);
    return bytes !== undefined && isBlank(bytes) ? [] : [{ number, start, length, bytes }];
  };
  const add = (bytes: Buffer) => {
    length += bytes.length;
    if (length > maxBytes) parts = [];
    else if (bytes.length > 0) parts.push(Buffer.from(bytes));
  };
  for (;;) {
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES);
    if (bytesRead === 0) break;
    let from = 0;
    for (
      let end = chunk.indexOf(NEWLINE);
      end !== -1 && end < bytesRead;
      end = chunk.indexOf(NEWLINE, from)
    ) {
      add(chunk.subarray(from, end));
      yield* line();
      [number, start, length, parts] = [number + 1, start + length + 1, 0, []];
      from = end + 1;
    }
    add(chunk.subarray(from, bytesRead));
  }
  if (length > 0) yield* line();
}

const isBlank = (bytes: Uint8Array) => bytes.every((byte) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d));

/** What a line asks for, or what is wrong with it. */
export type Request = { customId: string; model: string | null; body: Record<string, unknown> };
export type Wrong = Omit<LineError, "line">;

/** A custom_id of OpenAI has 64 characters; that of others has more. */
const MAX_CUSTOM_ID = 512;

const wrong = (code: string, param: string | null, message: string): Wrong => ({ code, message, param });
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** `endpoint`: of the batch. */
export function readRequest(bytes: Uint8Array | undefined, endpoint: string): Request | Wrong {
  if (bytes === undefined)
    return wrong("invalid_request", null, `This line is longer than ${MAX_LINE_BYTES} bytes.`);
  const value = valueIn(bytes);
  if (value === undefined && isUtf16(bytes))
    return wrong("invalid_json_line", null, "This file is in UTF-16. Save it in UTF-8 and upload it again.");
  if (value === undefined)
    return wrong("invalid_json_line", null, "This line is not parseable as valid JSON.");
  if (typeof value === "string") return wrong("invalid_request", null, value);
  const { custom_id: customId, method, url, body } = value.fields;
  const missing = ["custom_id", "method", "url", "body"].find(
    (name) => (value.fields[name] ?? null) === null,
  );
  if (missing !== undefined) return missingOne(missing);
  // What stands for half a character would come back as another text, and two of them as the same one.
  const isText = typeof customId === "string" && customId.isWellFormed();
  if (!isText || customId === "" || customId.length > MAX_CUSTOM_ID)
    return wrong(
      "invalid_request",
      "custom_id",
      `custom_id must be a text of 1 to ${MAX_CUSTOM_ID} characters.`,
    );
  if (method !== "POST") return wrong("invalid_request", "method", 'method must be "POST".');
  if (url !== endpoint)
    return wrong("url_mismatch", "url", `url must be the endpoint of the batch, ${endpoint}.`);
  if (!isObject(body)) return wrong("invalid_request", "body", "body must be an object.");
  const why = wrongIn(body, endpoint);
  return why ?? { customId, model: typeof body.model === "string" ? body.model : null, body };
}

/** As its first line begins, where a program of Windows wrote it. */
const isUtf16 = ([first, second]: Uint8Array) =>
  (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);

const missingOne = (name: string) =>
  wrong("missing_required_parameter", name, `Missing required parameter: '${name}'.`);

/** What the engine would refuse in every line alike. The rest it says itself, line by line. */
function wrongIn(body: Record<string, unknown>, endpoint: string): Wrong | undefined {
  const needed = endpoint === "/v1/completions" ? "prompt" : "messages";
  if ((body[needed] ?? null) === null) return missingOne(`body.${needed}`);
  if ((body.model ?? null) !== null && typeof body.model !== "string")
    return wrong("invalid_request", "body.model", "body.model must be a text.");
  if (body.stream === true)
    return wrong("invalid_request", "body.stream", "A batch streams no answers: leave out body.stream.");
  return undefined;
}

/** Undefined for what is no JSON; a text says what else is wrong. */
function valueIn(bytes: Uint8Array): { fields: Record<string, unknown> } | string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const excess = excessOf(text);
    if (excess !== null) return `This line ${excess}.`;
    const value = parseJson(text);
    return isObject(value) ? { fields: value } : "This line must be a JSON object.";
  } catch {
    return undefined;
  }
}
