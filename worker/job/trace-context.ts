// Where a trace of OpenTelemetry goes on: W3C trace context (https://www.w3.org/TR/trace-context/) as it comes with a message, a job or an
// HTTP request, and as it goes on to engines and receivers. What is not valid is left out, as the standard demands: a broken trace must cost
// no job. Which spans are made is left to tracing/. Pure.

/** `traceparent` names the trace and the span that caused what follows. */
export type TraceContext = { traceparent: string; tracestate?: string };

/** As they come: from headers, message attributes or the fields of a job. */
export type TraceFields = { traceparent?: unknown; tracestate?: unknown };

const PARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/s;

/** The context that the fields name; undefined where they name none that is valid. A later version is read as the first one. */
export function readTraceContext({ traceparent, tracestate }: TraceFields): TraceContext | undefined {
  if (typeof traceparent !== "string") return undefined;
  const [, version, trace = "", span = "", flags = "", more] = PARENT.exec(traceparent.trim()) ?? [];
  if (version === undefined || version === "ff" || (version === "00" && more !== undefined)) return undefined;
  if (/^0+$/.test(trace) || /^0+$/.test(span)) return undefined;
  const state = readState(tracestate);
  return { traceparent: `00-${trace}-${span}-${flags}`, ...(state !== undefined && { tracestate: state }) };
}

const MOST_MEMBERS = 32;
const MEMBER =
  /^[a-z0-9][a-z0-9_\-*/]{0,255}(?:@[a-z][a-z0-9_\-*/]{0,13})?=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;
/** Characters. The standard demands no more to be passed on. */
const LONGEST_STATE = 512;
const LONG_MEMBER = 128;

/** Undefined when any of it is not valid. A long one loses its long members first, then its last ones. */
function readState(state: unknown): string | undefined {
  if (typeof state !== "string" || state.length > 20_000) return undefined;
  const members = state
    .split(",")
    .map((member) => member.trim())
    .filter(Boolean);
  const keys = new Set(members.map((member) => member.split("=", 1)[0]));
  if (members.length > MOST_MEMBERS || keys.size < members.length) return undefined;
  if (!members.every((member) => MEMBER.test(member))) return undefined;
  const lengthOf = (all: readonly string[]) => all.join(",").length;
  let kept = members;
  if (lengthOf(kept) > LONGEST_STATE) kept = kept.filter(({ length }) => length <= LONG_MEMBER);
  while (lengthOf(kept) > LONGEST_STATE) kept = kept.slice(0, -1);
  return kept.length === 0 ? undefined : kept.join(",");
}

/** The header that AWS adds by itself where a Lambda is traced: `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`. */
export function fromXRay(header: string | undefined): TraceContext | undefined {
  const part = (name: string) => new RegExp(`(?:^|;) *${name}=([^;]*)`, "i").exec(header ?? "")?.[1]?.trim();
  const [, epoch, unique] = /^1-([0-9a-f]{8})-([0-9a-f]{24})$/i.exec(part("Root") ?? "") ?? [];
  const flags = part("Sampled") === "1" ? "01" : "00";
  const traceparent = `00-${epoch}${unique}-${part("Parent")}-${flags}`.toLowerCase();
  return epoch === undefined ? undefined : readTraceContext({ traceparent });
}

/** That of a message: as its sender wrote it, else as AWS did. */
export const ofAttributes = (attributes: Readonly<Record<string, string>>): TraceContext | undefined =>
  readTraceContext(attributes) ?? fromXRay(attributes.AWSTraceHeader);

/** As headers of a request or attributes of a message. */
export const traceFields = (from: TraceFields): Record<string, string> => ({ ...readTraceContext(from) });

/** What a trace is looked for by. */
export const traceIdOf = ({ traceparent }: TraceContext): string => traceparent.slice(3, 35);
