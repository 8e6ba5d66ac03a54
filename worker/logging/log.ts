// The log: one JSON line an event, or one readable line. What must not be seen is cut out here (see log-redaction.ts),
// so that no caller has to remember it. A line about a job says which job and at which stage of its way.
import { type DestinationStream, pino } from "pino";
import { readableLine } from "./readable-line.ts";
import { redact, redactText } from "./redaction.ts";

type Write = { (fields: Record<string, unknown>, message?: string): void; (message: string): void };

/** What every part may do with the log: `log.info({ job: id, stage: "deliver" }, "delivered")`. */
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
  /** One readable line an event instead of JSON. */
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
  // Pino formats a child's fields once and as they are; children inherit this method.
  const { child } = log;
  log.child = function (this: typeof log, fields: object) {
    return child.call(this, redactFields(fields));
  } as typeof log.child;
  return log;
}

export const silentLog: Log = createLog({ level: "silent" });

function redactFields(fields: object): Record<string, unknown> {
  return redact(fields) as Record<string, unknown>;
}
