// What a server sent, for answers that undici refuses: with bare line feeds, two lengths, a header that is none. Such a receiver has
// done what it was asked to. To ask it again would deliver twice, so its status counts where it is clear. Owns how the beginning of
// each answer is kept and read tolerantly; undici has closed the connection by then. Who makes use of it is left to outbound.ts.
import type { Socket } from "node:net";
import type { Answer } from "./answer.ts";

/** Of an answer. Bytes. */
const KEPT = 16 * 1024;
const EMPTY: Buffer = Buffer.alloc(0);

/** By the error with which undici, or the socket itself, gave the connection up. */
const begun = new WeakMap<object, Buffer>();

/** Keeps the beginning of each answer on this connection, and takes away a 100 Continue that nobody asked for. */
export function keepAnswers(socket: Socket): void {
  const { read, write, destroy } = socket;
  let kept = EMPTY;
  let held = EMPTY;
  const next = (size?: number): Buffer | null => {
    const chunk: Buffer | null = read.call(socket, size);
    if (chunk === null || kept.length >= KEPT) return chunk;
    const isStart = kept.length === 0 || held.length > 0;
    kept = Buffer.concat([kept, chunk]).subarray(0, KEPT);
    if (!isStart) return chunk;
    const rest = afterContinue(Buffer.concat([held, chunk]));
    held = rest.isWhole ? EMPTY : rest.bytes;
    if (rest.isWhole && rest.bytes.length > 0) return rest.bytes;
    if (rest.isWhole) kept = EMPTY;
    return next(size);
  };
  Object.assign(socket, {
    read: next,
    // One request at a time: what comes after it is its answer.
    write(...given: Parameters<Socket["write"]>) {
      [kept, held] = [EMPTY, EMPTY];
      return write.apply(socket, given);
    },
    destroy(error?: Error) {
      if (error && kept.length > 0) begun.set(error, kept);
      return destroy.call(socket, error);
    },
  });
}

/** What follows the 100s at the beginning; not whole while one of them has not ended. */
function afterContinue(bytes: Buffer): { bytes: Buffer; isWhole: boolean } {
  const text = bytes.toString("latin1", 0, KEPT);
  if (isBegun(text)) return { bytes, isWhole: false };
  if (!/^\s*HTTP\/1\.[01] 100\b/.test(text)) return { bytes, isWhole: true };
  const end = /\r?\n\r?\n/.exec(text);
  if (!end) return { bytes, isWhole: text.length >= KEPT };
  return afterContinue(bytes.subarray(end.index + end[0].length));
}

/** A packet may end anywhere, in the middle of the status too. */
const isBegun = (text: string) =>
  text !== "" && ["HTTP/1.0 100", "HTTP/1.1 100"].some((status) => status.startsWith(text.trimStart()));

/** The answer whose connection ended with this error, if its status is clear. */
export function answerDespite(error: unknown, { href: url }: URL): Answer | null {
  let text = rawOf(error).toString("latin1");
  for (;;) {
    const status = statusOf(text);
    if (status === null || status > 599) return null;
    const end = /\r?\n\r?\n/.exec(text);
    if (status >= 200) {
      const headers = headersOf(text.slice(0, end?.index));
      return { status, headers, bytes: Buffer.from(end ? afterEnd(text, end) : "", "latin1"), url };
    }
    if (!end) return null;
    text = afterEnd(text, end);
  }
}

const rawOf = (error: unknown) => begun.get(Object(error)) ?? EMPTY;
const afterEnd = (text: string, end: RegExpExecArray) => text.slice(end.index + end[0].length);

function statusOf(text: string): number | null {
  const found = /^\s*HTTP\/\d(?:\.\d)?[ \t]+([1-9]\d\d)(?!\d)/i.exec(text);
  return found && Number(found[1]);
}

function headersOf(head: string): Record<string, string> {
  const lines = head.split(/\r?\n/).slice(1);
  const fields = lines.map((line) => /^([\w-]+)[ \t]*:(.*)$/s.exec(line)).filter((found) => found !== null);
  return Object.fromEntries(fields.map(([, name, value]) => [name!.toLowerCase(), value!.trim()]));
}

/** What is wrong with an answer that undici refuses, in words; null where the connection failed before one began. */
export function whatIsWrongWith(error: unknown): string | null {
  const { message = "", code } = (error ?? {}) as { message?: string; code?: string };
  const raw = rawOf(error);
  if (raw.length === 0) return null;
  const text = raw.toString("latin1");
  if (raw[0] === 0x15 || raw[0] === 0x16) return "it speaks TLS: the address should begin with https://";
  if (statusOf(text) === null) return "the answer is not HTTP";
  if (statusOf(text)! < 200) return `it answered ${statusOf(text)} and nothing after it`;
  const lengths = text
    .slice(0, /\r?\n\r?\n/.exec(text)?.index)
    .match(/^(content-length|transfer-encoding)\s*:/gim);
  if (code === "UND_ERR_RES_CONTENT_LENGTH_MISMATCH" && (lengths?.length ?? 0) > 1)
    return "the answer says twice how long it is";
  if (code === "UND_ERR_HEADERS_OVERFLOW") return "the answer's headers are too long";
  const reason = /\(([^)]*)\)$/.exec(message)?.[1];
  return reason === undefined ? null : `the answer is not valid HTTP (${reason})`;
}
