// CloudEvents (https://github.com/cloudevents/spec) as jobs: the `type` is the kind, the data is the input, `deliver`, `policy` and
// `tenant` are extension attributes. Owns which job an event is, where its data stands, and what binary mode looks like in a message. What a job's
// fields may hold is left to envelope.ts. Pure.
import { createHash } from "node:crypto";
import { KamadoError, shapeOf } from "../errors.ts";
import { jsonText, parseJson, withoutEnds } from "./json.ts";
import { excessOf, refuseExcess } from "./structure.ts";
import { isTenantName } from "./tenant.ts";

type Fields = Record<string, unknown>;

export const isCloudEvent = ({ specversion }: Fields): boolean =>
  typeof specversion === "string" || typeof specversion === "number";

/** The job's fields. Any other attribute is an extension of somebody else's. Throws `invalid_envelope`. */
export function fromCloudEvent(event: Fields): Fields {
  // YAML and PHP write 1.0 as a number, which is 1 in JSON.
  if (!/^(0\.3|1|1\.0(\.\d+)?)$/.test(String(event.specversion)))
    throw new KamadoError("invalid_envelope", "specversion: only CloudEvents 1.0 and 0.3 are understood.");
  const { deliver } = event;
  const policy = policyOf(event);
  const from = textOf(event, "source");
  const data = dataOf(event);
  const [traceparent, tracestate] = ["traceparent", "tracestate"].map((name) =>
    typeof event[name] === "string" ? event[name] : undefined,
  );
  const job = event.type === DAPR && typeof data === "object" ? data : { kind: event.type, input: data };
  return {
    deliver,
    policy,
    // An extension of the specification itself: https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/distributed-tracing.md
    ...(traceparent !== undefined && { traceparent }),
    ...(tracestate !== undefined && { tracestate }),
    ...job,
    id: jobIdOf(textOf(event, "id"), from),
    ...(from !== undefined && { source: from }),
  };
}

/**
 * The extension attribute `tenant` names the tenant too, where the policy names none. One that cannot be a name is somebody else's
 * extension.
 */
function policyOf({ policy, tenant }: Fields): unknown {
  if (!isTenantName(tenant)) return policy;
  const own = typeof policy === "string" ? policyIn(policy) : policy;
  if ((own ?? null) === null) return { tenant };
  const isPlain = typeof own === "object" && !Array.isArray(own);
  return isPlain ? { ...own, tenant: (own as Fields).tenant || tenant } : policy;
}

/** What cannot be read is left as it is: it is refused by its name later. */
function policyIn(text: string): unknown {
  try {
    return text === "" ? null : parseJson(text);
  } catch {
    return text;
  }
}

/** Id and source make the identity, so what is neither a text nor a number is refused: without it, two events would be one job. */
function textOf(event: Fields, name: "id" | "source"): string | undefined {
  const value = event[name] ?? "";
  if (typeof value !== "string" && typeof value !== "number")
    throw new KamadoError("invalid_envelope", `${name}: expected a text (got ${shapeOf(value)}).`);
  return value === "" ? undefined : String(value);
}

/** Dapr puts every message into an event of this type. Then the data is the job. */
const DAPR = "com.dapr.event.sent";

/** An id of letters that are safe in keys and log lines begins the job's id, so that a person finds it. */
const MAX_STEM = 80;

/**
 * The same for the same source and id, and for no others: an event's id is unique within its source only, and may have any characters.
 * Undefined without an id.
 */
export function jobIdOf(id: string | undefined, source: string | undefined): string | undefined {
  if (id === undefined) return undefined;
  const hash = createHash("sha256").update(JSON.stringify([source ?? null, id]));
  const stem = id.replaceAll(/[^A-Za-z0-9._:-]+/g, "-").replace(/^[._:-]+/, "");
  return `${stem.slice(0, MAX_STEM) || "event"}.${hash.digest("hex").slice(0, 32)}`;
}

/** In 1.0 bytes stand in `data_base64`, in 0.3 in `data`, and `datacontentencoding` says so. */
function dataOf({
  data,
  data_base64: bytes,
  datacontenttype: type,
  datacontentencoding: encoding,
}: Fields): unknown {
  const base64 = (data ?? null) ? (/^base64$/i.test(String(encoding)) ? data : null) : bytes;
  if (typeof base64 !== "string") return data;
  return isJson(type) ? jsonOf(base64) : Buffer.from(base64, "base64").toString();
}

/** Without a type, data is JSON. */
function isJson(type: unknown): boolean {
  const [media = ""] = typeof type === "string" ? type.split(";", 1) : [];
  return media.trim() === "" || /[/+]json$/i.test(media.trim());
}

function jsonOf(base64: string): unknown {
  const bytes = Buffer.from(base64, "base64");
  try {
    const text = jsonText(bytes);
    refuseExcess(text);
    return parseJson(text);
  } catch (thrown) {
    if (thrown instanceof KamadoError) throw thrown;
    throw new KamadoError("malformed_json", `data_base64: the data is not JSON: ${shapeOf(base64)}.`);
  }
}

/**
 * What the bindings put before an attribute's name: `ce-` (HTTP, NATS), `ce_` (Kafka), `cloudEvents:` and `cloudEvents_` (AMQP). SQS
 * and SNS take no colon, and some bridges write a dot.
 */
const ATTRIBUTE = /^(?:(ce)|cloudevents)([-_.:])([a-z0-9_-]+)$/i;
const CONTENT_TYPE = /^content[-_]?type$/i;

/** An event in binary mode as the same event in structured mode; null for any other message. `attributes` are the message's. */
export function asStructured(body: string, attributes: Readonly<Record<string, string>>): string | null {
  const event: Record<string, string> = {};
  for (const [name, value] of Object.entries(attributes)) {
    const [, prefix, mark, attribute] = ATTRIBUTE.exec(name) ?? [];
    if (attribute !== undefined)
      event[attribute.toLowerCase()] = prefix && mark === "-" ? unescaped(value) : value;
    else if (CONTENT_TYPE.test(name)) event.datacontenttype ??= value;
  }
  if (event.specversion === undefined || event.type === undefined) return null;
  const { data, isStructured } = dataIn(body, event.datacontenttype);
  if (isStructured) return null;
  const { data: _, data_base64: __, datacontentencoding: ___, ...own } = event;
  return `${JSON.stringify(own).slice(0, -1)},"data":${data}}`;
}

/**
 * The body's text as it is, because its numbers may have more digits than JavaScript keeps. A body with too much structure is not
 * parsed: it is refused with its event.
 */
function dataIn(body: string, type: string | undefined): { data: string; isStructured: boolean } {
  try {
    if (!isJson(type)) return { data: JSON.stringify(body), isStructured: false };
    if (excessOf(body) !== null) return { data: withoutEnds(body), isStructured: false };
    const value = parseJson(body);
    const isStructured = typeof value === "object" && value !== null && isCloudEvent(value as Fields);
    return { data: withoutEnds(body), isStructured };
  } catch {
    return { data: JSON.stringify(body), isStructured: false };
  }
}

/** Over HTTP an attribute's value is percent-encoded. */
function unescaped(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
