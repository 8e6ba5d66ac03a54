// The log: one line for each event, in JSON or readable. It removes secrets and pictures from every line and makes it safe to show,
// so that no caller has to remember that. A line about a job names the job and its stage.
import { type DestinationStream, pino, stdSerializers } from "pino";
import { printable } from "../printable.ts";
import { localTime } from "./terminal.ts";

type Write = { (fields: Record<string, unknown>, message?: string): void; (message: string): void };

/** `log.info({ job: id, stage: "deliver" }, "delivered")` */
export type Log = {
  debug: Write;
  info: Write;
  warn: Write;
  error: Write;
  /** The same log with these fields on every line. */
  child(fields: Record<string, unknown>): Log;
};

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "silent";

export type LogOptions = {
  level: LogLevel;
  /** Readable lines instead of JSON. */
  pretty?: boolean;
  /** Where lines go; standard output by default. */
  destination?: DestinationStream;
};

export function createLog({ level, pretty = false, destination = process.stdout }: LogOptions): Log {
  const lines = pretty ? { write: (line: string) => destination.write(readableLine(line)) } : destination;
  const log = pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }), log: redactFields },
      hooks: {
        logMethod(args, method) {
          const cut = args.map((arg: unknown) => (typeof arg === "string" ? redactText(arg) : arg));
          method.apply(this, cut as typeof args);
        },
      },
    },
    lines,
  );
  // Pino would write a child's fields as they are. The children of a child inherit this method.
  const { child } = log;
  log.child = function (this: typeof log, fields: object) {
    return child.call(this, redactFields(fields));
  } as typeof log.child;
  return log;
}

function redactFields(fields: object): Record<string, unknown> {
  return redact(fields, 0) as Record<string, unknown>;
}

const SECRET_FIELDS =
  /^(.*(secret|password|token|api-?_?key|access-?_?key)s?|authorization|proxy-authorization|cookie|set-cookie|headers|webhook-signature)$/i;
// Numbers of tokens are not secret.
const COUNTS = /^(prompt|cached|completion|max|total)_?tokens$/i;

// Deep enough for an error with its detail and cause. Anything deeper is shown as its type only.
const MAX_DEPTH = 6;

/** A copy of `value` without secrets, known by the names of their fields or by their look, and without pictures. */
function redact(value: unknown, depth: number): unknown {
  if (typeof value === "string") return redactText(value);
  if (typeof value !== "object" || value === null) return value;
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (depth >= MAX_DEPTH) return Array.isArray(value) ? "[array]" : "[object]";
  if (value instanceof Error) return redact(stdSerializers.err(value), depth + 1);
  // Dates and URLs as in JSON. A Secret gives "[secret]" here.
  if ("toJSON" in value && typeof value.toJSON === "function") return redact(value.toJSON(), depth + 1);
  if (Array.isArray(value)) return value.slice(0, 100).map((one) => redact(one, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [printable(name, { max: 200 }), field(name, inner, depth)]),
  );
}

function field(name: string, value: unknown, depth: number): unknown {
  const hidden = SECRET_FIELDS.test(name) && !COUNTS.test(name) && value !== undefined && value !== null;
  return hidden ? "[secret]" : redact(value, depth + 1);
}

/** A text without secrets, safe to show; data URIs and very long texts are cut short. */
function redactText(text: string): string {
  const safe = text
    .replaceAll(
      /data:([^,\s"']{0,150}),[A-Za-z0-9+/=_%-]{32,}/g,
      (uri, type: string) => `data:${type.split(";")[0]},… (${uri.length} characters)`,
    )
    .replaceAll(/whsec_[A-Za-z0-9+/=_-]+/g, "whsec_[secret]")
    .replaceAll(/\b(Bearer|Basic)\s+[A-Za-z0-9+/=._~-]{6,}/gi, "$1 [secret]")
    .replaceAll(/(x-amz-security-token[:=]\s*)[^\s'"&]+/gi, "$1[secret]")
    .replaceAll(/(\b[a-z][a-z0-9+.-]{1,20}:\/\/)[^\s/@:]{1,256}:[^\s/@]{1,256}@/gi, "$1[secret]@");
  return printable(safe, { lines: true });
}

/** A JSON line as a person reads it, a stack trace below it: `12:03:04 info  deliver 01J… delivered to=sns:…`. */
function readableLine(line: string): string {
  const fields = parse(line);
  if (!fields) return line;
  const { time, level, msg, stage, job, err, stack, ...rest } = fields;
  const head = [localTime(String(time)).slice(11), String(level).padEnd(5), stage, job, msg]
    .filter(isGiven)
    .map(shown)
    .join(" ");
  const tail = Object.entries(rest).map(([name, value]) => ` ${name}=${shown(value)}`);
  const trace = isObject(err) ? (err.stack ?? err.message) : stack;
  return `${head}${tail.join("")}${trace === undefined ? "" : indented(String(trace))}\n`;
}

/** A stack begins with the error's message, of which no line may look like one of the log. */
const indented = (text: string) => `\n${text}`.replaceAll("\n", "\n    ");

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;
const isGiven = (value: unknown) => value !== undefined && value !== "";
// On one line, so that no text can look like a line of its own.
const shown = (value: unknown) =>
  printable(typeof value === "string" ? value : JSON.stringify(value, filled));
/** Of a receipt most fields are empty; a person reads the others. */
const filled = (name: string, value: unknown) =>
  name !== "" && (value === null || value === 0) ? undefined : value;

function parse(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

// Created last, because it needs the constants above.
export const silentLog: Log = createLog({ level: "silent" });
