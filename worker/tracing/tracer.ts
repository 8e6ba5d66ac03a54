// The port to a tracer: spans around what is done for a job. Without one a job's trace goes on to engines and receivers as it came, and that
// costs nothing. The real one is telemetry/open-telemetry.ts. A span never holds a text of an input or an answer, nor a whole address.
import { readTraceContext, type TraceContext, type TraceFields } from "../job/trace-context.ts";

export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

export type Span = {
  /** In which that goes on what the span causes; undefined where there is no trace. */
  readonly trace: TraceContext | undefined;
  set(attributes: Attributes): void;
  /** `error`: an error's code. `at`: epoch milliseconds. Never throws. */
  end(error?: string, at?: number): void;
};

export type SpanOptions = {
  /** A new trace begins where it names none. */
  parent: TraceFields;
  kind?: "internal" | "client" | "consumer" | "producer";
  /** When it began, epoch milliseconds. [now] */
  at?: number;
  attributes?: Attributes;
};

export type Tracer = {
  /** Never throws. */
  begin(name: string, options: SpanOptions): Span;
};

export const passOn: Tracer = {
  begin: (_, { parent }) => ({ trace: readTraceContext(parent), set() {}, end() {} }),
};

/** Runs `work` in a span; what it throws ends the span with the error's code. */
export async function inSpan<T>(
  tracer: Tracer,
  name: string,
  options: SpanOptions,
  work: (span: Span) => Promise<T>,
): Promise<T> {
  const span = tracer.begin(name, options);
  try {
    const value = await work(span);
    span.end();
    return value;
  } catch (thrown) {
    span.end(codeOf(thrown));
    throw thrown;
  }
}

/** What is no error of ours may say anything. */
export const codeOf = (thrown: unknown): string => {
  const code = (thrown as { code?: unknown } | null)?.code;
  return typeof code === "string" && /^[a-z_]{1,60}$/.test(code) ? code : "_OTHER";
};
