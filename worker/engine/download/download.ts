// One file of a model, from its server to the disk: NAME.part holds the bytes, NAME.part.json what the server said of the file they are
// from. A download that was interrupted continues where it stopped, if the file there is still the same one; else it begins again.
// Which files there are, and whether they are good, is left to pull.ts.
//
// ipull 4.0.3 was looked at: it continues downloads, but asks neither for an ETag nor sends If-Range, so that a file that has changed is
// put together from two versions, and it knows no checksums.
import { type FileHandle, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { backoffMs } from "../../async/backoff.ts";
import type { Clock } from "../../async/clock.ts";
import { KamadoError } from "../../errors.ts";
import { readStart } from "../../http/bounded-body.ts";
import { parseRetryAfter } from "../../http/retry-after.ts";
import { PART } from "../../models/installed.ts";
import { type Answer, type Requests, wholeNumber } from "./requests.ts";
import type { WantedFile } from "./source.ts";

/** What a server says of a file. One of the last three must be the same for a download to continue. */
export type Facts = {
  total: number;
  sha256?: string | undefined;
  etag?: string | undefined;
  lastModified?: string | undefined;
};

export type Context = {
  requests: Requests;
  folder: string;
  signal: AbortSignal;
  clock: Clock;
  /** Bytes on the disk, of how many. */
  onProgress(file: string, done: number, total: number): void;
  say(line: string): void;
};

/** Tries in a row that bring no byte further than any before. */
const MAX_FAILURES = 5;
const BACKOFF = { baseMs: 2_000, maxMs: 60_000 };
const LONGEST_PAUSE_MS = 5 * 60_000;

export const partOf = (folder: string, file: string) => join(folder, `${file}${PART}`);
const factsFile = (folder: string, file: string) => `${partOf(folder, file)}.json`;

/**
 * Downloads until `limit` bytes of the file are on the disk, or all of it. Throws `download_failed` when several tries in a row got no
 * further, `download_refused`, `disk_full`, and the signal's reason; what was downloaded stays.
 */
export async function downloadUntil(wanted: WantedFile, limit: number, context: Context): Promise<Facts> {
  const { folder, signal, clock, say } = context;
  let furthest = await sizeOf(folder, wanted.file);
  for (let failures = 0; ; ) {
    try {
      return await once(wanted, limit, context);
    } catch (thrown) {
      signal.throwIfAborted();
      if (!(thrown instanceof KamadoError) || !thrown.retry || thrown.code === "disk_full") throw thrown;
      const size = await sizeOf(folder, wanted.file);
      failures = size > furthest ? 1 : failures + 1;
      furthest = Math.max(furthest, size);
      const why = thrown.message.startsWith(wanted.file)
        ? thrown.message
        : `${wanted.file}: ${thrown.message}`;
      if (failures >= MAX_FAILURES)
        throw new KamadoError("download_failed", `${MAX_FAILURES} tries in a row got no further. ${why}`, {
          cause: thrown,
        });
      const pauseMs = Math.min(thrown.detail?.retryAfterMs ?? backoffMs(failures, BACKOFF), LONGEST_PAUSE_MS);
      say(`${why} Trying again in ${Math.ceil(pauseMs / 1_000)} s.`);
      await clock.sleep(pauseMs, signal);
    }
  }
}

export async function removePart(folder: string, file: string): Promise<void> {
  await Promise.all([partOf(folder, file), factsFile(folder, file)].map((path) => rm(path, { force: true })));
}

async function once(wanted: WantedFile, limit: number, context: Context): Promise<Facts> {
  const { folder, requests, signal } = context;
  const kept = await readFacts(folder, wanted.file);
  const size = await sizeOf(folder, wanted.file);
  const from = kept === undefined || size > kept.total ? 0 : size;
  if (kept !== undefined && from > 0 && from >= Math.min(limit, kept.total)) return kept;
  const answer = await requests.get(wanted.url, headersFor(from, limit, kept), signal);
  try {
    return await take(answer, wanted, { from, limit, kept }, context);
  } finally {
    answer.body.on("error", () => {}).destroy();
  }
}

/** A strong checksum needs no If-Range: its server is another one after each redirect, with tags of its own. */
function headersFor(from: number, limit: number, kept: Facts | undefined): Record<string, string> {
  const range = `bytes=${from}-${Number.isFinite(limit) ? limit - 1 : ""}`;
  const tag = kept?.etag ?? kept?.lastModified;
  return {
    range,
    ...(from > 0 && kept?.sha256 === undefined && tag !== undefined && { "if-range": tag }),
  };
}

type Start = { from: number; limit: number; kept: Facts | undefined };

async function take(answer: Answer, wanted: WantedFile, start: Start, context: Context): Promise<Facts> {
  const { folder, say, signal } = context;
  const { file } = wanted;
  if (answer.status === 416) return await afterRange(answer, file, start.from, folder);
  if (answer.status !== 200 && answer.status !== 206) throw await refusal(answer, wanted, context);
  if (/^(text\/html|application\/xhtml)/i.test(answer.headers["content-type"] ?? ""))
    throw refused(`${file}: ${answer.host} answers with a web page in place of the file.`);
  const facts = factsOf(answer, file);
  let from = start.from;
  if (from > 0 && !isSame(start.kept, facts)) {
    say(
      `${file}: nothing shows that the file at ${answer.host} is still the same one; the download begins again.`,
    );
    await removePart(folder, file);
    if (answer.status === 206)
      throw later(`${file}: the file at ${answer.host} may have changed.`, { retryAfterMs: 0 });
    from = 0;
  } else if (from > 0 && answer.status === 200) {
    say(`${file}: ${answer.host} cannot continue a download; it begins again.`);
    from = 0;
  }
  if (answer.status === 206 && rangeOf(answer)?.from !== from)
    throw later(`${file}: ${answer.host} sent another part of the file than it was asked for.`);
  await writeFacts(folder, file, facts);
  const end = Math.min(start.limit, facts.total);
  const reached = await write(answer, wanted, { from, end, total: facts.total }, context);
  signal.throwIfAborted();
  if (reached < end) throw later(`${file}: the connection ended after ${reached} of ${facts.total} bytes.`);
  return facts;
}

/** The part is longer than the file, or the file is empty. */
async function afterRange(answer: Answer, file: string, from: number, folder: string): Promise<never> {
  if (from === 0)
    throw refused(`${file}: the file at ${answer.host} is empty, or its server knows no ranges.`);
  await removePart(folder, file);
  throw later(`${file}: ${answer.host} has no byte ${from} of it; the download begins again.`, {
    retryAfterMs: 0,
  });
}

function factsOf({ status, headers, linked, host }: Answer, file: string): Facts {
  const total = status === 206 ? rangeOf({ headers })?.total : wholeNumber(headers["content-length"]);
  if (total === undefined) throw refused(`${file}: ${host} does not say how long the file is.`);
  if (linked.bytes !== undefined && linked.bytes !== total)
    throw refused(
      `${file}: Hugging Face says that it has ${linked.bytes} bytes, and ${host} that it has ${total}.`,
    );
  const etag = headers.etag?.startsWith('"') ? headers.etag : undefined;
  return { total, sha256: linked.sha256, etag, lastModified: headers["last-modified"] };
}

function rangeOf({
  headers,
}: Pick<Answer, "headers">): { from: number; total: number | undefined } | undefined {
  const found = /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/i.exec(headers["content-range"] ?? "");
  return found ? { from: Number(found[1]), total: wholeNumber(found[2]) } : undefined;
}

function isSame(kept: Facts | undefined, now: Facts): boolean {
  if (kept === undefined || kept.total !== now.total) return false;
  if (kept.sha256 !== undefined || now.sha256 !== undefined) return kept.sha256 === now.sha256;
  if (kept.etag !== undefined || now.etag !== undefined) return kept.etag === now.etag;
  return kept.lastModified !== undefined && kept.lastModified === now.lastModified;
}

type Span = { from: number; end: number; total: number };

/** Resolves with how far it came: a connection that breaks is an end like any other here. */
async function write(
  { body, host }: Answer,
  { file }: WantedFile,
  span: Span,
  context: Context,
): Promise<number> {
  const path = partOf(context.folder, file);
  let at = span.from;
  const handle = await open(path, at === 0 ? "w" : "r+");
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  try {
    while (at < span.end) {
      const next = await chunks.next().catch(() => undefined);
      if (next === undefined || next.done) break;
      at += await writeAll(handle, next.value.subarray(0, span.end - at), at);
      context.onProgress(file, at, span.total);
    }
    // What follows is no answer to the request.
    await handle.truncate(at);
    await handle.sync();
    return at;
  } catch (thrown) {
    throw diskError(thrown, path, host);
  } finally {
    await handle.close();
  }
}

/** A disk that is nearly full takes a part of it, and says no only the next time. */
async function writeAll(handle: FileHandle, bytes: Buffer, at: number): Promise<number> {
  for (let done = 0; done < bytes.length; )
    done += (await handle.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
  return bytes.length;
}

function diskError(thrown: unknown, path: string, what: string): unknown {
  const { code } = thrown as NodeJS.ErrnoException;
  if (code !== "ENOSPC" && code !== "EDQUOT") return thrown;
  const message = `${basename(path)} from ${what}: the disk of ${dirname(path)} is full.`;
  return new KamadoError("disk_full", message, { cause: thrown, hint: CONTINUES });
}
const CONTINUES = "Free some disk space and run the command again; it continues where it stopped.";

async function refusal(
  answer: Answer,
  { file, url }: WantedFile,
  { requests }: Context,
): Promise<KamadoError> {
  const { status, headers, host } = answer;
  // The address to which Hugging Face redirects holds for an hour; it is asked for a new one.
  const isOver = status === 403 && host !== new URL(url).host;
  if (isOver || status === 408 || status === 425 || status === 429 || status >= 500)
    return later(`${file}: ${host} answers ${status}.`, {
      retryAfterMs: parseRetryAfter(headers["retry-after"], Date.now()),
    });
  const said = (await readStart(answer.body, 300, 1_000)).toString("utf8").trim();
  const isText = said !== "" && !/^\s*</.test(said);
  const message = `${file}: ${host} answers ${status}${isText ? `: ${said}` : ""}.`.replace(/\.\.$/, ".");
  // Hugging Face answers 401 for a repository that does not exist too, and says so in a header.
  const isUnknown = /^(Repo|Revision|Entry)NotFound$/.test(headers["x-error-code"] ?? "");
  if (isUnknown || status === 404 || status === 410) return refused(message, unknownHint(requests));
  return status === 401 || status === 403 ? refused(message, accessHint(requests, host)) : refused(message);
}

const unknownHint = ({ hasToken }: Requests) =>
  `Check the names of the repository and the file${hasToken ? "" : "; a private repository needs HF_TOKEN"}.`;

const accessHint = ({ endpoint, hasToken }: Requests, host: string) =>
  host !== new URL(endpoint).host
    ? `${host} gets no token and no password from Kamado. Open the address in a browser, download the file yourself, and put it into the folder models/ (docs/models.md).`
    : hasToken
      ? `The token of HF_TOKEN may not read it: accept the model's terms at ${endpoint} with the token's account, and give the token the right to read gated repositories.`
      : `The file may need an account: accept the model's terms at ${endpoint}, make a token there, and set HF_TOKEN (or HF_TOKEN_FILE).`;

const refused = (message: string, hint?: string) =>
  new KamadoError("download_refused", message, hint === undefined ? {} : { hint });
const later = (message: string, detail: { retryAfterMs?: number | undefined } = {}) =>
  new KamadoError("download_failed", message, { detail });

/** How many bytes of it are here. */
export async function sizeOf(folder: string, file: string): Promise<number> {
  return await stat(partOf(folder, file)).then(
    ({ size }) => size,
    () => 0,
  );
}

export async function readFacts(folder: string, file: string): Promise<Facts | undefined> {
  try {
    const facts = JSON.parse(await readFile(factsFile(folder, file), "utf8")) as Facts;
    return Number.isSafeInteger(facts.total) ? facts : undefined;
  } catch {
    return undefined;
  }
}

export async function writeFacts(folder: string, file: string, facts: Facts): Promise<void> {
  const path = factsFile(folder, file);
  await writeFile(`${path}.new`, JSON.stringify(facts));
  await rename(`${path}.new`, path);
}
