// Every error Kamado can report: its code, its HTTP status, whether trying again can help, and what to do about it.
// Messages are written where the error is thrown; they name the field and show the value's shape, never a secret.

/** What one error code means. `retry` says that the same job may succeed later without anyone changing it. */
type Meaning = { status: number; retry: boolean; hint: string };

const fail = (status: number, hint: string): Meaning => ({ status, retry: false, hint });
const later = (status: number, hint: string): Meaning => ({ status, retry: true, hint });

export const ERRORS = {
  // the message
  malformed_json: fail(400, "Send one JSON object as the message body."),
  invalid_envelope: fail(400, "See the README, 'The job', for the fields of a job."),
  body_too_large: fail(413, "Put the input into the bucket and send its s3:// address."),
  pointer_unreadable: fail(400, "Check that the worker may read the bucket the pointer names."),
  no_rule_for_object: fail(400, "Add a rule for this prefix to the file KAMADO_RULES_FILE names."),
  unknown_kind: fail(404, "Use one of the kinds listed, or add its file to handlers/."),
  invalid_input: fail(400, "Correct the field that is named and send the job again."),
  duplicate_id: fail(409, "Choose another id; this one already names a different job."),
  // inputs
  object_not_found: fail(404, "Upload the object before the job is sent, or correct the address."),
  object_forbidden: fail(403, "Allow the bucket in KAMADO_BUCKETS, or grant the worker s3:GetObject."),
  input_too_large: fail(413, "Make the input smaller; the limit is in the message."),
  image_undecodable: fail(415, "Send a JPEG, PNG, WebP, GIF, TIFF, AVIF or HEIC picture."),
  image_too_large: fail(413, "Send a picture with fewer pixels."),
  unsupported_address: fail(400, "Use s3://bucket/key, https://… or a data: URI."),
  address_refused: fail(403, "Allow the host with allowPrivate in the file KAMADO_DESTINATIONS_FILE names."),
  fetch_failed: later(502, "Check that the address answers."),
  fetch_rejected: fail(502, "The address answered with an error; check it in a browser."),
  storage_unavailable: later(503, "Check the network and the bucket."),
  // the model
  engine_unavailable: later(503, "Check `kamado engine`; the job is tried again by itself."),
  engine_died: later(
    503,
    "The engine ended while it worked on the job; after a third time, alone, it is put aside.",
  ),
  engine_busy: later(429, "The engine's line is full; the job is tried again by itself."),
  engine_rejected: fail(400, "The engine refused the request; its words are in the message."),
  context_length_exceeded: fail(400, "Send less text, or run a model with a larger context."),
  answer_invalid: fail(422, "The model's answer did not fit the schema twice; try a larger model."),
  unauthorized: fail(401, "Send the token as a bearer token."),
  model_not_loaded: fail(404, "Ask for a model the engine serves; see /v1/models."),
  // the handler
  handler_failed: later(500, "An unexpected error inside the handler; its log line has the stack."),
  output_invalid: fail(500, "The handler returned something its output schema refuses."),
  // the job's life
  timed_out: fail(504, "Raise policy.timeoutSeconds or send less work in one job."),
  expired: fail(410, "The job waited past policy.expiresAt; send it again if it still matters."),
  canceled: fail(410, "The job was canceled."),
  attempts_exhausted: fail(500, "Every attempt failed; the last error is in the message."),
  lease_lost: later(409, "Another worker holds the job now."),
  stopping: later(503, "The worker is stopping; the job goes back to the queue."),
  // delivery
  delivery_failed: later(502, "Check the destination; the delivery is tried again by itself."),
  delivery_rejected: fail(502, "The destination refused the result; check what it expects."),
  destination_off: fail(410, "`kamado dead redrive --destination` turns it on again, once it is back."),
  no_request: fail(400, "This kind has no REST mapping; use callback, sns or sqs."),
  // the installation
  config_invalid: fail(500, "Correct the variable that is named."),
  memory_insufficient: fail(507, "Take a smaller model, quant or context, or fewer slots."),
  queue_unavailable: later(503, "Check the network, the credentials and the queue's address."),
  tool_missing: fail(500, "Install what is named and run the command again."),
  disk_full: later(507, "Make room on the disk and run the command again."),
  build_failed: fail(500, "Read the log's end; a newer compiler or cmake often helps."),
} as const satisfies Record<string, Meaning>;

export type ErrorCode = keyof typeof ERRORS;

/** Why a call to a queue, a topic or the bucket failed. Each reason is put right in another place. */
export type AwsFailure = "credentials" | "missing_queue" | "network" | "throttled" | "unknown";

/** What code needs to know about an error besides its code. Every field may be absent. */
export type ErrorDetail = {
  /** How long the other side wants to be left alone, in milliseconds. Only the HTTP header counts in seconds. */
  retryAfterMs?: number | undefined;
  /** The HTTP status that the other side answered. `KamadoError.status` is the one that Kamado answers. */
  httpStatus?: number | undefined;
  /** The delivery was held back: nothing was sent, so it does not count as a try. */
  heldBack?: true;
  /** False when the store refuses conditional writes. */
  supportsConditions?: boolean;
  awsFailure?: AwsFailure;
  /** The field of the request that is at fault; OpenAI clients show it. */
  param?: string | null;

  // The rest is evidence for people who debug; no code decides by it.
  /** The host that was asked. Never its whole address: paths and queries may hold secrets. */
  host?: string;
  /** The rule that refused an address. */
  rule?: string;
  /** What Node or undici calls a failure of the network, such as ECONNREFUSED. */
  networkCode?: string;
  /** The model's answer as it came, cut short. */
  modelAnswer?: string;
  /** The format that the first bytes of a file point to. */
  looksLike?: string;
  /** The start of what a receiver answered. */
  receiverSaid?: string;
};

type ErrorOptions = { cause?: unknown; detail?: ErrorDetail | undefined };

/** An error with a stable code. `cause` keeps the original error. */
export class KamadoError extends Error {
  override readonly name = "KamadoError";
  readonly code: ErrorCode;
  readonly detail: ErrorDetail | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.detail = options.detail;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }
  get retry(): boolean {
    return ERRORS[this.code].retry;
  }
  get hint(): string {
    return ERRORS[this.code].hint;
  }
}

/** Any thrown value as a KamadoError; what has no code of its own becomes `fallback`. */
export function toKamadoError(thrown: unknown, fallback: ErrorCode): KamadoError {
  if (thrown instanceof KamadoError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new KamadoError(fallback, message, { cause: thrown });
}

/** The shape of a value for a message: its type and size, never its content. */
export function shapeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "string")
    return value === "" ? "an empty string" : `a string of ${value.length} characters`;
  if (typeof value === "object") return `an object with ${Object.keys(value).length} fields`;
  return value === undefined ? "nothing" : `a ${typeof value}`;
}
